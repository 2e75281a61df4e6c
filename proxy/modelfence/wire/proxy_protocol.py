"""The PROXY protocol: a load balancer says, before anything else, whose connection it passes on.

Both versions of https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt are read.

Rule: only what the settings trust is asked for a header, and must begin with one. Were it optional, a client whose
bytes such a balancer passes on untouched could name an address of his choice. From anyone else a header is no HTTP, and
refused like all that isn't. Not a byte beyond the header is read: what follows may be TLS.
"""

import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

WITHIN_S = 5.0
"""How long a header may take."""
V1_BYTES = 107
"""The longest header of version 1, its line end included."""
V2_BYTES = 4096
"""The most that may follow the fixed part of version 2: addresses, and extensions that are skipped."""
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED_BYTES = 16
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(?: [^\r\n]*)?\r\n")
_PORT = rb"(0|[1-9][0-9]{0,4})"
_KNOWN = re.compile(rb"PROXY TCP(4|6) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) " + _PORT + rb" " + _PORT + rb"\r\n")
_MAX_PORT = 65_535
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED = 0x00
_ADDRESS_BYTES = {0x11: 4, 0x21: 16}
"""By family and transport: TCP over IPv4 and over IPv6."""

type Client = tuple[str, int]
"""Address and port."""
type Receive = Callable[[int], Awaitable[bytes]]
"""Returns at least one byte and at most so many, or none when no more is to come."""


class MalformedHeaderError(Exception):
    """A connection does not begin with a header that can be understood."""


async def read_header(receive: Receive) -> Client | None:
    """Return who is behind the peer, None when it speaks for itself or does not know.

    Raises MalformedHeaderError, or ConnectionError for who says nothing at all: such as looks whether anyone listens.
    """
    start = await receive(len(_SIGNATURE))
    if not start:
        raise ConnectionResetError("it was ended at once")
    start += await _exactly(receive, len(_SIGNATURE) - len(start))
    if start == _SIGNATURE:
        start += await _exactly(receive, _FIXED_BYTES - len(start))
        length = int.from_bytes(start[14:])
        if length > V2_BYTES:
            raise MalformedHeaderError(f"a PROXY header is longer than {V2_BYTES} bytes")
        return _version_2(start, await _exactly(receive, length))
    if not start.startswith(b"PROXY "):
        raise MalformedHeaderError("a connection does not begin with a PROXY header")
    while not start.endswith(b"\r\n"):
        # A line that does not end in half a line end has a whole one to come.
        start += await _exactly(receive, 1 if start.endswith(b"\r") else 2)
        if len(start) > V1_BYTES:
            raise MalformedHeaderError(f"the line of a PROXY header is longer than {V1_BYTES} bytes")
    return _version_1(start)


def _version_1(line: bytes) -> Client | None:
    if _UNKNOWN.fullmatch(line):
        return None
    match = _KNOWN.fullmatch(line)
    if match is None or max(int(match[4]), int(match[5])) > _MAX_PORT:
        raise MalformedHeaderError("the line of a PROXY header is malformed")
    kind = IPv4Address if match[1] == b"4" else IPv6Address
    try:
        source, _destination = kind(match[2].decode()), kind(match[3].decode())
    except ValueError:
        raise MalformedHeaderError("a PROXY header holds something that is no address") from None
    return str(source), int(match[4])


def _version_2(fixed: bytes, rest: bytes) -> Client | None:
    command, family = fixed[12], fixed[13]
    if command not in (_LOCAL, _PROXY):
        raise MalformedHeaderError("a PROXY header of version 2 has an unknown version or command")
    if command == _LOCAL or family == _UNSPECIFIED:
        return None
    size = _ADDRESS_BYTES.get(family)
    if size is None:
        raise MalformedHeaderError("a PROXY header is about something else than TCP over IPv4 or IPv6")
    if len(rest) < 2 * size + 4:
        raise MalformedHeaderError("a PROXY header is too short for its addresses")
    return str(ip_address(rest[:size])), int.from_bytes(rest[2 * size : 2 * size + 2])


async def _exactly(receive: Receive, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = await receive(size - len(data))
        if not piece:
            raise MalformedHeaderError("a connection ended before its PROXY header was complete")
        data += piece
    return data
