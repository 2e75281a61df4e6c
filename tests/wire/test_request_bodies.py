"""Bodies: however framed and encoded, the upstream gets what was judged, with its length, or nothing."""

import asyncio
import gzip
import json
import zlib

import pytest

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("sizes", [[1000], [1, 2, 3], [1] * 40], ids=str)
async def test_a_chunked_body_reaches_the_upstream_whole_and_with_its_length(fence, upstream, wire, sizes):
    body = json.dumps(wire.BODY).encode()
    chunks, rest = b"", body
    for size in sizes:
        chunks += wire.chunk(rest[:size]) if rest else b""
        rest = rest[size:]
    chunks += wire.chunk(rest) if rest else b""
    answer = await fence.exchange(CHUNKED + chunks + b"0\r\n\r\n")
    assert answer.status == 200
    assert upstream.requests[0].body == body
    assert upstream.requests[0]["content-length"] == str(len(body))
    assert "transfer-encoding" not in upstream.requests[0]


async def test_an_empty_body_is_stated_as_empty(fence, upstream, wire):
    await fence.exchange(wire.post(b""))
    assert upstream.requests == []  # a chat without a body is malformed
    policy_admits_it = wire.post(b"", path="/v1/other")
    assert (await fence.exchange(policy_admits_it)).status == 200
    assert upstream.requests[0]["content-length"] == "0"


async def test_chunk_extensions_are_dropped(fence, upstream, wire):
    body = json.dumps(wire.BODY).encode()
    data = b"%x;name=value\r\n%s\r\n0;last\r\n\r\n" % (len(body), body)
    assert (await fence.exchange(CHUNKED + data)).status == 200
    assert upstream.requests[0].body == body


