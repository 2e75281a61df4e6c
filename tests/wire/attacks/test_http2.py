"""HTTP/2 is not spoken towards clients: whatever frames come, in whatever order, they are one refused request.

So none of its attacks has anything to work on. Each is written out all the same, and must meet the refusal.
"""

import asyncio
import resource
import ssl
import struct
from collections.abc import Sequence

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from tests.tls_front import Authority

from modelfence.wire.tls import ServerTls

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BODY = b'{"model": "gpt-4o", "messages": []}'
PSEUDO = [(":method", "POST"), (":scheme", "http"), (":path", "/v1/chat/completions"), (":authority", "fence")]
KEY = ("authorization", "Bearer sk-acme")
END_HEADERS, END_STREAM = "END_HEADERS", "END_STREAM"


def frames(*parts: Frame | bytes) -> bytes:
    return b"".join(part if isinstance(part, bytes) else part.serialize() for part in parts)


def headers(fields: Sequence[tuple[str, str]], *flags: str, stream: int = 1) -> HeadersFrame:
    return HeadersFrame(stream, Encoder().encode(list(fields), huffman=False), flags=flags or (END_HEADERS, END_STREAM))


def data(body: bytes = BODY, *flags: str, stream: int = 1) -> DataFrame:
    return DataFrame(stream, body, flags=flags or (END_STREAM,))


def asking(*fields: tuple[str, str]) -> HeadersFrame:
    return headers([*PSEUDO, KEY, *fields], END_HEADERS)


def pseudo(**changed: str) -> HeadersFrame:
    named = {f":{name}": value for name, value in changed.items()}
    return headers([(name, named.get(name, value)) for name, value in PSEUDO] + [KEY])


