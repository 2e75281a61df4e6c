"""Answers are asked for plain; one that costs something and comes encoded can't be counted, and is not passed on."""

import gzip
import logging

import pytest

from modelfence.wire.bodies import unasked_encoding

STREAM = "text/event-stream"
ENCODED = {
    "a plain answer": ("application/json", ["Content-Encoding: gzip"], "gzip"),
    "a stream": (STREAM, ["Content-Encoding: br"], "br"),
    "twice": (STREAM, ["Content-Encoding: identity", "content-encoding: GZIP, deflate"], "gzip, deflate"),
    "an encoding nobody knows": (STREAM, ["Content-Encoding: x"], "x"),
}


@pytest.mark.parametrize(("kind", "headers", "named"), ENCODED.values(), ids=ENCODED)
async def test_an_encoded_answer_is_a_502_and_the_log_names_the_encoding(
    fence, upstream, wire, caplog, kind, headers, named
):
    upstream.answers.append(wire.answer(gzip.compress(wire.PLAIN), "200 OK", *headers, kind=kind))
    client = await fence.connect()
    with caplog.at_level(logging.ERROR, "modelfence"):
        await client.send(wire.post())
        answer = await client.answer()
    assert (answer.status, answer.json["error"]["type"]) == (502, "server_error")
    assert [record.getMessage().split("`")[1] for record in caplog.records] == [named]
    assert (await fence.watcher.settlement()).usage is None
    assert fence.watcher.began == 0
    await client.send(wire.post())
    assert (await client.answer()).body == wire.PLAIN
    assert len(upstream.received) == 2  # what was left of the first came on a connection that is gone


async def test_chunks_that_are_compressed_are_refused_like_any_encoding(fence, upstream, wire):
    head = wire.STREAM_HEAD.replace(b"chunked", b"gzip, chunked")
    upstream.answers.append(head + wire.chunk(gzip.compress(wire.event("one"))) + b"0\r\n\r\n")
    assert (await fence.exchange(wire.post({**wire.BODY, "stream": True}))).status == 502
    assert (await fence.watcher.settlement()).usage is None


async def test_an_encoded_error_passes_as_it_is(fence, upstream, wire):
    body = gzip.compress(b'{"error": {}}')
    upstream.answers.append(wire.answer(body, "500 Oops", "Content-Encoding: gzip"))
    answer = await fence.exchange(wire.post())
    assert (answer.status, answer["content-encoding"], answer.body) == (500, "gzip", body)


@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_an_answer_that_says_it_is_plain_is_counted(fence, upstream, wire, encoding):
    upstream.answers.append(wire.answer(wire.PLAIN, "200 OK", f"Content-Encoding: {encoding}"))
    assert (await fence.exchange(wire.post())).body == wire.PLAIN
    assert (await fence.watcher.settlement()).usage.output_tokens == 7


async def test_an_answer_without_a_body_may_say_how_it_would_be_encoded(fence, upstream, wire):
    upstream.answers.append(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 900\r\n\r\n")
    client = await fence.connect()
    await client.send(wire.post(b"", path="/v1/models").replace(b"POST", b"HEAD"))
    assert (await client.answer(to_head=True)).status == 200


@pytest.mark.parametrize(
    ("fields", "encoding"),
    [
        ([], ""),
        ([(b"Transfer-Encoding", b"Chunked")], ""),
        ([(b"Transfer-Encoding", b"gzip"), (b"Content-Encoding", b" zstd ")], "gzip, zstd"),
        ([(b"Content-Encoding", b"\xff")], "\xff"),
    ],
)
def test_every_encoding_is_named(fields, encoding):
    assert unasked_encoding(fields) == encoding
