"""Who leaves an answer before its end is charged for what it cost all the same, where that is told within a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from mitmproxy.proxy.events import ConnectionClosed

from modelfence.core.call import Usage
from modelfence.wire.guard_stream import READ_ON_BYTES

REPORTED = {"prompt_tokens": 3, "completion_tokens": 700, "total_tokens": 703}
"""Most of it was thought without being shown."""
CHARGED = Usage(input_tokens=3, output_tokens=700)
SOON_S = 0.6
"""Less than the second that a silent upstream is given, and far more than anything takes."""
AT_ONCE_BYTES = 256 << 10
"""What asyncio reads of a connection at once."""
STEP = 256
POLICY = """
version: 1
access:
  - {id: active, allow: kyc.status == "active"}
throttle:
  - {id: tokens, key: account.id, unit: output_tokens, rate: 2 per day, burst: %d}
"""


@dataclass
class Told:
    """An answer in two halves: the second follows once the client has left."""

    first: bytes
    second: Callable[[asyncio.StreamWriter], Awaitable[None]]
    left: asyncio.Event

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.first)
        await self.left.wait()
        await self.second(writer)


def later(data: bytes):
    async def send(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(data)

    return send


async def nothing(_: asyncio.StreamWriter) -> None: ...


def report(wire, *, done: bool = True) -> bytes:
    return wire.chunk(wire.event(usage=REPORTED)) + (wire.chunk(b"data: [DONE]\n\n") if done else b"")


@pytest.fixture
def begin(upstream, wire):
    """A function that calls for a stream with one word, reads it, and returns what lets the upstream go on."""

    async def begin(fence, second, **options):
        word = wire.event("word")
        told = Told(wire.STREAM_HEAD + wire.chunk(word), second, asyncio.Event())
        upstream.answers.append(told)
        client = await fence.connect()
        await client.send(wire.post({**wire.BODY, "stream": True, **options}))
        await client.head()
        await client.exactly(wire.chunk(word))
        return client, told

    return begin


async def within(seconds: float, event: asyncio.Event) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()


@pytest.mark.parametrize("reports_too", [False, True], ids=["the fence asked for usage", "the client asked for it"])
async def test_a_report_that_comes_after_the_client_has_left_is_charged(fence, upstream, wire, begin, reports_too):
    options = {"stream_options": {"include_usage": True}} if reports_too else {}
    client, told = await begin(fence, later(report(wire)), **options)
    client.close()
    told.left.set()
    await within(SOON_S, upstream.closed)  # although the answer has not ended: there is nothing more to learn
    settled = await fence.watcher.settlement()
    assert (settled.usage, settled.status) == (CHARGED, 200)


async def test_a_report_without_an_end_is_charged_when_the_upstream_closes(fence, wire, begin):
    async def report_and_close(writer):
        await later(report(wire, done=False))(writer)
        writer.close()

    client, told = await begin(fence, report_and_close)
    client.close()
    told.left.set()
    await within(SOON_S, fence.watcher.changed)
    assert (await fence.watcher.settlement()).usage == CHARGED


async def test_an_upstream_that_tells_nothing_is_closed_after_a_second(fence, upstream, begin):
    client, told = await begin(fence, nothing)
    client.close()
    left_at = time.monotonic()
    told.left.set()
    await within(1.5, upstream.closed)
    assert time.monotonic() - left_at > 0.9
    settled = await fence.watcher.settlement()
    assert settled.usage == Usage(1, 1, estimated=True)


async def test_an_upstream_that_floods_is_closed_after_some_bytes(fence, upstream, wire, begin):
    piece = wire.chunk(wire.event("word") * 100)

    async def flood(writer):
        while True:
            writer.write(piece)
            await writer.drain()

    client, told = await begin(fence, flood)
    client.close()
    told.left.set()
    await within(SOON_S, upstream.closed)
    tokens = (await fence.watcher.settlement()).usage.output_tokens
    least = READ_ON_BYTES // len(wire.event("word"))
    assert least <= tokens <= least + AT_ONCE_BYTES // len(wire.event("word"))


async def test_who_closes_his_sending_side_is_let_go_at_once_and_charged(fence, wire, begin):
    client, told = await begin(fence, later(report(wire)))
    client.writer.write_eof()
    async with asyncio.timeout(SOON_S):
        assert await client.reader.read() == b""
    assert fence.watcher.settlements == []
    told.left.set()
    assert (await fence.watcher.settlement()).usage == CHARGED


async def test_who_leaves_without_having_read_what_there_was_is_charged(fence, upstream, wire, begin):
    (piece, buffered) = wire.chunk(b": nothing that counts" * 200 + b"\n\n"), 0

    async def fill(writer):
        while buffered < 64 << 10:
            writer.write(piece)
            await asyncio.sleep(0.001)
        await closed.wait()
        await later(report(wire))(writer)

    closed = asyncio.Event()
    client, told = await begin(fence, fill)
    client.writer.transport.pause_reading()
    told.left.set()
    (handler,) = fence.proxy._handlers
    async with asyncio.timeout(wire.WITHIN_S):
        while buffered < 64 << 10:
            buffered = handler.transports[handler.client].writer.transport.get_write_buffer_size()
            await asyncio.sleep(0.001)
    client.writer.write_eof()
    closed.set()
    await within(SOON_S, upstream.closed)
    assert (await fence.watcher.settlement()).usage == CHARGED


async def test_what_is_cut_off_for_flooding_is_charged(fence, wire, begin):
    client, told = await begin(fence, later(report(wire)))
    with pytest.raises(ConnectionError):  # noqa: PT012 - when it breaks is the kernel's choice
        while True:
            await client.send(wire.post() * 100)
    told.left.set()
    assert (await fence.watcher.settlement()).usage == CHARGED


async def test_the_rest_of_a_plain_answer_is_read_for_what_it_cost(fence, upstream, wire):
    whole = wire.answer()
    head, half = whole[: -len(wire.PLAIN)], wire.PLAIN[:10]
    told = Told(head + half, later(wire.PLAIN[10:]), asyncio.Event())
    upstream.answers.append(told)
    client = await fence.connect()
    await client.send(wire.post())
    await client.head()
    await client.exactly(half)
    client.close()
    told.left.set()
    await within(SOON_S, upstream.closed)
    assert (await fence.watcher.settlement()).usage == Usage(input_tokens=3, output_tokens=7)


async def test_an_upstream_whose_answer_has_not_begun_is_closed_at_once(fence, upstream, wire):
    upstream.answers.append(nothing)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    await within(wire.WITHIN_S, upstream.arrived)
    client.close()
    await within(SOON_S, upstream.closed)
    assert (await fence.watcher.settlement()).usage == Usage(input_tokens=1, estimated=True)


@pytest.mark.parametrize("status", ["200 OK", "500 Oops"])
async def test_an_answer_that_tells_nothing_more_is_left_at_once(fence, upstream, wire, status):
    head = wire.STREAM_HEAD.replace(b"200 OK", status.encode())
    last = wire.chunk(wire.event(usage=REPORTED)) + wire.chunk(b"data: [DONE]\n\n")
    upstream.answers.append(head + last)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True, "stream_options": {"include_usage": True}}))
    await client.head()
    await client.exactly(last)
    client.close()
    await within(SOON_S, upstream.closed)
    assert (await fence.watcher.settlement()).usage == (CHARGED if status == "200 OK" else None)


async def test_an_upstream_that_breaks_off_meanwhile_is_settled_at_once(fence, begin):
    async def reset(writer):
        await asyncio.sleep(0.05)
        writer.transport.abort()

    client, told = await begin(fence, reset)
    client.close()
    told.left.set()
    await within(SOON_S, fence.watcher.changed)
    assert (await fence.watcher.settlement()).usage == Usage(1, 1, estimated=True)


@pytest.mark.parametrize("before", [True, False], ids=["before the client has left", "after it"])
async def test_stopping_meanwhile_settles_once_and_within_the_deadline(start_fence, begin, before):
    fence = await start_fence()
    client, told = await begin(fence, nothing)
    if not before:
        client.close()
        await asyncio.sleep(0.1)
    told.left.set()
    async with asyncio.timeout(2):
        await fence.proxy.stop()
    assert [one.usage for one in fence.watcher.settlements] == [Usage(1, 1, estimated=True)]


@pytest.mark.parametrize("burst", [STEP + 10, 2 * STEP + 10], ids=["refused", "granted"])
async def test_who_leaves_while_a_step_is_paid_is_settled_once(start_fence, upstream, wire, begin, burst):
    fence = await start_fence(policy=POLICY % burst)
    words = wire.chunk(b"".join(wire.event("word") for _ in range(STEP)))

    async def go_on(writer):
        writer.write(words)
        await asyncio.sleep(0.1)
        writer.write(report(wire))

    client, told = await begin(fence, go_on)
    fence.buckets.hangs = True
    told.left.set()
    async with asyncio.timeout(wire.WITHIN_S):
        while not fence.buckets.waiting:  # noqa: ASYNC110 - the step that hangs
            await asyncio.sleep(0)
    client.close()
    await asyncio.sleep(0.02)
    fence.buckets.hangs = False
    fence.buckets.released.set()
    usage = (await fence.watcher.settlement()).usage
    # A stream that the fence has ended is left at once.
    assert usage == (Usage(1, STEP + 1, estimated=True) if burst < 2 * STEP else CHARGED)
    await within(SOON_S, upstream.closed)
    await asyncio.sleep(0.2)
    assert len(fence.watcher.settlements) == 1


async def test_many_who_leave_at_once_leave_nothing_behind(fence, upstream, wire, begin):
    tasks = asyncio.all_tasks()
    begun = [await begin(fence, second) for second in (later(report(wire)), nothing) * 20]
    for client, told in begun:
        client.close()
        told.left.set()
    left_at = time.monotonic()
    await fence.watcher.settlement(40)
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._handlers or fence.addon._passages or upstream._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert time.monotonic() - left_at < 2
    usages = [settled.usage for settled in fence.watcher.settlements]
    assert (len(usages), usages.count(CHARGED)) == (40, 20)
    assert fence.proxy._connections == set()
    await asyncio.sleep(0)
    assert not {task for task in asyncio.all_tasks() - tasks if not task.done()}


async def test_being_told_twice_that_the_client_has_left_changes_nothing(fence, upstream, wire, begin):
    client, told = await begin(fence, later(report(wire)))
    (handler,) = fence.proxy._handlers
    client.close()
    await asyncio.sleep(0.05)
    await handler.server_event(ConnectionClosed(handler.client))
    told.left.set()
    assert (await fence.watcher.settlement()).usage == CHARGED
    await within(SOON_S, upstream.closed)
    assert len(fence.watcher.settlements) == 1


async def test_a_fault_in_asking_closes_the_upstream(fence, upstream, wire, begin, monkeypatch):
    def broken(_):
        raise RuntimeError("a bug")

    client, told = await begin(fence, later(report(wire)))
    (passage,) = fence.addon._passages.values()
    monkeypatch.setattr(type(passage.meter), "awaits_usage", property(broken))
    client.close()
    told.left.set()
    await within(SOON_S, upstream.closed)
    assert (await fence.watcher.settlement()).usage.estimated
    assert fence.watcher.failures == 1
