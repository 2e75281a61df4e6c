"""Whatever is cut is cut at once and on both sides: refusals before their body, streams, and clients who vanish."""

import asyncio
import logging
import socket
import struct
import time

import pytest

from modelfence.enforcement.deadlines import Deadlines
from modelfence.wire.guard_stream import READ_ON_BYTES

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\n"
SOON_S = 0.6
"""Less than the second that a silent upstream is given, and far more than anything takes."""
METERED = """
version: 1
access:
  - {id: active, allow: kyc.status == "active"}
throttle:
  - {id: tokens, key: account.id, unit: output_tokens, rate: 2 per day, burst: 260}
"""


async def nothing(_): ...


def vanish(client) -> None:
    """Reset the connection, as a client does that is killed."""
    connection = client.writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.writer.transport.abort()


WAYS = {
    "closes": lambda client: client.close(),
    "closes its sending side": lambda client: client.writer.write_eof(),
    "resets": vanish,
}

EARLY = {
    "a path with two meanings": (HEAD.replace(b"/v1/", b"/v1//"), 400),
    "an encoding nobody reads": (HEAD + b"Content-Encoding: br\r\n", 415),
    "a method nobody serves": (HEAD.replace(b"POST", b"TRACE"), 405),
    "a body too large": (HEAD, 413),
    "another expectation": (HEAD + b"Expect: miracles\r\n", 417),
}


@pytest.mark.parametrize(("head", "status"), EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_does_not_wait_for_the_body_and_a_client_who_then_leaves_is_forgotten(
    fence, upstream, wire, head, status, way
):
    client = await fence.connect()
    await client.send(head + b"Content-Length: %d\r\n\r\n" % (999_999_999 if status == 413 else 1000))
    assert (await client.answer()).status == status
    WAYS[way](client)
    await forgotten(fence, wire)
    assert upstream.received == []
    assert fence.watcher.settlements == []


async def forgotten(fence, wire) -> None:
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._handlers or fence.addon._passages:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [True, False])
async def test_the_upstream_of_a_client_who_leaves_before_the_answer_is_let_go_at_once(
    fence, upstream, wire, way, stream
):
    upstream.answers.append(nothing)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": stream}))
    await within(wire.WITHIN_S, upstream.arrived)
    WAYS[way](client)
    await within(SOON_S, upstream.closed)
    assert (await fence.watcher.settlement()).usage.estimated
    await forgotten(fence, wire)


async def within(seconds: float, event: asyncio.Event) -> None:
    async with asyncio.timeout(seconds):
        await event.wait()


@pytest.mark.parametrize("way", WAYS)
async def test_the_upstream_of_a_client_who_leaves_a_stream_is_let_go_within_a_second(fence, upstream, wire, way):
    word = wire.chunk(wire.event("word"))

    async def go_on(writer):
        writer.write(wire.STREAM_HEAD)
        while True:
            writer.write(word)
            await writer.drain()
            await asyncio.sleep(0.01)

    upstream.answers.append(go_on)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    await client.head()
    await client.exactly(word)
    left_at = time.monotonic()
    WAYS[way](client)
    await within(wire.WITHIN_S, upstream.closed)
    assert time.monotonic() - left_at < 2  # a second to learn what it cost, and some to notice
    assert (await fence.watcher.settlement()).usage.output_tokens < READ_ON_BYTES
    await forgotten(fence, wire)


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_who_leaves_while_he_is_judged_costs_no_call(fence, upstream, wire, way):
    fence.accounts.hangs = True
    fence.addon.hook_deadlines = Deadlines(0.1)
    client = await fence.connect()
    await client.send(wire.post())
    WAYS[way](client)
    await forgotten(fence, wire)
    assert upstream.received == []


AT_ONCE = {
    "nothing": b"",
    "half a head": b"POST /v1/chat",
    "a request": HEAD + b"Content-Length: 35\r\n\r\n" + b'{"model": "gpt-4o", "messages": []}',
    "a request that closes": HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "what can not be read": b"nonsense\r\n\r\n",
}


@pytest.mark.parametrize("data", AT_ONCE.values(), ids=AT_ONCE)
@pytest.mark.parametrize("way", WAYS)
async def test_a_client_who_leaves_as_he_comes_is_no_failure(fence, wire, caplog, data, way):
    with caplog.at_level(logging.ERROR):
        for _ in range(20):
            client = await fence.connect()
            client.writer.write(data)
            WAYS[way](client)
        async with asyncio.timeout(wire.WITHIN_S):
            while fence.proxy._connections:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
    assert caplog.records == []
    assert len(fence.watcher.settlements) == fence.watcher.admitted


async def test_a_stream_that_is_cut_ends_whole_and_what_is_behind_it_is_judged(start_fence, upstream, wire):
    async def flood(writer):
        writer.write(wire.STREAM_HEAD)
        while True:
            writer.write(wire.chunk(wire.event("word " * 10) * 10))
            await writer.drain()

    upstream.answers.append(flood)
    fence = await start_fence(policy=METERED)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}) + wire.post())
    answer = await client.answer()
    assert answer.body.endswith(b"data: [DONE]\n\n")
    await within(SOON_S, upstream.closed)
    assert (await client.answer()).status == 429
    assert fence.watcher.cuts == ["tokens"]
    assert len(upstream.requests) == 1


async def test_a_call_is_settled_once_however_it_ends(fence, upstream, wire):
    """The client, the upstream and the budget race for the end of each stream."""
    word = wire.chunk(wire.event("word"))

    async def end_somehow(writer):
        writer.write(wire.STREAM_HEAD + word)
        await asyncio.sleep(0.001 * (len(upstream.requests) % 4))
        writer.transport.abort() if len(upstream.requests) % 2 else writer.close()

    async def leave(n: int):
        upstream.answers.append(end_somehow)
        client = await fence.connect()
        await client.send(wire.post({**wire.BODY, "stream": True}))
        await asyncio.sleep(0.001 * (n % 5))
        list(WAYS.values())[n % 3](client)

    await asyncio.gather(*(leave(n) for n in range(60)))
    await forgotten(fence, wire)
    assert len(fence.watcher.settlements) == fence.watcher.admitted
    assert fence.watcher.failures == 0
