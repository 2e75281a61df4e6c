"""Heads that two parsers could read differently are refused, and nothing of them reaches the upstream."""

import asyncio

import pytest

LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"Host: fence\r\n"
REST = b"Authorization: Bearer sk-acme\r\nContent-Length: 2\r\n\r\n{}"
GOOD = LINE + HOST + REST


def with_header(*lines: bytes) -> bytes:
    return LINE + HOST + b"".join(line + b"\r\n" for line in lines) + REST


def with_line(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + REST


UNREADABLE = {
    "a bare line feed at the end of a header": LINE + b"Host: fence\n" + REST,
    "bare line feeds only": GOOD.replace(b"\r\n", b"\n"),
    "a bare carriage return in a value": with_header(b"X: a\rb"),
    "a bare carriage return that hides a header": with_header(b"X: a\rTransfer-Encoding: chunked"),
    "a bare carriage return in the request line": with_line(b"GET /v1/models\rX HTTP/1.1"),
    "a NUL in a value": with_header(b"X: a\0b"),
    "a NUL in a name": with_header(b"X\0: a"),
    "a folded header": with_header(b"X: a", b" b"),
    "a header folded with a tab": with_header(b"X: a", b"\tb"),
    "a first header that begins with a space": LINE + b" Host: fence\r\n" + REST,
    "a header without a colon": with_header(b"nonsense"),
    "a control character in a value": with_header(b"X: a\x01b"),
    "a vertical tab before a value": with_header(b"X: \x0bb"),
    "a name that is no token": with_header(b"X(y): a"),
    "an empty name": with_header(b": a"),
    "HTTP/0.9": b"GET /v1/models\r\n\r\n",
    "HTTP/1.2": with_line(b"GET /v1/models HTTP/1.2"),
    "HTTP/2.0": with_line(b"GET /v1/models HTTP/2.0"),
    "HTTP/1.1 in small letters": with_line(b"GET /v1/models http/1.1"),
    "a version with more digits": with_line(b"GET /v1/models HTTP/1.10"),
    "two spaces in the request line": with_line(b"GET  /v1/models HTTP/1.1"),
    "a tab in the request line": with_line(b"GET\t/v1/models HTTP/1.1"),
    "a space at the end of the request line": with_line(b"GET /v1/models HTTP/1.1 "),
    "a space in the target": with_line(b"GET /v1/models x HTTP/1.1"),
    "a space before the method": with_line(b" GET /v1/models HTTP/1.1"),
    "an absolute target": with_line(b"GET http://evil/v1/models HTTP/1.1"),
    "an absolute target in capitals": with_line(b"GET HTTP://evil/v1/models HTTP/1.1"),
    "an asterisk": with_line(b"OPTIONS * HTTP/1.1"),
    "CONNECT": with_line(b"CONNECT evil:443 HTTP/1.1"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    "an empty line before the request": b"\r\n" + GOOD,
    "no host": LINE + REST,
    "two hosts": with_header(b"Host: other"),
    "two hosts that agree": with_header(b"Host: fence"),
    "a length and chunks": with_header(b"Transfer-Encoding: chunked"),
    "two lengths": with_header(b"Content-Length: 3"),
    "two lengths that agree": with_header(b"Content-Length: 2"),
    "a list of lengths": LINE + HOST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a signed length": LINE + HOST + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": LINE + HOST + b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": LINE + HOST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length with a leading zero": LINE + HOST + b"Content-Length: 02\r\n\r\n{}",
    "an empty length": LINE + HOST + b"Content-Length:\r\n\r\n{}",
    "a length of many digits": LINE + HOST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a length in other digits": LINE + HOST + "Content-Length: ٢\r\n\r\n{}".encode(),
    "a space before the colon": with_header(b"X : a"),
    "a length with a space before the colon": LINE + HOST + b"Content-Length : 2\r\n\r\n{}",
}
CHUNKED = {
    "xchunked": b"xchunked",
    "chunked twice": b"chunked, chunked",
    "gzip and chunked": b"gzip, chunked",
    "chunked and then gzip": b"chunked, gzip",
    "identity": b"identity",
    "chunked in quotes": b'"chunked"',
    "chunked with a parameter": b"chunked;q=1",
    "chunked after a vertical tab": b"\x0bchunked",
    "nothing": b"",
}
UNREADABLE |= {
    f"a transfer encoding of {name}": LINE + HOST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n"
    for name, value in CHUNKED.items()
} | {
    "two transfer encodings": LINE + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": LINE.replace(b"1.1", b"1.0") + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(fence, upstream, data):
    client = await fence.connect()
    await client.send(data)
    answer = await client.answer()
    assert answer.status == 400
    assert answer["connection"] == "close"
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert await client.rest() == b""
    assert upstream.received == []
    assert len(fence.watcher.refusals) == 1


READABLE_BUT_REFUSED = {
    "a method in small letters": (with_line(b"get /v1/models HTTP/1.1"), 405),
    "TRACE, which would echo the fence's credential": (with_line(b"TRACE /v1/models HTTP/1.1"), 405),
    "two content types": (with_header(b"Content-Type: a/b", b"Content-Type: a/b"), 400),
    "two content encodings": (with_header(b"Content-Encoding: gzip", b"Content-Encoding: gzip"), 400),
    "deflate": (with_header(b"Content-Encoding: deflate"), 415),
    "gzip twice": (with_header(b"Content-Encoding: gzip, gzip"), 415),
}
TARGETS = [
    "//v1/models", "/v1//models", "/v1/./models", "/v1/../v1/models", "/v1/models/..", "/v1/models/.", "/%2e%2e/models",
    "/v1/%2e/models", "/v1%2fmodels", "/v1%2Fmodels", "/v1/models%00", "/v1/models;x=1", "/v1/..;/models",
    "/v1\\models", "/v1%5cmodels", "/v1/models#x", "/v1/models%23%", "/v1/models%", "/v1/models%2", "/v1/models%zz",
    "/v1/%6dodels", "/v1/models%252e", "/v1/models%0d%0aX:%20y", "/v1/caf\xe9", "/v1/models%c0%ae", "/v1/models%ff",
    "/v1/models%7f", "/v1/models?x=caf\xe9", "/v1/models?a#b",
]  # fmt: skip
READABLE_BUT_REFUSED |= {
    f"the target {target}": (with_line(f"POST {target} HTTP/1.1".encode("latin-1")), 400) for target in TARGETS
}


@pytest.mark.parametrize(("data", "status"), READABLE_BUT_REFUSED.values(), ids=READABLE_BUT_REFUSED)
async def test_what_is_framed_well_is_refused_and_the_connection_kept(fence, upstream, wire, data, status):
    client = await fence.connect()
    await client.send(data)
    answer = await client.answer()
    assert answer.status == status
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert upstream.received == []
    await client.send(wire.post())
    assert (await client.answer()).status == 200


LARGE = {
    "a long line": with_header(b"X: " + b"x" * 20_000),
    "a long target": with_line(b"GET /v1/models?" + b"x" * 20_000 + b" HTTP/1.1"),
    "many headers": with_header(*(b"X: y" for _ in range(200))),
    "a head without end": LINE + b"X: " + b"x" * 20_000,
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
async def test_a_head_beyond_its_bound_is_a_431(fence, upstream, data):
    client = await fence.connect()
    await client.send(data)
    assert (await client.answer()).status == 431
    assert await client.rest() == b""
    assert upstream.received == []


async def test_a_head_that_comes_byte_by_byte_is_read_like_any(fence, upstream, wire):
    client = await fence.connect()
    data = wire.post()
    for place in range(len(data)):
        await client.send(data[place : place + 1])
        await asyncio.sleep(0)
    assert (await client.answer()).status == 200
    assert upstream.requests[0].json == wire.BODY


async def test_a_head_that_never_ends_is_a_408(start_fence, upstream, wire):
    fence = await start_fence(bounds=wire.Bounds(head_bytes=16384, request_bytes=65536, head_s=0.05))
    client = await fence.connect()
    await client.send(LINE)
    assert (await client.answer()).status == 408
    assert upstream.received == []


async def test_a_later_head_has_its_own_time(start_fence, upstream, wire):
    fence = await start_fence(bounds=wire.Bounds(head_bytes=16384, request_bytes=65536, head_s=0.05))
    client = await fence.connect()
    data = wire.post()
    for _ in range(2):
        await client.send(data[:10])
        await asyncio.sleep(0)
        await client.send(data[10:])
        assert (await client.answer()).status == 200
    await client.send(data[:10])
    assert (await client.answer()).status == 408
    assert len(upstream.requests) == 2


async def test_the_answer_to_a_refused_head_arrives_although_more_was_sent(fence, upstream):
    client = await fence.connect()
    await client.send(b"nonsense\r\n\r\n" + b"x" * 100_000)
    answer = await client.answer()
    assert (answer.status, upstream.received) == (400, [])


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_request_without_a_body_reaches_the_upstream_without_a_length(start_fence, upstream, method):
    fence = await start_fence()
    data = f"{method} /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\n\r\n".encode()
    client = await fence.connect()
    upstream.answers.append(
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (2, b"" if method == "HEAD" else b"ok")
    )
    await client.send(data)
    answer = await client.answer(to_head=method == "HEAD")
    assert (answer.status, answer["content-length"]) == (200, "2")
    assert "content-length" not in upstream.requests[0]
    assert "transfer-encoding" not in upstream.requests[0]
    await client.send(data.replace(b"sk-acme", b"sk-nobody"))
    refusal = await client.answer(to_head=method == "HEAD")
    assert refusal.status == 401
    # Had the refusal of a HEAD a body, it would be taken for the beginning of this answer.
    await client.send(data.replace(method.encode(), b"GET"))
    assert (await client.answer()).status == 200
