"""The PROXY protocol: who is behind a load balancer, believed of those alone that are trusted to say so."""

import asyncio
import errno
from ipaddress import ip_network

import pytest

from modelfence.core.decision import Effect
from modelfence.wire import runner
from modelfence.wire.proxy_protocol import V1_BYTES, V2_BYTES, MalformedHeaderError, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)
V4 = bytes([203, 0, 113, 7, 10, 0, 0, 1]) + (5000).to_bytes(2) + (443).to_bytes(2)
V6 = bytes.fromhex("20010db8000000000000000000000007") * 2 + (5000).to_bytes(2) + (443).to_bytes(2)
TLV = b"\x04\x00\x03abc"


def v2(rest: bytes, *, command: int = 0x21, family: int = 0x11) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2) + rest


async def read(data: bytes, at_once: int = 1 << 16):
    """Read a header from what comes so many bytes at a time; return what it says, and what was left unread."""
    left = bytearray(data)

    async def receive(size):
        taken = bytes(left[: min(size, at_once)])
        del left[: len(taken)]
        return taken

    return await read_header(receive), bytes(left)


FULL_V6 = b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
SOUND = {
    "version 1, IPv4": (b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n", ("203.0.113.7", 5000)),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::7 ::1 5000 443\r\n", ("2001:db8::7", 5000)),
    "version 1, the longest": (
        b"PROXY TCP6 %b %b 65535 65535\r\n" % (FULL_V6, FULL_V6),
        (FULL_V6.decode(), 65535),
    ),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "version 1, unknown with words": (b"PROXY UNKNOWN ffff::1 ffff::2 65535 1\r\n", None),
    "version 2, IPv4": (v2(V4), ("203.0.113.7", 5000)),
    "version 2, IPv6": (v2(V6, family=0x21), ("2001:db8::7", 5000)),
    "version 2, extensions": (v2(V4 + TLV * 20), ("203.0.113.7", 5000)),
    "version 2, the longest": (v2(V4 + bytes(V2_BYTES - len(V4))), ("203.0.113.7", 5000)),
    "version 2, a health check": (v2(b"", command=0x20, family=0x00), None),
    "version 2, a health check with addresses": (v2(V4, command=0x20), None),
    "version 2, unspecified": (v2(TLV, family=0x00), None),
}


