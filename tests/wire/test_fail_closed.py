"""Whatever fails inside the fence, the upstream receives nothing it should not, and the client gets a 503."""

import asyncio

import pytest
from mitmproxy.proxy.events import DataReceived

from modelfence.core.decision import Effect
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.shared.sse import EventFraming
from modelfence.wire.guard import GuardedHttpLayer

BUG = RuntimeError("a bug")


class Failing(OpenAI):
    """A dialect with a bug in the methods it is told."""

    def __init__(self, *methods: str) -> None:
        self._methods = methods

    def __getattribute__(self, name: str) -> object:
        if name != "_methods" and name in self._methods:
            raise BUG
        return super().__getattribute__(name)


def fail_in_policy(fence):
    def bind(_facts):
        raise BUG

    object.__setattr__(fence.fence.in_force.policy, "bind", bind)


def fail_in_store(fence):
    fence.buckets.fails = BUG


def fail_in_accounts(fence):
    fence.accounts.fails = BUG


@pytest.mark.parametrize("fail", [fail_in_policy, fail_in_store, fail_in_accounts])
async def test_an_exception_inside_the_engine_is_a_503_and_the_upstream_receives_nothing(fence, upstream, wire, fail):
    fail(fence)
    answer = await fence.exchange(wire.post())
    assert answer.status == 503
    assert answer.json["error"]["code"] == "service_unavailable"
    assert "bug" not in answer.body.decode()
    assert upstream.received == []
    assert fence.watcher.failures == 1
    assert fence.watcher.refusals == [Effect.ERROR]


@pytest.mark.parametrize("method", ["operation", "credential", "read", "credential_headers"])
async def test_an_exception_in_a_dialect_is_a_503_and_the_upstream_receives_nothing(
    start_fence, upstream, wire, method
):
    fence = await start_fence(dialect=Failing(method))
    assert (await fence.exchange(wire.post())).status == 503
    assert upstream.received == []


async def test_a_call_that_fails_after_it_was_charged_is_settled(start_fence, upstream, wire):
    fence = await start_fence(dialect=Failing("credential_headers"))
    assert (await fence.exchange(wire.post())).status == 503
    assert (await fence.watcher.settlement()).usage is None
    assert fence.buckets.adjustments[0].owed_us < 0
    assert upstream.received == []


@pytest.mark.parametrize("data", ["judged", "malformed"])
async def test_a_dialect_that_can_not_even_refuse_still_lets_nothing_through(start_fence, upstream, wire, data):
    fence = await start_fence(dialect=Failing("refuse"))
    request = wire.post(key="sk-nobody") if data == "judged" else wire.post(path="/v1//chat")
    answer = await fence.exchange(request)
    assert (answer.status, answer.body) == (503, b"")
    assert upstream.received == []


async def test_a_hook_that_hangs_beyond_its_deadline_is_a_503(start_fence, upstream, wire):
    fence = await start_fence(hook_deadline_s=0.05)
    fence.buckets.hangs = True
    answer = await fence.exchange(wire.post())
    assert answer.status == 503
    assert upstream.received == []
    assert fence.watcher.failures == 1


@pytest.mark.parametrize("stage", ["usage_reader", "observer"])
async def test_an_exception_when_the_answer_begins_lets_nothing_of_it_through(start_fence, upstream, wire, stage):
    fence = await start_fence(dialect=Failing("usage_reader") if stage == "usage_reader" else None)
    if stage == "observer":
        fence.watcher.fails = BUG
    upstream.answers.append(wire.answer()[:-1])  # its end would come while the next request is served
    client = await fence.connect()
    await client.send(wire.post())
    answer = await client.answer()
    assert answer.status == 503
    assert b"hello" not in answer.body
    assert len(upstream.requests) == 1
    await fence.watcher.settlement()
    await client.send(wire.post())
    assert (await client.answer()).status == 503
    assert len(upstream.received) == 2


async def test_after_a_failure_the_same_connection_serves_the_next_request(fence, upstream, wire):
    client = await fence.connect()
    fence.buckets.fails = BUG
    await client.send(wire.post())
    assert (await client.answer()).status == 503
    fence.buckets.fails = None
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    assert len(upstream.requests) == 1


async def test_an_answer_is_complete_although_settling_it_fails(fence, upstream, wire):
    fence.buckets.settle_fails = BUG
    answer = await fence.exchange(wire.post())
    assert (answer.status, answer.body) == (200, wire.PLAIN)
    assert len(upstream.requests) == 1
    async with asyncio.timeout(wire.WITHIN_S):
        while not fence.watcher.failures:
            fence.watcher.changed.clear()
            await fence.watcher.changed.wait()


class BrokenReader:
    """A counter of usage with a bug."""

    framing = EventFraming()

    def feed(self, data):
        raise BUG

    def usage(self):
        raise BUG


class Miscounting(OpenAI):
    def usage_reader(self, operation, content_type):
        return BrokenReader()


async def test_a_reader_that_fails_loses_no_byte_and_the_answer_is_counted_by_its_size(start_fence, upstream, wire):
    fence = await start_fence(dialect=Miscounting())
    pieces = [wire.event("one"), wire.event("two")]
    upstream.answers.append(wire.STREAM_HEAD + b"".join(map(wire.chunk, pieces)) + b"0\r\n\r\n")
    answer = await fence.exchange(wire.post())
    assert answer.body == b"".join(pieces)
    usage = (await fence.watcher.settlement()).usage
    assert (usage.output_tokens, usage.estimated) == (-(-len(answer.body) // 4), True)


async def test_a_bug_in_serving_a_connection_closes_it_and_nothing_more_of_it_is_passed_on(
    fence, upstream, wire, monkeypatch
):
    served = GuardedHttpLayer.handle_event

    def fail_at_the_second(self, event):
        if isinstance(event, DataReceived) and b"second" in event.data:
            raise BUG
        yield from served(self, event)

    client = await fence.connect()
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    monkeypatch.setattr(GuardedHttpLayer, "handle_event", fail_at_the_second)
    await client.send(wire.post(path="/v1/chat/completions?second"))
    async with asyncio.timeout(5):
        assert await client.rest() == b""
    assert len(upstream.received) == 1
