"""A stream whose upstream states its length may become shorter: it goes on in chunks, so that its end can be told."""

import asyncio

import pytest


def stated(length: int, version: str = "1.1") -> bytes:
    return f"HTTP/{version} 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n".encode()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_a_stream_with_a_length_goes_on_in_chunks_and_the_connections_serve_on(fence, upstream, wire, version):
    body = wire.event("one") + wire.event(usage=wire.USAGE)
    upstream.answers.append(stated(len(body), version) + body)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    answer = await client.answer()
    assert (answer.first_line, answer["transfer-encoding"]) == ("HTTP/1.1 200 OK", "chunked")
    assert "content-length" not in answer
    assert answer.body == wire.event("one")  # the report that the fence had asked for was counted in the length
    await client.send(wire.post())
    assert (await client.answer()).body == wire.PLAIN
    assert len(upstream.received) == (1 if version == "1.1" else 2)


async def test_a_stream_that_breaks_off_before_its_length_does_not_look_whole(fence, upstream, wire):
    async def cut(writer):
        writer.write(stated(900) + wire.event("one"))
        await writer.drain()
        writer.close()

    upstream.answers.append(cut)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    assert (await client.head())["transfer-encoding"] == "chunked"
    await client.exactly(wire.chunk(wire.event("one")))
    assert await client.rest() == b""  # and not the chunk that ends an answer
    assert (await fence.watcher.settlement()).usage.output_tokens == 1


async def test_a_client_of_http_1_0_gets_such_a_stream_up_to_the_end_of_its_connection(fence, upstream, wire):
    upstream.answers.append(stated(len(wire.event("one"))) + wire.event("one"))
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}).replace(b"HTTP/1.1", b"HTTP/1.0"))
    answer = await client.answer()
    assert "transfer-encoding" not in answer
    assert "content-length" not in answer
    assert answer.body == wire.event("one")


async def test_a_stream_of_nothing_keeps_its_length(fence, upstream, wire):
    upstream.answers.append(stated(0))
    client = await fence.connect()
    for body in (b"", wire.PLAIN):
        await client.send(wire.post())
        answer = await client.answer()
        assert answer["content-length"] == str(len(body))
        assert "transfer-encoding" not in answer
        assert answer.body == body


async def test_an_answer_to_head_keeps_its_length(fence, upstream, wire):
    upstream.answers.append(stated(900))
    client = await fence.connect()
    await client.send(wire.post(b"", path="/v1/models").replace(b"POST", b"HEAD"))
    answer = await client.answer(to_head=True)
    assert (answer.status, answer["content-length"]) == (200, "900")
    assert "transfer-encoding" not in answer
    await client.send(wire.post())
    assert (await client.answer()).body == wire.PLAIN


async def test_a_stream_that_ends_with_its_upstreams_connection_ends_with_the_clients(fence, upstream, wire):
    async def until_the_end(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + wire.event("one"))
        await writer.drain()
        await asyncio.sleep(0)
        writer.close()

    upstream.answers.append(until_the_end)
    answer = await fence.exchange(wire.post({**wire.BODY, "stream": True}))
    assert "transfer-encoding" not in answer
    assert answer.body == wire.event("one")
