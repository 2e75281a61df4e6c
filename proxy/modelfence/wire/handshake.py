"""Handshakes of websockets: the client's, checked as every head is, and the fence's own with the upstream.

After RFC 6455, section 4. Extensions are neither asked for nor accepted.
"""

import asyncio
import base64
import binascii
import re
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import certifi

from modelfence.core.dialect import Answer, Dialect, MalformedRequestError, Outgoing, Request
from modelfence.core.upstream import Upstream
from modelfence.wire.outgoing import CREDENTIALS, without_credential
from modelfence.wire.sanitise import check_request, framing, passed_on
from modelfence.wire.websocket import accept_of, is_upgrade

CONNECT_S = 10.0
SWITCHING = 101
_KEY_BYTES = 16
_UPSTREAM_HEAD_BYTES = 64 << 10
# Interim answers are none that a client may be left with.
_STATUS = re.compile("101|[2-5][0-9][0-9]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HANDSHAKE = frozenset(
    b"host connection upgrade sec-websocket-key sec-websocket-version sec-websocket-extensions content-length".split()
)


@dataclass(frozen=True, slots=True)
class Handshake:
    """The head of a request that asks for a websocket, checked as every head is."""

    request: Request
    fields: Sequence[tuple[bytes, bytes]]
    key: str

    @property
    def protocols(self) -> Sequence[str]:
        """Return the subprotocols that the client offers."""
        offers = [value for name, value in self.request.headers if name == "sec-websocket-protocol"]
        return [one.strip() for offer in offers for one in offer.split(",")]

    @classmethod
    def read(cls, head: bytes) -> "Handshake | None":
        """Return it; None for a request that asks for something else. Raises MalformedRequestError.

        `head` is whole, and its bytes have been checked (`sanitise.HeadCheck`).
        """
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        pairs = [line.partition(b":") for line in lines]
        fields = [(name, value.strip(b" \t")) for name, _, value in pairs]
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in fields]
        if not is_upgrade(headers):
            return None
        method, target, version = first.split(b" ")
        check_request(method, target, fields)
        if framing(version, fields) != 0 or version != b"HTTP/1.1" or method != b"GET":
            raise MalformedRequestError("A websocket is asked for by a GET of HTTP/1.1 without a body.")
        keys = [value for name, value in headers if name == "sec-websocket-key"]
        versions = [value for name, value in headers if name == "sec-websocket-version"]
        if versions != ["13"] or len(keys) != 1 or not _is_key(keys[0]):
            raise MalformedRequestError("The handshake of the websocket is malformed.")
        path, _, query = target.decode("ascii").partition("?")
        return cls(Request("GET", path, headers, query=query), fields, keys[0])


type Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter, str]


async def open_upstream(upstream: Upstream, dialect: Dialect, handshake: Handshake, path: str) -> Opened | Answer:
    """Open the upstream's websocket; return its streams and its subprotocol, or how it refused.

    Raises OSError, TimeoutError, IncompleteReadError, LimitOverrunError, and ValueError for an answer that is none.
    """
    context = _verifying(upstream.ca) if upstream.scheme == "https" else None
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection(
            upstream.host, upstream.port, ssl=context, limit=_UPSTREAM_HEAD_BYTES
        )
        try:
            key = base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()
            writer.write(_asking(upstream, dialect, handshake, path=path, key=key))
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].decode("latin-1").split("\r\n")
            version, status, *_ = first.split(" ")
            pairs = [line.partition(":") for line in lines]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            if not version.startswith("HTTP/1.") or not _STATUS.fullmatch(status) or _CONTROL.search("".join(lines)):
                raise ValueError("its answer can't be read")  # noqa: TRY301
            if int(status) != SWITCHING:
                size = headers.get("content-length", "0")
                body = await reader.readexactly(min(int(size), _UPSTREAM_HEAD_BYTES)) if size.isdecimal() else b""
                writer.close()
                return Answer(int(status), (("content-type", headers.get("content-type", "text/plain")),), body)
            if headers.get("sec-websocket-accept") != accept_of(key) or "sec-websocket-extensions" in headers:
                raise ValueError("it does not switch to what was asked for")  # noqa: TRY301
            protocol = headers.get("sec-websocket-protocol", "")
            if protocol and protocol not in handshake.protocols:
                raise ValueError("it speaks a subprotocol that nobody asked for")  # noqa: TRY301
        except BaseException:
            writer.close()
            raise
    return reader, writer, protocol


@cache
def _verifying(ca: str | None) -> ssl.SSLContext:
    """Return what verifies upstreams, by mitmproxy's list where there is no `ca`; once, as reading it takes a while."""
    return ssl.create_default_context(cafile=ca or certifi.where())


def _asking(upstream: Upstream, dialect: Dialect, handshake: Handshake, *, path: str, key: str) -> bytes:
    """Return the handshake that the upstream receives."""
    replaced = upstream.secret is not None
    dropped = _HANDSHAKE | CREDENTIALS if replaced else _HANDSHAKE
    fields = [(name, value) for name, value in passed_on(handshake.fields) if name.lower() not in dropped]
    query = without_credential(handshake.request.query) if replaced else handshake.request.query
    if upstream.secret is not None:
        outgoing = Outgoing("GET", upstream.authority, upstream.base_path + path, query, tuple(fields), b"")
        fields += [
            (name.encode(), value.encode()) for name, value in dialect.credential_headers(upstream.secret, outgoing)
        ]
    target = f"{upstream.base_path}{path}?{query}" if query else f"{upstream.base_path}{path}"
    lines = [
        f"GET {target} HTTP/1.1".encode("ascii"),
        b"Host: " + upstream.authority.encode(),
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + key.encode(),
        *(name + b": " + value for name, value in fields),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def accepting(key: str, protocol: str) -> bytes:
    """Return the answer that opens the client's websocket."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_of(key)}",
    ]
    if protocol:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(writer: asyncio.StreamWriter, what: Answer) -> None:
    """Answer a handshake with what is no websocket, and close."""
    if writer.is_closing():
        return
    lines = [f"HTTP/1.1 {what.status} ", *(f"{name}: {value}" for name, value in what.headers)]
    lines += [f"content-length: {len(what.body)}", "connection: close"]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + what.body)


def _is_key(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False