def raw(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Return a frame that no library makes."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


SMUGGLED = "x\r\n\r\nGET /v1/hidden HTTP/1.1\r\nHost: fence\r\n\r\n"
ATTACKS = {
    "a sound request": frames(asking(), data()),
    "a body without a length": frames(asking(), data(b"GET /v1/hidden HTTP/1.1\r\nHost: x\r\n\r\n")),
    "a space in the method": frames(pseudo(method="GET /v1/hidden HTTP/1.1\r\nX:")),
    "a line end in the path": frames(pseudo(path="/v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/hidden")),
    "a space in the path": frames(pseudo(path="/v1/models HTTP/1.1 /v1/hidden")),
    "an empty path": frames(pseudo(path="")),
    "a line end in the authority": frames(pseudo(authority=SMUGGLED)),
    "credentials in the authority": frames(pseudo(authority="user@evil")),
    "another scheme": frames(pseudo(scheme="http://evil/?")),
    "no method": frames(headers([*PSEUDO[1:], KEY])),
    "no path": frames(headers([PSEUDO[0], PSEUDO[1], KEY])),
    "two methods": frames(headers([*PSEUDO, (":method", "GET"), KEY])),
    "two paths": frames(headers([*PSEUDO, (":path", "/v1/hidden"), KEY])),
    "a pseudo-header after the others": frames(headers([KEY, *PSEUDO])),
    "a pseudo-header nobody knows": frames(headers([*PSEUDO, (":x", "a"), KEY])),
    "a status": frames(headers([*PSEUDO, (":status", "200"), KEY])),
    "a websocket": frames(headers([(":method", "CONNECT"), *PSEUDO[1:], (":protocol", "websocket"), KEY])),
    "CONNECT": frames(headers([(":method", "CONNECT"), (":authority", "evil:443"), KEY])),
    "a name in capitals": frames(asking(("X-Upper", "a")), data()),
    "a name with a colon": frames(asking(("x:y", "a")), data()),
    "a name with a line end": frames(asking(("x\r\ny", "a")), data()),
    "a value with a line end": frames(asking(("x", SMUGGLED)), data()),
    "a value with a NUL": frames(asking(("x", "a\0b")), data()),
    "a connection header": frames(asking(("connection", "keep-alive")), data()),
    "chunks": frames(asking(("transfer-encoding", "chunked")), data(b"0\r\n\r\nGET /v1/hidden HTTP/1.1\r\n\r\n")),
    "an upgrade": frames(asking(("upgrade", "h2c")), data()),
    "TE that is not trailers": frames(asking(("te", "gzip")), data()),
    "two hosts": frames(asking(("host", "other")), data()),
    "a length that is too small": frames(asking(("content-length", "1")), data()),
    "a length that is too large": frames(asking(("content-length", "999")), data()),
    "two lengths": frames(asking(("content-length", "1"), ("content-length", "35")), data()),
    "an end before the data": frames(headers([*PSEUDO, KEY, ("content-length", "35")]), data()),
    "no end": frames(asking(), data(BODY, "PADDED")),
    "headers after the end": frames(asking(), data(), headers([KEY])),
    "data after the end": frames(asking(), data(), data()),
    "trailers": frames(asking(), DataFrame(1, BODY), headers([("x-trailer", "a")])),
    "trailers that frame": frames(asking(), DataFrame(1, BODY), headers([("content-length", "1")])),
    "trailers with a pseudo-header": frames(asking(), DataFrame(1, BODY), headers([(":path", "/v1/hidden")])),
    "data without headers": frames(data()),
    "a stream of an even number": frames(headers([*PSEUDO, KEY], stream=2)),
    "streams that go backwards": frames(headers([*PSEUDO, KEY], stream=5), headers([*PSEUDO, KEY], stream=3)),
    "headers on stream 0": raw(1, Encoder().encode([*PSEUDO, KEY]), flags=5),
    "headers without an end": frames(headers([*PSEUDO, KEY], END_STREAM), *[ContinuationFrame(1, b"x")] * 3000),
    "empty continuations": frames(headers([*PSEUDO, KEY], END_STREAM), *[ContinuationFrame(1, b"")] * 3000),
    "a continuation of nothing": frames(ContinuationFrame(1, b"x", flags=(END_HEADERS,))),
    "a frame within headers": frames(headers(PSEUDO, END_STREAM), PingFrame(0, b"x" * 8), ContinuationFrame(1, b"x")),
    "a bomb of headers": frames(headers([("x", "y" * 4000)], END_HEADERS), raw(1, b"\xbe" * 16_000, flags=5, stream=3)),
    "a table of headers without bound": raw(1, b"\x3f\xff\xff\xff\xff\xff\xff\xff\xff\x7f", flags=5, stream=1),
    "many settings": frames(*[SettingsFrame(0, {})] * 5000),
    "settings of many values": raw(4, struct.pack(">HI", 3, 1) * 2700),
    "settings of an odd size": raw(4, b"x" * 5),
    "many pings": frames(*[PingFrame(0, b"x" * 8)] * 5000),
    "rapid resets": frames(
        *(part for n in range(1, 3001, 2) for part in (headers([*PSEUDO, KEY], stream=n), RstStreamFrame(n, 8)))
    ),
    "many streams": frames(*(headers([*PSEUDO, KEY], END_HEADERS, stream=n) for n in range(1, 3001, 2))),
    "a window of nothing": frames(SettingsFrame(0, {4: 0}), asking(), data()),
    "a window beyond its most": frames(asking(), *[WindowUpdateFrame(0, (1 << 31) - 1)] * 2),
    "a window that opens by nothing": raw(8, b"\0" * 4),
    "a window that opens by a byte, again and again": frames(asking(), *[WindowUpdateFrame(1, 1)] * 5000),
    "a stream that depends on itself": frames(PriorityFrame(1, depends_on=1, stream_weight=1)),
    "priorities without end": frames(*[PriorityFrame(n, depends_on=n - 2) for n in range(3, 9001, 2)]),
    "padding longer than its frame": raw(0, b"\xffx", flags=9, stream=1),
    "much padding": frames(asking(), *[DataFrame(1, b"", pad_length=255, flags=("PADDED",))] * 500),
    "a push by the client": raw(5, struct.pack(">I", 2) + Encoder().encode(PSEUDO), flags=4, stream=1),
    "a frame too large": raw(0, b"x" * 20_000, stream=1),
    "a frame nobody knows": raw(250, b"x" * 100),
    "no settings": b"GET /v1/hidden HTTP/1.1\r\nHost: fence\r\nAuthorization: Bearer sk-acme\r\n\r\n",
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_whoever_speaks_http_2_is_refused_in_http_1_and_none_of_his_frames_is_read(fence, upstream, attack):
    client = await fence.connect()
    await client.send(PREFACE + frames(SettingsFrame(0, {})) + attack)
    answer = await client.answer()
    assert (answer.first_line, answer["connection"]) == ("HTTP/1.1 400 Bad Request", "close")
    assert await client.rest() == b""
    assert upstream.received == []
    assert fence.watcher.calls == []
    assert len(fence.watcher.refusals) == 1


@pytest.mark.parametrize("attack", ["a sound request", "rapid resets", "many pings"])
async def test_frames_after_a_request_of_http_1_are_refused(fence, upstream, wire, attack):
    client = await fence.connect()
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    await client.send(PREFACE + ATTACKS[attack])
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    assert len(upstream.requests) == 1


async def test_an_upgrade_to_http_2_leaves_a_connection_of_http_1(fence, upstream, wire):
    client = await fence.connect()
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    await client.send(wire.post(wire.BODY, *upgrade))
    answer = await client.answer()
    assert (answer.first_line, "upgrade" in answer) == ("HTTP/1.1 200 OK", False)
    assert "http2-settings" not in upstream.requests[0]
    await client.send(wire.post())
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("offered", [["h2"], ["h2", "http/1.1"], ["h3", "h2c"]], ids=" ".join)
async def test_over_tls_http_2_is_never_agreed_on_and_refused_where_it_is_spoken_all_the_same(
    fence, upstream, wire, tmp_path, offered
):
    authority = Authority(tmp_path, "authority")
    fence.proxy._tls = ServerTls(authority.certificate("localhost"))
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(offered)
    opening = asyncio.open_connection("127.0.0.1", fence.port, ssl=context, server_hostname="localhost")
    client = wire.Client(*await opening)
    fence._clients.append(client)
    agreed = client.writer.get_extra_info("ssl_object").selected_alpn_protocol()
    assert agreed == ("http/1.1" if "http/1.1" in offered else None)
    await client.send(PREFACE + ATTACKS["a sound request"])
    answer = await client.answer()
    assert (answer.first_line, answer["connection"]) == ("HTTP/1.1 400 Bad Request", "close")
    assert upstream.received == []


async def test_a_flood_of_frames_is_cut_off_and_takes_no_memory(fence, upstream, wire):
    client = await fence.connect()
    await client.send(PREFACE)
    await client.head()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    flood = frames(*[PingFrame(0, b"x" * 8)] * 5000)
    sent = 0
    with pytest.raises(ConnectionError):  # noqa: PT012 - when it breaks is the kernel's choice
        async with asyncio.timeout(wire.WITHIN_S):
            while True:
                await client.send(flood)
                sent += len(flood)
    assert sent < 20 << 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
    assert upstream.received == []
