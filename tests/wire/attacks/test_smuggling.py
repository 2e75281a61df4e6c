"""A second request hidden in a first, in every way that two parsers have ever disagreed about where one ends.

Each attack is followed by a request that must not reach the upstream, except where it plainly is a request.
"""

import asyncio
import json
from collections import Counter
from random import Random

import pytest
from tests.wire.attacks.outside import strictly

AUTH = b"Authorization: Bearer sk-acme\r\n"
LINE = b"POST /v1/chat/completions HTTP/1.1\r\n"
HOST = b"Host: fence\r\n"
HEAD = LINE + HOST + AUTH
BODY = json.dumps({"model": "gpt-4o", "messages": []}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nHost: fence\r\n" + AUTH + b"\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)


def headed(*lines: bytes) -> bytes:
    """Return a request whose framing is up to these lines, with a body."""
    return HEAD + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + BODY


def lined(line: bytes) -> bytes:
    return line + b"\r\n" + HOST + AUTH + LENGTH + b"\r\n" + BODY


AMBIGUOUS = {
    "a length and chunks": headed(LENGTH[:-2], CHUNKED[:-2]),
    "chunks and a length": headed(CHUNKED[:-2], LENGTH[:-2]),
    "two lengths that differ": headed(LENGTH[:-2], b"Content-Length: 0"),
    "two lengths in other cases": headed(LENGTH[:-2], b"content-LENGTH: 3"),
    "a list of lengths": headed(b"Content-Length: 5, 5"),
    "a list of an empty length": headed(b"Content-Length: 5,"),
    "a length with a plus": headed(b"Content-Length: +5"),
    "a length with a minus": headed(b"Content-Length: -5"),
    "a length with a leading zero": headed(b"Content-Length: 005"),
    "a length in octal": headed(b"Content-Length: 0o5"),
    "a length with an underscore": headed(b"Content-Length: 1_0"),
    "a length with a fraction": headed(b"Content-Length: 5.0"),
    "a length with a space within": headed(b"Content-Length: 1 0"),
    "a length with a vertical tab": headed(b"Content-Length: \x0b5"),
    "a length with a no-break space": headed(b"Content-Length: \xa05"),
    "a length behind a tab in its name": headed(b"Content-Length\t: 5"),
    "a length behind a NUL in its name": headed(b"Content-Length\0: 5"),
    "a length beyond 64 bits": headed(b"Content-Length: 18446744073709551621"),
    "xchunked": headed(b"Transfer-Encoding: xchunked"),
    "chunked, identity": headed(b"Transfer-Encoding: chunked, identity"),
    "identity, chunked": headed(b"Transfer-Encoding: identity, chunked"),
    "chunked and a comma": headed(b"Transfer-Encoding: chunked,"),
    "chunked after a comma": headed(b"Transfer-Encoding: ,chunked"),
    "chunked with a vertical tab": headed(b"Transfer-Encoding: \x0bchunked"),
    "chunked with a form feed": headed(b"Transfer-Encoding: chunked\x0c"),
    "chunked with a NUL": headed(b"Transfer-Encoding: chunked\0"),
    "chunked in quotes": headed(b'Transfer-Encoding: "chunked"'),
    "chunked of a long s": headed("Transfer-Encoding: chunKed".replace("K", "\u212a").encode()),
    "chunked twice": headed(CHUNKED[:-2], CHUNKED[:-2]),
    "chunked, then another": headed(CHUNKED[:-2], b"Transfer-Encoding: x"),
    "chunked behind a space in its name": headed(b"Transfer-Encoding : chunked"),
    "chunked on a folded line": headed(b"Transfer-Encoding:", b" chunked"),
    "chunked folded into another header": headed(b"X: a", b"\tTransfer-Encoding: chunked"),
    "a space before a name": headed(b" Transfer-Encoding: chunked"),
    "a bare return before a name": headed(b"X: a\rTransfer-Encoding: chunked"),
    "a bare line feed before a name": headed(b"X: a\nTransfer-Encoding: chunked"),
    "a bare line feed that ends the head": HEAD + b"X: a\n\n" + HIDDEN,
    "a line feed and a line end": HEAD + b"X: a\n\r\n" + HIDDEN,
    "two returns": HEAD + b"X: a\r\r\n\r\n" + BODY,
    "a NUL in a value": headed(b"X: a\0b"),
    "a NUL in a name": headed(b"X\0Y: a"),
    "a NUL in the request line": lined(b"GET /v1/models\0 HTTP/1.1"),
    "a return in the request line": lined(b"GET /v1/models\r HTTP/1.1"),
    "a line feed in the request line": lined(b"GET /v1/models\n HTTP/1.1"),
    "a vertical tab in the request line": lined(b"GET\x0b/v1/models HTTP/1.1"),
    "an absolute target": lined(b"POST http://fence/v1/chat/completions HTTP/1.1"),
    "an absolute target without a path": lined(b"GET http://fence HTTP/1.1"),
    "an authority as target": lined(b"GET fence:443 HTTP/1.1"),
    "CONNECT": lined(b"CONNECT fence:443 HTTP/1.1"),
    "an asterisk": lined(b"OPTIONS * HTTP/1.1"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /v1/models\r\n",
    "HTTP/2.0": lined(b"GET /v1/models HTTP/2.0"),
    "HTTP/1.2": lined(b"GET /v1/models HTTP/1.2"),
    "HTTP/1.1 with a leading zero": lined(b"GET /v1/models HTTP/01.1"),
    "HTTP/11": lined(b"GET /v1/models HTTP/11"),
    "no version": lined(b"GET /v1/models "),
    "another protocol": lined(b"GET /v1/models ICAP/1.1"),
    "chunks in HTTP/1.0": LINE.replace(b"1.1", b"1.0") + HOST + AUTH + CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("body", [BODY, CHUNK + b"0\r\n\r\n"], ids=["by length", "in chunks"])
async def test_what_two_parsers_could_end_elsewhere_is_refused_and_nothing_behind_it_is_read(
    fence, upstream, data, body
):
    client = await fence.connect()
    await client.send(data.replace(BODY, body) + HIDDEN)
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (400, "close")
    assert await client.rest() == b""
    assert upstream.received == []
    assert fence.watcher.calls == []


BROKEN_CHUNKS = {
    "a size with a plus": b"+1\r\nx\r\n0\r\n\r\n",
    "a size with a minus": b"-1\r\nx\r\n0\r\n\r\n",
    "a size with 0x": b"0x1\r\nx\r\n0\r\n\r\n",
    "a size with an underscore": b"1_0\r\nx\r\n0\r\n\r\n",
    "no size": b"\r\nx\r\n0\r\n\r\n",
    "a size that is an extension": b";a\r\nx\r\n0\r\n\r\n",
    "a size of 2**64 + 1": b"10000000000000001\r\nx\r\n0\r\n\r\n",
    "a size of 2**32 + 1": b"100000001\r\nx\r\n0\r\n\r\n",
    "a size with a space before it": b" 1\r\nx\r\n0\r\n\r\n",
    "a size with a space within": b"1 0\r\nx\r\n0\r\n\r\n",
    "a size with a space after it": b"1 \r\nx\r\n0\r\n\r\n",
    "a size with a tab after it": b"1\t\r\nx\r\n0\r\n\r\n",
    "a size with a NUL": b"1\0\r\nx\r\n0\r\n\r\n",
    "a size that ends with a line feed": b"1\nx\r\n0\r\n\r\n",
    "a size that ends with a return": b"1\rx\r\n0\r\n\r\n",
    "a size that ends with two returns": b"1\r\r\nx\r\n0\r\n\r\n",
    "data that ends with a line feed": b"1\r\nx\n0\r\n\r\n",
    "data that ends with a return": b"1\r\nx\r0\r\n\r\n",
    "data that does not end": b"1\r\nx0\r\n\r\n",
    "data longer than its size": b"1\r\nxx\r\n0\r\n\r\n",
    "a last chunk that ends with a line feed": b"1\r\nx\r\n0\r\n\n",
    "a last chunk that ends with line feeds": b"1\r\nx\r\n0\n\n",
    "a last chunk that ends with a return": b"1\r\nx\r\n0\r\n\rX",
    "an extension with a line feed": b"1;a\nx\r\n0\r\n\r\n",
    "an extension with a return": b"1;a\rb\r\nx\r\n0\r\n\r\n",
    "an extension with a NUL": b"1;a\0\r\nx\r\n0\r\n\r\n",
    "an extension with quotes that do not end": b'1;a="\r\nx\r\n0\r\n\r\n',
    "an extension with a line end in quotes": b'1;a="\r\n"\r\nx\r\n0\r\n\r\n',
    "an extension without a name": b"1;\r\nx\r\n0\r\n\r\n",
    "an extension without a semicolon": b"1 a=b\r\nx\r\n0\r\n\r\n",
    "a long extension": b"1;" + b"a" * 40_000 + b"\r\nx\r\n0\r\n\r\n",
    "more extensions than data": (b"1;" + b"a" * 400 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n",
    "a trailer": b"1\r\nx\r\n0\r\nX: a\r\n\r\n",
    "a trailer that frames": b"1\r\nx\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a trailer that names a host": b"1\r\nx\r\n0\r\nHost: other\r\n\r\n",
    "a trailer that is a credential": b"1\r\nx\r\n0\r\nAuthorization: Bearer sk-other\r\n\r\n",
    "a trailer that is a request": b"1\r\nx\r\n0\r\nGET /v1/hidden HTTP/1.1\r\n\r\n",
    "a folded trailer": b"1\r\nx\r\n0\r\n X: a\r\n\r\n",
}


@pytest.mark.parametrize("data", BROKEN_CHUNKS.values(), ids=BROKEN_CHUNKS)
@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "byte by byte"])
async def test_chunks_that_two_parsers_could_end_elsewhere_are_refused(fence, upstream, data, whole):
    client = await fence.connect()
    await client.send(HEAD + CHUNKED + b"\r\n")
    for piece in [data + HIDDEN] if whole or len(data) > 1000 else [*(bytes([one]) for one in data), HIDDEN]:
        await client.send(piece)
        await asyncio.sleep(0)
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (400, "close")
    assert await client.rest() == b""
    assert upstream.received == []
    assert fence.watcher.calls == []


SOUND_CHUNKS = {
    "in capitals": b"%X\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
    "with zeros before the size": b"0000%x\r\n%s\r\n000\r\n\r\n" % (len(BODY), BODY),
    "with extensions": b'%x;a;b=c ; d = "e;\\"\tf"\r\n%s\r\n0;last\r\n\r\n' % (len(BODY), BODY),
    "of one byte each": b"".join(b"1\r\n%c\r\n" % one for one in BODY) + b"0\r\n\r\n",
}


@pytest.mark.parametrize("data", SOUND_CHUNKS.values(), ids=SOUND_CHUNKS)
@pytest.mark.parametrize("whole", [True, False], ids=["in one piece", "byte by byte"])
async def test_chunks_that_mean_one_thing_reach_the_upstream_as_a_length(fence, upstream, data, whole):
    client = await fence.connect()
    sent = HEAD + CHUNKED + b"\r\n" + data
    for piece in [sent] if whole else [bytes([one]) for one in sent]:
        await client.send(piece)
        await asyncio.sleep(0)
    assert (await client.answer()).status == 200
    assert [one.body for one in strictly(bytes(upstream.received[0]))] == [BODY]


UPGRADES = {
    "h2c": (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    "a websocket on a plain path": (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ),
    "TLS": (b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
}


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES)
async def test_an_upgrade_is_not_offered_upstream_and_what_follows_is_judged_like_any_request(fence, upstream, lines):
    client = await fence.connect()
    await client.send(HEAD + LENGTH + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + BODY)
    assert (await client.answer()).status in (200, 400)
    await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN)
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    assert len(upstream.requests) <= 1
    assert len(fence.watcher.calls) == len(upstream.requests)


async def test_the_preface_of_http_2_in_mid_connection_ends_it(fence, upstream, wire):
    client = await fence.connect()
    await client.send(wire.post() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN)
    assert [(await client.answer()).status for _ in range(2)] == [200, 400]
    assert await client.rest() == b""
    assert len(upstream.requests) == 1


async def test_requests_in_one_segment_are_each_judged(fence, wire):
    client = await fence.connect()
    await client.send(wire.post() + HEAD + CHUNKED + b"\r\n" + CHUNK + b"0\r\n\r\n" + HIDDEN)
    assert [(await client.answer()).status for _ in range(3)] == [200] * 3
    assert [judged.call.path for judged in fence.watcher.calls] == ["/v1/chat/completions"] * 2 + ["/v1/hidden"]


REFUSED_FIRST = {
    "a body that is no JSON": (HEAD, 400),
    "a malformed path": (LINE.replace(b"/v1/", b"/v1//") + HOST + AUTH, 400),
    "an encoding nobody reads": (HEAD + b"Content-Encoding: br\r\n", 415),
}


@pytest.mark.parametrize(("head", "status"), REFUSED_FIRST.values(), ids=REFUSED_FIRST)
@pytest.mark.parametrize("framing", [LENGTH, CHUNKED], ids=["length", "chunks"])
async def test_behind_a_refused_request_its_body_is_no_request_and_the_next_is_judged(
    fence, upstream, head, status, framing
):
    client = await fence.connect()
    hidden = HIDDEN.ljust(len(BODY) * 4, b"x")
    length = b"Content-Length: %d\r\n" % len(hidden)
    body = hidden if framing is LENGTH else b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
    await client.send(head + (length if framing is LENGTH else framing) + b"\r\n" + body + headed(LENGTH[:-2]))
    assert (await client.answer()).status == status
    assert (await client.answer()).status == 200
    assert [request.body for request in upstream.requests] == [BODY]


async def test_a_request_behind_a_streamed_answer_waits_for_its_end_and_is_judged(fence, upstream, wire):
    go_on = asyncio.Event()

    async def stream(writer):
        writer.write(wire.STREAM_HEAD + wire.chunk(wire.event("one")))
        await go_on.wait()
        writer.write(wire.chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    upstream.answers.append(stream)
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}) + HIDDEN)
    assert (await client.head()).status == 200
    await client.exactly(wire.chunk(wire.event("one")))
    assert len(fence.watcher.calls) == 1
    go_on.set()
    await client.exactly(wire.chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    assert (await client.answer()).status == 200
    assert [judged.call.path for judged in fence.watcher.calls] == ["/v1/chat/completions", "/v1/hidden"]


async def test_a_request_in_place_of_an_expected_body_is_its_body(fence, upstream):
    client = await fence.connect()
    await client.send(HEAD + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(HIDDEN))
    assert (await client.head()).status == 100
    await client.send(HIDDEN)
    assert (await client.answer()).status == 400
    assert upstream.received == []


MANGLED = {
    "folded": b"X: a\r\n Set-Cookie: b=c",
    "half a line end": b"X: a\rSet-Cookie: b=c",
    "a NUL": b"X: a\0b",
}


@pytest.mark.parametrize("line", MANGLED.values(), ids=MANGLED)
async def test_a_header_that_the_upstream_mangled_does_not_reach_the_client(fence, upstream, wire, line):
    upstream.answers.append(wire.answer(wire.PLAIN, "200 OK", line.decode(), "Y: kept"))
    client = await fence.connect()
    await client.send(wire.post())
    answer = await client.answer()
    assert (answer.status, answer["y"], answer.body) == (200, "kept", wire.PLAIN)
    assert "x" not in answer
    assert "set-cookie" not in answer


PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b"\x0b", b":", b",", b";", b"0", b"1", b"-", b"+", b"\xa0", b"\r\n\r\n", b"\r\n ",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", CHUNKED, b"Transfer-Encoding: x\r\n", b"0\r\n\r\n", b"5\r\n", HIDDEN,
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Connection: Content-Length\r\n", b"HTTP/1.1", b"/",
]  # fmt: skip


def mangled(random: Random) -> bytes:
    data = bytearray(headed(LENGTH[:-2]) if random.random() < 0.5 else HEAD + CHUNKED + b"\r\n" + CHUNK)
    data += (b"" if random.random() < 0.5 else b"0\r\n\r\n") + HIDDEN
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data))
        data[at : at + random.choice((0, 0, 1, 2))] = random.choice(PIECES)
    return bytes(data)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_is_sent_the_upstream_receives_only_requests_that_were_judged(fence, seed):
    random = Random(seed)  # noqa: S311 - to be the same each time
    statuses: Counter[int] = Counter()

    async def attack(data):
        client = await fence.connect()
        await client.send(data)
        try:
            async with asyncio.timeout(1.5):
                while not client.reader.at_eof():
                    statuses[(await client.answer()).status] += 1
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            client.close()  # it waits for more

    for _ in range(4):  # a busy machine may answer none of the first
        await asyncio.gather(*(attack(mangled(random)) for _ in range(120)))
        if statuses[200] and statuses[400]:
            break
    assert fence.watcher.failures == 0
    assert statuses[200]
    assert statuses[400]
    assert statuses.keys() <= {100, 200, 400, 401, 404, 405, 411, 415, 417, 431}
