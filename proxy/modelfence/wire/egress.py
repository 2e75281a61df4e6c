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
from collections.abc import Collection
from contextlib import closing, suppress
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from mitmproxy.certs import CertStore

from modelfence.wire.first_request import READ_BYTES

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


class NotPublicError(Exception):
    """A host is in a network of one's own."""


class Egress:
    """Tunnels to `upstreams`. `leaves_others` passes tunnels to elsewhere on untouched."""

    def __init__(self, upstreams: Collection[Destination], *, authority: Path, leaves_others: bool = False) -> None:
        """Makes an authority in the folder `authority` where there is none. Raises OSError."""
        self._upstreams = frozenset(upstreams)
        self._hosts = frozenset(host for host, _ in upstreams)
        self._store = CertStore.from_store(authority, NAME, _KEY_BITS)
        self._leaves_others = leaves_others
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def enter(self, connection: socket.socket, *, head_bytes: int, head_s: float) -> Destination | None:
        """Open the tunnel that a caller asks for, and return where it goes; what comes next is for that upstream.

        Return None when the connection was served otherwise, or refused, and is closed. Raises OSError, TimeoutError.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(head_s):
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
        """Pass the bytes of a tunnel on, both ways, until one side ends it."""
        try:
            async with asyncio.timeout(CONNECT_S):
                address = await _public_address(*destination)
                there, answering = await asyncio.open_connection(address, destination[1])
        except (OSError, TimeoutError, NotPublicError) as error:
            log.info("no tunnel to %s: %s", destination[0], error)
            await _refuse(connection, 502, "The host could not be reached.")
            return
        await asyncio.get_running_loop().sock_sendall(connection, _ESTABLISHED)
        reader, writer = await asyncio.open_connection(sock=connection)
        passing = [asyncio.create_task(_copy(reader, answering)), asyncio.create_task(_copy(there, writer))]
        try:
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in passing:
                task.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            answering.close()
            writer.close()

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


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(TUNNEL_IDLE_S):
                data = await reader.read(READ_BYTES)
                if not data:
                    return
                writer.write(data)
                await writer.drain()


async def _public_address(host: str, port: int) -> str:
    """Return an address of a host. Raises NotPublicError when it is one of this network's own, and OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, proto=6)
    address = str(found[0][4][0])
    if not ip_address(address).is_global:
        raise NotPublicError(f"{address} is no public address")
    return address


async def _refuse(connection: socket.socket, status: int, message: str) -> None:
    body = f"{message}\n"
    head = f"HTTP/1.1 {status} \r\ncontent-type: text/plain\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    with closing(connection), suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(connection, (head + body).encode())
