"""Tunnels: those that are left alone pass as they are, end when nobody speaks, and leave nothing behind."""

import asyncio
import socket
from contextlib import suppress

import pytest
from tests.wire.outside import WITHIN_S

from modelfence.wire.egress import Egress, NotPublicError, public_address
from modelfence.wire.grace import Grace

UPSTREAM = ("api.example", 443)
IDLE_S = 0.5
ASKED = b"CONNECT elsewhere.example:443 HTTP/1.1\r\n\r\n"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Host:
    """A host elsewhere. It says what it is told to, `every_s`."""

    def __init__(self) -> None:
        self.said = b""
        self.heard = b""
        self.every_s = 0.0
        self.left = asyncio.Event()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaking = asyncio.create_task(self._speak(writer))
        with suppress(OSError):
            while data := await reader.read(65_536):
                self.heard += data
        self.left.set()
        speaking.cancel()
        writer.close()

    async def _speak(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while self.said:
                writer.write(self.said)
                await writer.drain()
                await asyncio.sleep(self.every_s)


@pytest.fixture
async def host():
    return Host()


@pytest.fixture
async def egress(host, tmp_path):
    async with await asyncio.start_server(host.serve, "127.0.0.1", 0) as server:

        async def reach(_host: str, _port: int):
            reached = await asyncio.open_connection(*server.sockets[0].getsockname())
            host.writers.append(reached[1])
            return reached

        yield Egress([UPSTREAM], authority=tmp_path / "ca", leaves_others=True, reach=reach, idle_s=IDLE_S)


@pytest.fixture
async def enter(egress):
    """A function that serves one caller; it returns the caller's end, the fence's, and the task that serves it."""
    ends = []

    async def enter(head_s: float = WITHIN_S):
        mine, its = socket.socketpair()
        its.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=mine)
        serving = asyncio.create_task(egress.enter(its, head_bytes=16_000, grace=Grace(head_s)))
        ends.append((writer, serving))
        return reader, writer, its, serving

    yield enter
    for writer, serving in ends:
        writer.close()
        serving.cancel()


async def test_a_tunnel_passes_what_comes_until_one_side_leaves(enter, host):
    reader, writer, its, serving = await enter()
    host.said, host.every_s = b"hello", IDLE_S / 10
    writer.write(ASKED)
    async with asyncio.timeout(WITHIN_S):
        assert await reader.readexactly(len(ESTABLISHED) + 5) == ESTABLISHED + b"hello"
        writer.write(b"\x00\xff")
        writer.close()
        await host.left.wait()
        assert await serving is None
    assert host.heard == b"\x00\xff"
    assert its.fileno() == -1


async def test_a_tunnel_in_which_one_side_speaks_is_not_silent(enter, host):
    reader, writer, _its, _serving = await enter()
    host.said, host.every_s = b"more", IDLE_S / 5
    writer.write(ASKED)
    async with asyncio.timeout(3 * WITHIN_S):
        await reader.readexactly(len(ESTABLISHED) + 4 * 15)  # for three times as long as both may be silent
    assert not host.left.is_set()


async def test_a_silent_tunnel_is_ended(enter, host):
    reader, writer, its, serving = await enter()
    writer.write(ASKED)
    async with asyncio.timeout(WITHIN_S):
        assert await reader.read() == ESTABLISHED
        await host.left.wait()
        await serving
    assert its.fileno() == -1


async def test_a_caller_that_never_reads_keeps_no_tunnel(enter, host):
    _reader, writer, _its, serving = await enter()
    host.said = b"x" * 1_000_000
    writer.transport.pause_reading()
    writer.write(ASKED)
    async with asyncio.timeout(2 * WITHIN_S):
        await serving
        await host.left.wait()


async def test_a_caller_that_never_asks_keeps_no_connection(enter):
    _reader, writer, its, serving = await enter(head_s=0.05)
    writer.write(b"CONNECT else")
    with pytest.raises(TimeoutError):
        await serving
    assert its.fileno() == -1


async def test_a_tunnel_that_is_stopped_leaves_nothing(enter, host):
    reader, writer, _its, serving = await enter()
    host.said, host.every_s = b"more", IDLE_S / 5
    writer.write(ASKED)
    async with asyncio.timeout(WITHIN_S):
        await reader.readexactly(len(ESTABLISHED) + 4)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        await host.left.wait()
        await reader.read()
    assert [one.is_closing() for one in host.writers] == [True]


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "64:ff9b::808:808"])
async def test_public_addresses_are_led_to(address):
    assert await public_address(address, 443) == address


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0",
        "100.64.0.1",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::",
    ],
)
async def test_addresses_of_ones_own_network_are_not_led_to(address):
    with pytest.raises(NotPublicError):
        await public_address(address, 443)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (b"api.example:443", b"200"),
        (b"API.example.:443", b"200"),
        (b"other.example:443", b"403"),
        (b"other.example.:443", b"403"),
    ],
)
async def test_an_upstreams_host_is_never_led_past_the_fence(tmp_path, asked, status):
    async def reach(_host: str, _port: int):
        raise AssertionError(asked)

    upstreams = [UPSTREAM, ("other.example", 8443)]
    egress = Egress(upstreams, authority=tmp_path / "ca", leaves_others=True, reach=reach)
    mine, its = socket.socketpair()
    its.setblocking(False)
    mine.sendall(b"CONNECT " + asked + b" HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(WITHIN_S):
        entered = await egress.enter(its, head_bytes=16_000, grace=Grace(WITHIN_S))
    assert mine.recv(100).split(b" ")[1] == status
    assert entered == (UPSTREAM if status == b"200" else None)
    mine.close()
    its.close()
