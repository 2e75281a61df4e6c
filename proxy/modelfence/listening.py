"""Sockets to listen on, made before anything that is slow to load, so that they can be handed to whoever serves."""

import socket
from collections.abc import Sequence

from modelfence.core.upstream import Upstream
from modelfence.settings import Address, CannotStartError

BACKLOG = 1024
"""Connections that wait to be accepted; the system holds them to `net.core.somaxconn`."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket. Raises OSError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm; else each event of a stream waits for the last one's
    # acknowledgement, which clients delay by 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def bind(key: str, address: Address) -> socket.socket:
    """Return a listening socket; `key` is what to change when there is none to be had. Raises CannotStartError."""
    try:
        return listen(address.host, address.port)
    except OSError as error:
        raise CannotStartError(f"can't listen on {address} ({error.strerror}); choose another `{key}`") from None


def address_of(listening: socket.socket) -> Address:
    """Return where a socket listens, with the port it was given."""
    host, port = listening.getsockname()[:2]
    return Address(host, port)


def refuse_loops(own: Sequence[Address], upstreams: Sequence[Upstream]) -> None:
    """Raise CannotStartError when an upstream is one of these addresses: each call would come back for ever."""
    reached = {(address.host, address.port) for address in own}
    # Who listens everywhere listens on every address of this machine, of which loopback is the one to expect.
    reached |= {
        (loopback, port) for host, port in reached if host in ("0.0.0.0", "::") for loopback in ("127.0.0.1", "::1")
    }
    for upstream in upstreams:
        host = "127.0.0.1" if upstream.host == "localhost" else upstream.host
        if (host, upstream.port) in reached:
            raise CannotStartError(f"the upstream `{upstream.name}` is this fence itself: {upstream.url}")
