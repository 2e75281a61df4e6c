"""A stream pays as it goes; when its budget is used up it ends with the API's last words and its upstream is let go."""

import asyncio
import json
from typing import Any

import pytest

from modelfence.core.call import Usage
from modelfence.dialects.openai.api import OpenAI
from modelfence.enforcement.ports import UnavailableError
from modelfence.enforcement.reservation import Reservation
from modelfence.wire.meter import Meter

STEP = 256
BUDGET = 600
POLICY = f"""
version: 1
access:
  - {{id: active, allow: kyc.status == "active"}}
throttle:
  - {{id: tokens, key: account.id, unit: output_tokens, rate: 2 per day, burst: {BUDGET}}}
"""


def word(wire, number: int) -> bytes:
    return wire.event(f"w{number} ")


class Endless:
    """A stream of words, one token each, that goes on until its reader is gone."""

    def __init__(self, wire, *, paused_after: int | None = None) -> None:
        self.wire = wire
        self.sent = 0
        self.paused_after = paused_after
        self.go_on = asyncio.Event()

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.wire.STREAM_HEAD)
        while True:
            if self.sent == self.paused_after:
                await self.go_on.wait()
            writer.write(self.wire.chunk(word(self.wire, self.sent)))
            self.sent += 1
            await writer.drain()
            await asyncio.sleep(0)


def events(body: bytes) -> list[Any]:
    """Return what stands in each event of a stream; a stream cut within an event is an error."""
    assert body.endswith(b"\n\n")
    lines = [event.removeprefix(b"data: ") for event in body.split(b"\n\n")[:-1]]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def stream(fence, upstream, wire, *, client=None, script=None, **options):
    """Make a call for an endless stream and return its events."""
    upstream.answers.append(script or Endless(wire))
    client = client or await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True, **options}))
    answer = await client.answer()
    assert answer.status == 200
    return events(answer.body)


async def test_a_stream_ends_when_its_budget_is_used_up_and_the_upstream_is_let_go(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY)
    script = Endless(wire)
    *chunks, last = await stream(fence, upstream, wire, script=script)
    assert last["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]
    words = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks).split()
    assert words == [f"w{n}" for n in range(len(words))]
    assert len(words) <= BUDGET + 1  # the last one said that more was to come
    async with asyncio.timeout(1):
        await upstream.closed.wait()
    settled = await fence.watcher.settlement()
    assert settled.usage == Usage(1, len(words), estimated=True)
    assert fence.watcher.cuts == ["tokens"]
    assert script.sent <= BUDGET + STEP


async def test_who_asked_for_usage_gets_it_for_what_was_served(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY)
    *chunks, report = await stream(fence, upstream, wire, stream_options={"include_usage": True})
    served = len(chunks) - 1
    assert report["choices"] == []
    assert report["usage"] == {"prompt_tokens": 1, "completion_tokens": served, "total_tokens": served + 1}


@pytest.mark.parametrize("turns", [0, 20])
async def test_the_clients_connection_serves_on_after_a_stream_was_ended(start_fence, upstream, wire, turns):
    fence = await start_fence(policy=POLICY)
    fence.buckets.turns = turns  # while it is settled, its upstream's connection ends
    client = await fence.connect()
    await stream(fence, upstream, wire, client=client)
    await client.send(wire.post({**wire.BODY, "stream": True}))
    refused = await client.answer()
    assert refused.status == 429
    assert upstream.answers == type(upstream.answers)()
    fence.now_us += 10 * 86_400_000_000 * 300
    *_, last = await stream(fence, upstream, wire, client=client)
    assert last["choices"][0]["finish_reason"] == "length"
    assert len(upstream.received) == 2  # what was left of the first answer came on a connection that is gone


async def test_a_stream_within_its_budget_is_passed_on_as_it_came(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY)
    words = [word(wire, number) for number in range(500)]
    pieces = b"".join(map(wire.chunk, words))
    upstream.answers.append(wire.STREAM_HEAD + pieces + wire.chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    answer = await fence.exchange(wire.post({**wire.BODY, "stream": True}))
    assert answer.body == b"".join(words) + b"data: [DONE]\n\n"
    assert (await fence.watcher.settlement()).usage == Usage(1, 500, estimated=True)
    assert fence.watcher.cuts == []


async def test_nothing_is_read_from_the_upstream_while_a_step_is_being_paid(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY.replace("burst: 600", "burst: 700"))
    script = Endless(wire, paused_after=STEP + 1)
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await client.head()
        fence.buckets.hangs = True
        while not fence.buckets.waiting:  # noqa: ASYNC110 - the step that hangs
            await asyncio.sleep(0)
        script.go_on.set()
        before = 0
        while script.sent != before:  # until the buffers between are full
            before = script.sent
            await asyncio.sleep(0.05)
    (handler,) = fence.proxy._handlers
    (held,) = handler._http.streams.values()
    assert sum(len(one.data) for one in held._paused_event_queue) <= 2 * 65_535
    client.close()
    fence.buckets.hangs = False
    fence.buckets.released.set()
    assert (await fence.watcher.settlement()).usage.estimated


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), None])
async def test_a_fault_while_a_step_is_paid_ends_the_stream(start_fence, upstream, wire, fault):
    fence = await start_fence(policy=POLICY, hook_deadline_s=0.2)
    script = Endless(wire, paused_after=STEP)
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await client.head()
        fence.buckets.fails, fence.buckets.hangs = fault, fault is None
        script.go_on.set()
        body = b"".join([data async for data in wire.read_chunks(client.reader)])
        await upstream.closed.wait()
    assert events(body)[-1]["choices"][0]["finish_reason"] == "length"
    assert fence.watcher.failures == 1
    assert STEP <= (await fence.watcher.settlement()).usage.output_tokens < 2 * STEP


