"""Nothing is left of what has passed: not a task, not a connection, not a call, and no memory to speak of."""

import asyncio
import gc
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow

from modelfence.wire.guard_stream import GuardedStream

REQUESTS = 20_000
STREAMS = REQUESTS // 10
AT_ONCE = 50
ROUNDS = 2
"""The first fills pools and caches; what counts is what is added after it."""
PAGE_BYTES = 4096
MOST_GROWN = 3 << 20
"""It grew by 20 KB; 300 bytes kept of each request would show."""


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES


@pytest.fixture
def mixed(wire):
    """Requests of all kinds, by how their connection goes on."""
    chunked = wire.post(wire.BODY, "Transfer-Encoding: chunked").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    head = b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\n\r\n"
    kept = [
        wire.post(),
        wire.post({**wire.BODY, "stream": True}),
        wire.post(key="sk-nobody"),
        wire.post(b"no JSON"),
        wire.post(path="/v1//chat/completions"),
        wire.post(wire.BODY, "Content-Encoding: br"),
        chunked + wire.chunk(b'{"model": "m", ') + wire.chunk(b'"messages": []}') + b"0\r\n\r\n",
        head,
        head.replace(b"sk-acme", b"sk-nobody"),
    ]
    closed = [
        wire.post(wire.BODY, "Connection: close"),
        b"nonsense\r\n\r\n",
        chunked + b"zz\r\n",
        wire.post(wire.BODY, "Content-Length: 999999999"),
        head.replace(b"1.1", b"1.0"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
    return kept, closed


async def send_mixed(fence, mixed, count: int) -> None:
    """Send so many requests, nine of ten over connections that are kept."""
    kept, closed = mixed

    async def keep(batch: int) -> None:
        client = await fence.connect()
        await client.send(b"".join(kept[n % len(kept)] for n in range(batch)))
        for _ in range(batch):
            await client.answer()
        client.close()

    async def close(n: int) -> None:
        client = await fence.connect()
        await client.send(closed[n % len(closed)])
        await client.answer()
        client.close()

    for n in range(0, count, AT_ONCE * 10):
        await asyncio.gather(*(keep(9) for _ in range(AT_ONCE)), *(close(n + one) for one in range(AT_ONCE)))
        fence._clients.clear()


async def abort_streams(fence, upstream, wire, count: int) -> None:
    """Begin so many streams and leave each in its middle."""
    word = wire.chunk(wire.event("word"))

    async def tell(writer):
        writer.write(wire.STREAM_HEAD + word)
        await writer.drain()

    async def abort() -> None:
        client = await fence.connect()
        await client.send(wire.post({**wire.BODY, "stream": True}))
        await client.head()
        client.writer.transport.abort()

    for _ in range(0, count, AT_ONCE):
        upstream.answers.extend([tell] * AT_ONCE)
        await asyncio.gather(*(abort() for _ in range(AT_ONCE)))
        fence._clients.clear()


async def settle_down(fence, upstream, wire) -> None:
    """Wait until nobody is connected, then forget what the fakes remember."""
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._connections or fence.addon._passages or upstream._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert len(fence.watcher.settlements) == fence.watcher.admitted
    assert len(upstream.requests) <= fence.watcher.admitted
    for record in (fence.watcher.calls, fence.watcher.settlements, fence.watcher.refusals, fence.watcher.passings):
        record.clear()
    for record in (upstream.requests, upstream.received, fence.buckets.adjustments):
        record.clear()


async def test_nothing_is_left_of_thousands_of_mixed_requests_and_hundreds_of_aborted_streams(
    start_fence, upstream, wire, mixed, monkeypatch
):
    monkeypatch.setattr("modelfence.wire.guard_handler.READ_ON_S", 0.01)
    fence = await start_fence()
    fence.addon._keeps_bodies = False
    tasks = len(asyncio.all_tasks())
    resident = []
    for _ in range(ROUNDS):
        await send_mixed(fence, mixed, REQUESTS // ROUNDS)
        await abort_streams(fence, upstream, wire, STREAMS // ROUNDS)
        await settle_down(fence, upstream, wire)
        resident.append(resident_bytes())
    assert resident[-1] - resident[0] < MOST_GROWN
    assert len(asyncio.all_tasks()) <= tasks
    assert fence.proxy._handlers == set()
    assert fence.proxy._doors.open == 0
    assert fence.watcher.failures == 0
    loop = asyncio.get_running_loop()
    assert len([timer for timer in loop._scheduled if not timer.cancelled()]) < 20  # type: ignore[attr-defined]


async def test_nothing_of_a_call_waits_for_the_garbage_collector(fence, wire):
    plain, stream = wire.post(), wire.post({**wire.BODY, "stream": True})
    client = await fence.connect()
    gc.collect()
    gc.freeze()  # what other tests still hold, in the errors that they raise, is not looked at
    gc.disable()
    try:
        for request in (plain, stream, plain, wire.post(key="sk-nobody"), plain):
            await client.send(request)
            await client.answer()
        await fence.addon.all_settled()
        left = [type(one) for one in gc.get_objects() if isinstance(one, GuardedStream | HTTPFlow)]
    finally:
        gc.enable()
        gc.unfreeze()
    assert left == []
