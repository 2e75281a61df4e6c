"""Egress mode: callers reach the APIs through the fence as their HTTP proxy, under the APIs' own names.

A caller asks for a tunnel (CONNECT) to an upstream. He gets one that ends here: the fence answers in the upstream's
name, with a certificate that its own authority signs, and what comes through is judged as always. Callers have to trust
that authority; its certificate is in the folder that settings name. A tunnel to anywhere else is refused, or by setting
left alone: its bytes pass untouched, and nothing in them is judged.

Rule: what is no sound CONNECT is refused; an untouched tunnel goes to port 443 only, and never to this network's own
addresses, so that the fence is no way into them.
"""

import asyncio
import logging
import re
import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Collection
from contextlib import closing, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mitmproxy.certs import CertStore

from modelfence.wire.first_request import READ_BYTES
from modelfence.wire.grace import Grace
from modelfence.wire.websocket import hang_up

log = logging.getLogger(__name__)

NAME = "modelfence"
"""What the files of the authority begin with."""
CONNECT_S = 10.0
TUNNEL_IDLE_S = 600.0
HTTPS = 443
_KEY_BITS = 2048
_CONNECT = re.compile(
    rb"CONNECT ([a-zA-Z0-9.-]{1,253}):([1-9][0-9]{0,4}) HTTP/1\.[01]\r\n(?:[!-9;-~]+:[\t -~\x80-\xff]*\r\n)*\r\n"
)

_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

type Destination = tuple[str, int]
"""Host, in lower case, and port."""

type Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
type Reach = Callable[[str, int], Awaitable[Streams]]
"""Connects to a host and port."""

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a translator (RFC 6052)."""


class NotPublicError(Exception):
    """A host is in a network of one's own."""


async def public_address(host: str, port: int) -> str:
    """Return an address of a host. Raises NotPublicError when it is one of this network's own, and OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, proto=socket.IPPROTO_TCP)
    address = str(found[0][4][0])
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip in _TRANSLATED:
        ip = IPv4Address(int(ip) & 0xFFFF_FFFF)
    # Older Pythons take for global what is a way to an IPv4 address, whichever that is.
    leads_on = isinstance(ip, IPv6Address) and (ip.sixtofour or ip.teredo)
    if leads_on or not ip.is_global or ip.is_multicast:
        raise NotPublicError(f"{address} is no public address")
    return address


async def reach_public(host: str, port: int) -> Streams:
    """Connect to a host. Raises NotPublicError, OSError."""
    return await asyncio.open_connection(await public_address(host, port), port)


class Egress:
    """Tunnels to `upstreams`. `leaves_others` passes tunnels to elsewhere on untouched."""

    def __init__(
        self,
        upstreams: Collection[Destination],
        *,
        authority: Path,
        leaves_others: bool = False,
        reach: Reach = reach_public,
        idle_s: float = TUNNEL_IDLE_S,
    ) -> None:
        """Makes an authority in the folder `authority` where there is none. Raises OSError."""
        self._upstreams = frozenset(upstreams)
        self._hosts = frozenset(host for host, _ in upstreams)
        self._store = CertStore.from_store(authority, NAME, _KEY_BITS)
        self._leaves_others = leaves_others
        self._reach = reach
        self._idle_s = idle_s
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def enter(self, connection: socket.socket, *, head_bytes: int, grace: Grace) -> Destination | None:
        """Open the tunnel that a caller asks for, and return where it goes; what comes next is for that upstream.

        Return None when the connection was served otherwise, or refused, and is closed; so it is when this raises.
        Raises OSError, TimeoutError.
        """
        try:
            return await self._enter(connection, head_bytes=head_bytes, grace=grace)
        except BaseException:
            connection.close()
            raise

    async def _enter(self, connection: socket.socket, *, head_bytes: int, grace: Grace) -> Destination | None:
        loop = asyncio.get_running_loop()
        async with grace.lasts():
            asked = _CONNECT.fullmatch(await _head(connection, head_bytes))
        if asked is None:
            await _refuse(connection, 400, "Ask for a tunnel to the API with CONNECT.")
            return None
        # A name with a dot at its end is the same name.
        destination = asked[1].decode().lower().rstrip("."), int(asked[2])
        if destination in self._upstreams:
            await loop.sock_sendall(connection, _ESTABLISHED)
            return destination
        if self._leaves_others and destination[1] == HTTPS and destination[0] not in self._hosts:
            await self._pass(destination, connection)
        else:
            message = "This service leads to the APIs that it is set up for, and nowhere else."
            await _refuse(connection, 403, message)
        return None

    async def _pass(self, destination: Destination, connection: socket.socket) -> None:
        """Pass the bytes of a tunnel on, both ways, until one side ends it, or neither has said a word for too long."""
        try:
            async with asyncio.timeout(CONNECT_S):
                there, answering = await self._reach(*destination)
        except (OSError, TimeoutError, NotPublicError) as error:
            log.info("no tunnel to %s: %s", destination[0], error)
            await _refuse(connection, 502, "The host could not be reached.")
            return
        try:
            await asyncio.get_running_loop().sock_sendall(connection, _ESTABLISHED)
            reader, writer = await asyncio.open_connection(sock=connection)
            try:
                await self._copy_both((reader, writer), (there, answering))
            finally:
                answering.close()
                await hang_up(writer)
        finally:
            await hang_up(answering)

    async def _copy_both(self, caller: Streams, host: Streams) -> None:
        passing: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._idle_s) as idle:

                def moved() -> None:
                    idle.reschedule(loop.time() + self._idle_s)

                passing += [
                    asyncio.create_task(_copy(caller[0], host[1], moved)),
                    asyncio.create_task(_copy(host[0], caller[1], moved)),
                ]
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            log.debug("a tunnel was silent for too long")
        finally:
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)

    def context(self, host: str) -> ssl.SSLContext:
        """Return what answers in the name of a host."""
        if host not in self._contexts:
            entry = self._store.get_cert(host, [x509.DNSName(host)])
            key = entry.privatekey.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            with tempfile.NamedTemporaryFile() as file:  # readable by this user alone; Python takes it no other way
                file.write(key + entry.cert.to_pem())
                file.flush()
                context.load_cert_chain(file.name)
            self._contexts[host] = context
        return self._contexts[host]


async def _head(connection: socket.socket, head_bytes: int) -> bytes:
    """Return what a caller sends up to the first empty line; less when he ends before, or when it is too long."""
    data, loop = b"", asyncio.get_running_loop()
    while (
        b"\r\n\r\n" not in data and len(data) <= head_bytes and (piece := await loop.sock_recv(connection, READ_BYTES))
    ):
        data += piece
    return data


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[], None]) -> None:
    with suppress(OSError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
            moved()


async def _refuse(connection: socket.socket, status: int, message: str) -> None:
    body = f"{message}\n"
    head = f"HTTP/1.1 {status} \r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    with closing(connection), suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(connection, (head + body).encode())