@pytest.mark.parametrize("at_once", [1, 2, 3, 1 << 16])
@pytest.mark.parametrize(("header", "client"), SOUND.values(), ids=SOUND)
async def test_a_header_is_read_to_its_last_byte_and_no_further(header, client, at_once):
    for rest in (b"", b"\r\n", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"):
        assert await read(header + rest, at_once) == (client, rest)


MALFORMED = {
    "no header": b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh",
    "half of one": b"PROXY TCP4 203.0.113.7 10.",
    "half of a signature": SIGNATURE[:7],
    "half of version 2": v2(V4)[:-3],
    "a bare line feed": b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\n",
    "a bare carriage return": b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\r\n",
    "no address": b"PROXY TCP4 203.0.113.777 10.0.0.1 5000 443\r\n",
    "a leading zero": b"PROXY TCP4 203.0.113.07 10.0.0.1 5000 443\r\n",
    "a family that is another": b"PROXY TCP4 2001:db8::7 ::1 5000 443\r\n",
    "a port too high": b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 443\r\n",
    "a port with a zero": b"PROXY TCP4 203.0.113.7 10.0.0.1 05000 443\r\n",
    "two spaces": b"PROXY  TCP4 203.0.113.7 10.0.0.1 5000 443\r\n",
    "no destination": b"PROXY TCP4 203.0.113.7 5000\r\n",
    "more behind": b"PROXY TCP4 203.0.113.7 10.0.0.1 5000 443 x\r\n",
    "lower case": b"proxy tcp4 203.0.113.7 10.0.0.1 5000 443\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 ::1 5000 443\r\n",
    "too long a line": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "an endless line": b"PROXY UNKNOWN " + b"x" * 100_000,
    "another version": SIGNATURE + b"\x31\x11\x00\x0c" + V4,
    "another command": v2(V4, command=0x22),
    "UDP": v2(V4, family=0x12),
    "a unix socket": v2(bytes(216), family=0x31),
    "a family that there is not": v2(V4, family=0x41),
    "too short for its addresses": v2(V4[:-1]),
    "too short for IPv6": v2(V4, family=0x21),
    "too long": v2(V4 + bytes(V2_BYTES - len(V4) + 1)),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_what_could_be_read_in_two_ways_is_no_header(data):
    with pytest.raises(MalformedHeaderError):
        await read(data)


async def test_little_is_read_of_what_is_no_header():
    left = bytearray(b"PROXY UNKNOWN " + b"x" * 100_000)
    before = len(left)

    async def receive(size):
        taken = bytes(left[:size])
        del left[:size]
        return taken

    with pytest.raises(MalformedHeaderError):
        await read_header(receive)
    assert before - len(left) <= V1_BYTES + 1


@pytest.fixture
async def behind(start_fence):
    """A fence behind a load balancer on this machine."""
    fence = await start_fence()
    fence.proxy._proxy_protocol_from = LOOPBACK
    return fence


@pytest.mark.parametrize(("header", "client"), SOUND.values(), ids=SOUND)
async def test_the_address_in_the_header_is_the_callers(behind, wire, header, client):
    connected = await behind.connect()
    await connected.send(header + wire.post())
    assert (await connected.answer()).body == wire.PLAIN
    await connected.send(wire.post())
    assert (await connected.answer()).body == wire.PLAIN
    seen = {judged.call.client_ip for judged in behind.watcher.calls}
    assert seen == {client[0] if client else "127.0.0.1"}


async def test_a_proxy_named_in_the_header_is_believed_in_turn(start_fence, wire):
    fence = await start_fence(trusted_proxies=[ip_network("203.0.113.7/32")])
    fence.proxy._proxy_protocol_from = LOOPBACK
    for header, forwarded in ((v2(V4), "198.51.100.9"), (b"PROXY UNKNOWN\r\n", "127.0.0.1")):
        post = wire.post(wire.BODY, "X-Forwarded-For: 198.51.100.9")
        assert (await fence.exchange(header + post)).status == 200
        assert fence.watcher.calls[-1].call.client_ip == forwarded


@pytest.mark.parametrize(
    "data", [MALFORMED[name] for name in ("no header", "a port too high", "UDP", "an endless line")]
)
async def test_a_trusted_peer_without_a_sound_header_is_cut_off_and_counted(behind, upstream, data):
    client = await behind.connect()
    await client.send(data)
    assert await client.rest() == b""
    assert behind.watcher.refusals == [Effect.REJECT]
    assert upstream.received == []


async def test_a_header_that_does_not_come_in_time_is_not_waited_for(behind, monkeypatch):
    monkeypatch.setattr(runner, "WITHIN_S", 0.05)
    client = await behind.connect()
    await client.send(b"PROXY TCP4 203.0")
    assert await client.rest() == b""
    assert behind.watcher.refusals == [Effect.REJECT]


async def test_who_only_looks_whether_anyone_listens_is_not_counted(behind, wire):
    client = await behind.connect()
    client.writer.write_eof()
    assert await client.rest() == b""
    assert (await behind.exchange(v2(V4) + wire.post())).status == 200
    assert behind.watcher.refusals == []


@pytest.mark.parametrize("header", [SOUND["version 1, IPv4"][0], v2(V4), v2(b"", command=0x20, family=0x00)])
@pytest.mark.parametrize("trusted", [(), (ip_network("10.0.0.0/8"),)])
async def test_from_anyone_else_a_header_is_malformed(start_fence, upstream, wire, header, trusted):
    fence = await start_fence()
    fence.proxy._proxy_protocol_from = trusted
    answer = await fence.exchange(header + wire.post())
    assert answer.status == 400
    assert fence.watcher.calls == []
    assert upstream.received == []


async def test_the_wait_for_a_header_keeps_nobody_else_waiting(behind, wire):
    slow = [await behind.connect() for _ in range(50)]
    for client in slow:
        await client.send(b"PROXY TCP4 2")
    assert (await behind.exchange(v2(V4) + wire.post())).status == 200


async def test_a_machine_out_of_file_descriptors_accepts_again_when_it_has_some(fence, wire, monkeypatch, caplog):
    monkeypatch.setattr(runner, "ACCEPT_AGAIN_S", 0.05)
    listening = fence.proxy._socket

    class Exhausted:
        def accept(self):
            monkeypatch.undo()
            raise OSError(errno.EMFILE, "Too many open files")

        def fileno(self):
            return listening.fileno()

    monkeypatch.setattr(fence.proxy, "_socket", Exhausted())
    assert (await fence.exchange(wire.post())).status == 200
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "no connection can be accepted for 1.0 s: Too many open files"
    ]


async def test_the_fence_stops_while_a_header_is_awaited(behind):
    client = await behind.connect()
    await client.send(b"PROXY")
    async with asyncio.timeout(2):
        await behind.proxy.stop()
    assert await client.rest() == b""
