"""How connections to Redis servers are made: encrypted or not, with which certificates, as which user.

Nothing but AUTH and SELECT is asked of a new connection: every round trip counts against somebody's deadline.
"""

import ssl
from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)

from modelfence.redis_url import HostAndPort, RedisUrl

_PLAIN: Mapping[str, Any] = {
    "protocol": 2,
    "driver_info": None,
    "socket_timeout": None,
    "socket_connect_timeout": None,
}
"""Whoever uses a connection has deadlines of its own."""


class Connecting:
    """Makes connections as the URL says. Certificates are read once, here: raises ValueError when they can't be."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url
        self._context = _context(url) if url.is_encrypted else None

    def to_socket(self, at: HostAndPort) -> AbstractConnection:
        """Return a connection, not connected yet, to a socket, which has no port."""
        url = self._url
        return UnixDomainSocketConnection(path=at[0], username=url.username, password=url.password, **_PLAIN)

    def to_server(self, at: HostAndPort) -> AbstractConnection:
        """Return a connection, not connected yet, to a server that keeps data."""
        url = self._url
        return self._to(at, db=url.database, username=url.username, password=url.password)

    def to_sentinel(self, at: HostAndPort) -> AbstractConnection:
        """Return a connection, not connected yet, to a sentinel."""
        return self._to(at, username=self._url.sentinel_username, password=self._url.sentinel_password)

    def _to(self, at: HostAndPort, **who: Any) -> AbstractConnection:
        host, port = at
        if self._context is None:
            return Connection(host=host, port=port, **who, **_PLAIN)
        connection = SSLConnection(host=host, port=port, **who, **_PLAIN)
        connection.ssl_context = RedisSSLContext()
        connection.ssl_context.context = self._context  # one for all: it takes milliseconds to make
        return connection


def _context(url: RedisUrl) -> ssl.SSLContext:
    """Return what verifies certificate and host name of a server; named authorities stand in for the system's."""
    try:
        context = ssl.create_default_context(cafile=url.ssl_ca_certs)
    except OSError as error:
        raise ValueError(f"`ssl_ca_certs` can't be used: {_reason(error)}") from None
    if url.ssl_certfile is not None:
        try:
            # An encrypted key would be asked for on the terminal.
            context.load_cert_chain(url.ssl_certfile, url.ssl_keyfile, password=lambda: "")
        except OSError as error:
            raise ValueError(f"`ssl_certfile` and `ssl_keyfile` can't be used: {_reason(error)}") from None
    return context


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "they are no PEM files that fit, or need a password"
    return (error.strerror or "no such file").lower()
