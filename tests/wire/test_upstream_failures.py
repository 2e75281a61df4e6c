"""An upstream that fails costs the client its request, and nothing else."""

import asyncio

import pytest

from modelfence.core.upstream import Upstream


async def test_an_upstream_that_can_not_be_reached_is_a_502_and_the_next_request_on_the_connection_works(
    fence, upstream, wire
):
    await upstream.stop()
    client = await fence.connect()
    for _ in range(2):
        await client.send(wire.post())
        answer = await client.answer()
        assert answer.status == 502
        assert answer.json["error"]["type"] == "server_error"
        assert str(upstream.port) not in answer.body.decode()
        assert "127.0.0.1" not in answer.body.decode()
        # What the caller is told is what the audit log knows the call by.
        assert answer["x-request-id"] == fence.watcher.calls[-1].call.id
    settled = await fence.watcher.settlement(2)
    assert (settled.usage, settled.status) == (None, None)
    await upstream.start()
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    assert fence.watcher.refusals == []  # they were judged and let in: the failure is not the fence's


async def test_pipelined_requests_are_answered_although_the_upstream_can_not_be_reached(fence, upstream, wire):
    await upstream.stop()
    client = await fence.connect()
    await client.send(wire.post() * 3)
    assert [(await client.answer()).status for _ in range(3)] == [502] * 3
    await upstream.start()


async def test_a_502_speaks_the_shape_of_the_upstream_it_was_for(start_fence, upstream, wire):
    await upstream.stop()
    nowhere = Upstream("nowhere", "openai", "http", "127.0.0.1", upstream.port, prefix="/nowhere")
    fence = await start_fence(upstreams=[nowhere])
    answer = await fence.exchange(wire.post(path="/nowhere/v1/chat/completions"))
    assert (answer.status, answer.json["error"]["code"]) == (502, "service_unavailable")
    await upstream.start()


GARBAGE = {
    "no HTTP": b"garbage\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabc",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000,
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_an_answer_that_is_garbage_is_a_5xx_and_is_settled(fence, upstream, wire, data):
    upstream.answers.append(data)
    client = await fence.connect()
    await client.send(wire.post())
    answer = await client.answer()
    assert answer.status in (502, 503)
    assert answer.json["error"]["code"] == "service_unavailable"
    assert (await fence.watcher.settlement()).usage is None
    await client.send(wire.post())
    assert (await client.answer()).status == 200


async def end_at_once(writer):
    writer.close()


async def test_an_upstream_that_closes_without_an_answer_is_a_502(fence, upstream, wire):
    upstream.answers.append(end_at_once)
    client = await fence.connect()
    await client.send(wire.post())
    answer = await client.answer()
    assert (answer.status, answer["x-request-id"]) == (502, fence.watcher.calls[-1].call.id)
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    await client.send(b"GARBAGE\r\n\r\n")
    answer = await client.answer()
    assert answer.status == 400
    assert answer["x-request-id"] not in {one.call.id for one in fence.watcher.calls}


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_an_answer_that_is_cut_short_does_not_look_whole_to_the_client(fence, upstream, wire, framing):
    async def cut(writer):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" if framing == "length" else wire.STREAM_HEAD
        writer.write(head + (b"half" if framing == "length" else wire.chunk(wire.event("x" * 40))))
        await writer.drain()
        writer.close()

    upstream.answers.append(cut)
    client = await fence.connect()
    await client.send(wire.post())
    with pytest.raises(asyncio.IncompleteReadError):
        await client.answer()
    settled = await fence.watcher.settlement()
    assert settled.status == 200
    if framing == "chunks":
        assert settled.usage.output_tokens >= 10


async def test_an_answer_that_ends_with_the_upstreams_connection_is_passed_on_and_counted(fence, upstream, wire):
    async def until_the_end(writer):
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + wire.PLAIN)
        await writer.drain()
        writer.close()

    upstream.answers.append(until_the_end)
    client = await fence.connect()
    await client.send(wire.post())
    answer = await client.answer()
    assert (answer.first_line, answer.body) == ("HTTP/1.1 200 OK", wire.PLAIN)
    assert (await fence.watcher.settlement()).usage.output_tokens == 7


@pytest.mark.parametrize(
    ("lines", "connections"),
    [
        (["HTTP/1.1 200 OK"], 1),
        (["HTTP/1.1 200 OK", "Connection: keep-alive"], 1),
        (["HTTP/1.1 200 OK", "Connection: close"], 2),
        (["HTTP/1.0 200 OK"], 2),
        (["HTTP/1.0 200 OK", "Connection: keep-alive"], 1),
    ],
)
async def test_an_upstreams_connection_is_used_again_if_the_upstream_means_it_to(
    fence, upstream, wire, lines, connections
):
    head = "\r\n".join([*lines, "Content-Type: application/json", f"Content-Length: {len(wire.PLAIN)}"])
    upstream.answers.append(f"{head}\r\n\r\n".encode() + wire.PLAIN)
    client = await fence.connect()
    for _ in range(2):
        await client.send(wire.post())
        assert (await client.answer()).body == wire.PLAIN
    assert len(upstream.received) == connections


async def test_the_connection_of_an_answer_that_ends_with_it_is_closed(fence, upstream, wire):
    async def until_half_closed(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + wire.PLAIN)
        writer.write_eof()

    upstream.answers.append(until_half_closed)
    client = await fence.connect()
    await client.send(wire.post())
    await client.answer()
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.closed.wait()


async def test_connections_that_the_upstream_closed_in_between_are_replaced_and_forgotten(fence, upstream, wire):
    client = await fence.connect()
    for _ in range(5):
        await client.send(wire.post())
        assert (await client.answer()).status == 200
        await upstream.drop_connections()
        await fence.exchange(wire.post(key="sk-nobody"))  # the fence has seen by now that it was closed
    assert len(upstream.received) == 5
    name = client.writer.get_extra_info("sockname")
    (handler,) = [one for one in fence.proxy._handlers if one.client.peername == name]
    assert len(handler.layer.connections) <= 3


async def test_interim_answers_are_dropped(fence, upstream, wire):
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    upstream.answers.append(interim + wire.answer())
    client = await fence.connect()
    for _ in range(2):
        await client.send(wire.post())
        assert (await client.answer()).body == wire.PLAIN
    assert len(upstream.received) == 1


async def test_trailers_of_the_upstream_are_dropped(fence, upstream, wire):
    upstream.answers.append(wire.STREAM_HEAD + wire.chunk(b"data: a\n\n") + b"0\r\nX-Trailer: a\r\n\r\n")
    client = await fence.connect()
    for body in (b"data: a\n\n", wire.PLAIN):
        await client.send(wire.post())
        assert (await client.answer()).body == body
    assert len(upstream.received) == 1


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("204 No Content", "X: a"),
        ("304 Not Modified", "X: a"),
        ("304 Not Modified", "Content-Length: 5"),
        ("304 Not Modified", "Transfer-Encoding: chunked"),
    ],
)
async def test_answers_without_a_body_leave_the_connection_in_order(fence, upstream, wire, status, line):
    upstream.answers.append(f"HTTP/1.1 {status}\r\n{line}\r\n\r\n".encode())
    client = await fence.connect()
    await client.send(wire.post())
    assert (await client.head()).first_line == f"HTTP/1.1 {status}"
    await client.send(wire.post())
    assert (await client.answer()).body == wire.PLAIN