def broken(*_: object):
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("owner", "name", "bug"),
    [(Reservation, "is_used_up", broken), (Meter, "output_tokens", property(broken))],
    ids=["of whether a step is used up", "of what has passed"],
)
async def test_a_fault_in_the_question_ends_the_stream(start_fence, upstream, wire, monkeypatch, owner, name, bug):
    fence = await start_fence(policy=POLICY)
    script = Endless(wire, paused_after=10)
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await client.head()
        while script.sent < 10:  # noqa: ASYNC110
            await asyncio.sleep(0)
        monkeypatch.setattr(owner, name, bug)
        script.go_on.set()
        body = b"".join([data async for data in wire.read_chunks(client.reader)])
        await upstream.closed.wait()
    assert events(body)[-1]["choices"][0]["finish_reason"] == "length"
    assert fence.watcher.failures == 1
    monkeypatch.undo()
    settled = await fence.watcher.settlement()
    assert settled.usage == Usage(1, len(events(body)) - 1, estimated=True)


async def test_a_store_that_does_not_answer_ends_a_stream_after_one_step_on_credit(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY)
    script = Endless(wire, paused_after=STEP)
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
        while not fence.watcher.began:  # noqa: ASYNC110
            await asyncio.sleep(0)
    fence.buckets.fails = UnavailableError()
    script.go_on.set()
    *_, last = events((await client.answer()).body)
    assert last["choices"][0]["finish_reason"] == "length"
    settled = await fence.watcher.settlement()
    assert 2 * STEP <= settled.usage.output_tokens < 3 * STEP


async def test_a_dialect_that_has_no_last_words_ends_the_stream_all_the_same(start_fence, upstream, wire):
    class Wordless(OpenAI):
        def usage_reader(self, operation, content_type):
            reader = super().usage_reader(operation, content_type)
            setattr(reader, "ending", None)  # noqa: B010 - to mypy it is a method
            return reader

    fence = await start_fence(policy=POLICY, dialect=Wordless())
    upstream.answers.append(Endless(wire))
    answer = await fence.exchange(wire.post({**wire.BODY, "stream": True}))
    assert answer.body.endswith(b"\n\n")
    assert b"finish_reason" not in answer.body
    assert fence.watcher.cuts == ["tokens"]


async def test_a_client_that_leaves_while_a_step_is_paid_is_settled_once(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY)
    script = Endless(wire, paused_after=STEP)
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await client.head()
        fence.buckets.hangs = True
        script.go_on.set()
        while not fence.buckets.waiting:  # noqa: ASYNC110 - the step that hangs
            await asyncio.sleep(0)
        client.close()
        fence.buckets.hangs = False
        fence.buckets.released.set()
        await upstream.closed.wait()
    settled = await fence.watcher.settlement()
    assert settled.usage.estimated
    assert settled.usage.output_tokens >= STEP


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses"])
async def test_every_streaming_operation_ends_in_its_own_words(start_fence, upstream, wire, path):
    fence = await start_fence(policy=POLICY)
    if path == "/v1/completions":
        piece = b'data: {"id":"c","object":"text_completion","choices":[{"index":0,"text":"word ","finish_reason":null}]}\n\n'
        body, ending = {"model": "m", "prompt": "hi"}, b"data: [DONE]\n\n"
    else:
        piece = (
            b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":3,'
            b'"item_id":"m","output_index":0,"content_index":0,"delta":"word "}\n\n'
        )
        body, ending = {"model": "m", "input": "hi"}, b""

    async def script(writer):
        writer.write(wire.STREAM_HEAD)
        while True:
            writer.write(wire.chunk(piece))
            await writer.drain()
            await asyncio.sleep(0)

    upstream.answers.append(script)
    answer = await fence.exchange(wire.post({**body, "stream": True}, path=path))
    assert answer.body.endswith(ending)
    assert (b'"finish_reason":"length"' if ending else b'"type":"response.incomplete"') in answer.body
    assert fence.watcher.cuts == ["tokens"]


async def test_an_answer_tells_what_is_left_of_the_tightest_buckets(fence, upstream, wire):
    theirs = ("x-ratelimit-limit-tokens: 99", "Anthropic-RateLimit-Tokens-Reset: 2030-01-01T00:00:00Z")
    upstream.answers.append(wire.answer(wire.PLAIN, "200 OK", *theirs, "x-other: 1"))
    answer = await fence.exchange(wire.post({**wire.BODY, "max_tokens": 1000}))
    told = {name.removeprefix("x-ratelimit-"): value for name, value in answer.fields if "ratelimit" in name}
    assert told["limit-requests"] == "10000"
    assert told["remaining-requests"] == "9999"
    assert told["limit-tokens"] == "1000000"  # the upstream's own is the operator's business
    assert told["remaining-tokens"] == "999000"
    assert "anthropic-ratelimit-tokens-reset" not in answer


async def test_a_stream_that_has_ended_by_itself_is_not_cut(start_fence, upstream, wire):
    fence = await start_fence(policy=POLICY.replace(f"burst: {BUDGET}", f"burst: {STEP}"))
    words = b"".join(word(wire, number) for number in range(STEP + 10)) + b"data: [DONE]\n\n"
    upstream.answers.append(wire.STREAM_HEAD + wire.chunk(words) + b"0\r\n\r\n")
    answer = await fence.exchange(wire.post({**wire.BODY, "stream": True}))
    assert answer.body == words
    assert fence.watcher.cuts == []
    assert (await fence.watcher.settlement()).usage.output_tokens == STEP + 10