BROKEN = {
    "a size that is no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "a size with a sign": b"+2\r\n{}\r\n0\r\n\r\n",
    "a size with a prefix": b"0x2\r\n{}\r\n0\r\n\r\n",
    "a size of many digits": b"0" * 30 + b"2\r\n{}\r\n0\r\n\r\n",
    "a size beyond 64 bits": b"fffffffffffffffffffff\r\n{}\r\n",
    "a size with a space before it": b" 2\r\n{}\r\n0\r\n\r\n",
    "a size with a bare line feed": b"2\n{}\n0\n\n\r\n",
    "an extension with a bare line feed": b"2;\nxx\r\n{}\r\n0\r\n\r\n",
    "more data than its size": b"2\r\n{}}\r\n0\r\n\r\n",
    "no line end after the data": b"2\r\n{}0\r\n\r\n",
    "trailers": b"2\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n",
    "trailers that frame": b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n",
    "a malformed trailer": b"2\r\n{}\r\n0\r\nnonsense\r\n\r\n",
    "a chunk line without end": b"2;" + b"x" * 30_000,
    "trailers without end": b"2\r\n{}\r\n0\r\nX: " + b"x" * 30_000,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_broken_chunks_are_a_400_and_the_connection_is_closed(fence, upstream, data):
    client = await fence.connect()
    await client.send(CHUNKED + data)
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (400, "close")
    assert answer.json["error"]["message"]
    assert await client.rest() == b""
    assert upstream.received == []


@pytest.mark.parametrize("data", [HEAD + b"Content-Length: 10\r\n\r\n{", CHUNKED + b"5\r\n{"], ids=["length", "chunks"])
async def test_a_client_that_leaves_within_its_body_costs_nothing(fence, upstream, data):
    client = await fence.connect()
    await client.send(data)
    client.writer.write_eof()
    assert await client.rest() == b""
    assert upstream.received == []
    assert fence.watcher.calls == []


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
async def test_gzip_is_judged_and_sent_decoded(fence, upstream, wire, encoding):
    body = json.dumps(wire.BODY).encode()
    answer = await fence.exchange(wire.post(gzip.compress(body), f"Content-Encoding: {encoding}"))
    assert answer.status == 200
    assert upstream.requests[0].body == body
    assert upstream.requests[0]["content-length"] == str(len(body))
    assert "content-encoding" not in upstream.requests[0]


UNDECODABLE = {
    "a bomb": (gzip.compress(b"0" * 10_000_000), "gzip", 413),
    "a bomb in a bomb's clothes": (gzip.compress(b" " * 300_000 + b"{}"), "gzip", 413),
    "not gzip": (b"{}", "gzip", 400),
    "cut off": (gzip.compress(b"{}")[:-3], "gzip", 400),
    "followed by more": (gzip.compress(b"{}") + b"{}", "gzip", 400),
    "empty": (b"", "gzip", 400),
    "deflate": (zlib.compress(b"{}"), "deflate", 415),
    "brotli": (b"{}", "br", 415),
    "several": (gzip.compress(b"{}"), "gzip, identity", 415),
}


@pytest.mark.parametrize("row", UNDECODABLE.values(), ids=UNDECODABLE)
async def test_a_compressed_body_that_can_not_be_judged_is_refused(fence, upstream, wire, row):
    body, encoding, status = row
    assert (await fence.exchange(wire.post(body, f"Content-Encoding: {encoding}"))).status == status
    assert upstream.received == []
    assert fence.watcher.calls == []


MALFORMED = {
    "no JSON": (b"hello", "not valid JSON"),
    "empty": (b"", "JSON"),
    "a list": (b"[]", "object"),
    "keys twice": (b'{"model": "a", "model": "b"}', "'model' twice"),
    "a wrong type": (b'{"model": 7, "messages": []}', "model"),
    "no model": (b'{"messages": []}', "model"),
    "not UTF-8": (b'{"model": "\xff"}', "UTF-8"),
}


@pytest.mark.parametrize(("body", "word"), MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_body_is_a_clear_400_and_the_connection_goes_on(fence, upstream, wire, body, word):
    client = await fence.connect()
    await client.send(wire.post(body))
    answer = await client.answer()
    assert answer.status == 400
    assert word in answer.json["error"]["message"]
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    assert len(upstream.requests) == 1


async def test_a_path_that_nothing_is_served_under_is_a_404(start_fence, upstream, wire):
    fence = await start_fence(prefix="/openai")
    for path in ("/v1/chat/completions", "/openaix/v1/chat/completions", "/"):
        assert (await fence.exchange(wire.post(path=path))).status == 404
    assert upstream.received == []


async def test_a_key_that_is_not_known_is_a_401(fence, upstream, wire):
    answer = await fence.exchange(wire.post(key="sk-nobody"))
    assert (answer.status, answer.json["error"]["code"]) == (401, "invalid_api_key")
    assert upstream.received == []


# What follows is about bodies that are refused before they are whole.


async def test_a_body_announced_as_too_large_is_refused_at_once(fence, upstream):
    client = await fence.connect()
    await client.send(HEAD + b"Content-Length: 99999999\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (413, "close")
    assert await client.rest() == b""
    assert upstream.received == []


async def test_a_chunked_body_is_refused_once_it_is_too_large(fence, upstream, wire):
    client = await fence.connect()
    await client.send(CHUNKED)
    for _ in range(5):
        await client.send(wire.chunk(b"x" * 60_000))
    assert (await client.answer()).status == 413
    assert upstream.received == []
    await client.send(b"0\r\n\r\n" + wire.post())
    assert (await client.answer()).status == 200


async def test_a_client_that_goes_on_after_its_refusal_is_cut_off(fence, upstream, wire):
    client = await fence.connect()
    await client.send(CHUNKED)
    with pytest.raises(ConnectionError):  # noqa: PT012 - when it breaks is the kernel's choice
        async with asyncio.timeout(wire.WITHIN_S):
            while True:
                await client.send(wire.chunk(b"x" * 60_000))
    assert upstream.received == []


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_refused_head_is_answered_while_its_body_is_sent_and_the_next_request_is_served(
    fence, upstream, wire, framing
):
    client = await fence.connect()
    how = b"Content-Length: 1000" if framing == "length" else b"Transfer-Encoding: chunked"
    await client.send(
        HEAD.replace(b"/v1/", b"/v1//") + how + b"\r\n\r\n" + (b"3e8\r\n" if framing == "chunks" else b"")
    )
    assert (await client.answer()).status == 400
    smuggled = wire.post().ljust(1000, b"x")
    await client.send(smuggled + (b"\r\n0\r\n\r\n" if framing == "chunks" else b""))
    await client.send(wire.post({**wire.BODY, "user": "next"}))
    assert (await client.answer()).status == 200
    assert [request.json.get("user") for request in upstream.requests] == ["next"]


async def test_the_upstream_is_asked_only_once_the_whole_body_was_judged(fence, upstream, wire):
    client = await fence.connect()
    data = wire.post()
    await client.send(data[:-1])
    assert (await fence.exchange(wire.post(key="sk-nobody"))).status == 401  # the fence has seen all that was sent
    assert upstream.received == []
    await client.send(data[-1:])
    assert (await client.answer()).status == 200


async def test_an_expectation_is_met_when_the_body_is_welcome(fence, upstream, wire):
    client = await fence.connect()
    head, _, body = wire.post(wire.BODY, "Expect: 100-continue").partition(b"\r\n\r\n")
    await client.send(head + b"\r\n\r\n")
    assert (await client.head()).status == 100
    assert upstream.received == []
    await client.send(body)
    assert (await client.answer()).status == 200
    assert "expect" not in upstream.requests[0]


EXPECTING = {
    "too large": (b"Content-Length: 99999999\r\nExpect: 100-continue", 413),
    "compressed": (b"Content-Length: 2\r\nContent-Encoding: br\r\nExpect: 100-continue", 415),
    "another expectation": (b"Content-Length: 2\r\nExpect: 200-ok", 417),
}


@pytest.mark.parametrize(("headers", "status"), EXPECTING.values(), ids=EXPECTING)
async def test_who_asks_before_sending_is_refused_before_and_the_connection_closed(fence, upstream, headers, status):
    client = await fence.connect()
    await client.send(HEAD + headers + b"\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (status, "close")
    assert await client.rest() == b""  # what the client sends next could be its body or a request
    assert upstream.received == []


async def test_a_broken_body_after_the_go_ahead_is_still_answered(fence, upstream):
    client = await fence.connect()
    await client.send(HEAD + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    assert (await client.head()).status == 100
    await client.send(b"zz\r\n")
    assert (await client.answer()).status == 400
    assert upstream.received == []
