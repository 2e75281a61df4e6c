"""The Redis servers of a store's URL, as one thing to ask.

Rule: nothing is sent again that may have run.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

from redis.typing import EncodableT

from modelfence.adapters.redis.circuit_breaker import Circuit
from modelfence.adapters.redis.cluster import ClusterServers
from modelfence.adapters.redis.connecting import Connecting
from modelfence.adapters.redis.pipe import Command, NotSentError
from modelfence.adapters.redis.sentinels import SentinelServers
from modelfence.adapters.redis.server import Ask, KnownServers
from modelfence.redis_url import HostAndPort, RedisUrl, parse

__all__ = ["Circuit", "NotSentError", "RedisServers"]


class RedisServers:
    """The server or servers of `url` (see `modelfence.redis_url`).

    There are at most `connections` to each. `deadline_s` is what callers put around `ask`: a server that keeps one
    waiting for so long has failed it. Raises ValueError for a URL that can't be used.
    """

    def __init__(self, url: str, *, connections: int = 4, deadline_s: float) -> None:
        parsed = parse(url)
        connecting = Connecting(parsed)
        make = connecting.to_socket if parsed.kind == "socket" else connecting.to_server
        known = KnownServers(make, connections=connections, deadline_s=deadline_s)
        self._servers = _servers(parsed, connecting, known)

    @property
    def circuit(self) -> Circuit:
        """Return the worst state of the circuits to the servers."""
        return self._servers.circuit

    def slot(self, key: str) -> int:
        """Return the slot of a key: keys of different slots can't be asked for in one command. 0 without a cluster."""
        return self._servers.slot(key)

    def ask(self, key: str, *command: EncodableT) -> Coroutine[Any, Any, object]:
        """Return, once awaited, the answer of the server that owns the key.

        Raises redis.exceptions.RedisError or OSError: NotSentError when the command surely did not run, ResponseError
        when the server answered with an error.
        """
        return self._servers.ask(key, command)

    async def each(self) -> Sequence[Ask]:
        """Return what asks each server that keeps keys. Raises like `ask`."""
        return await self._servers.each()

    async def close(self) -> None:
        """Close the connections. Who still waits for an answer gets a ConnectionError."""
        await self._servers.close()


class _Servers(Protocol):
    @property
    def circuit(self) -> Circuit: ...
    def slot(self, key: str, /) -> int: ...
    def ask(self, key: str, command: Command, /) -> Coroutine[Any, Any, object]: ...
    async def each(self) -> Sequence[Ask]: ...
    async def close(self) -> None: ...


class _OneServer:
    def __init__(self, at: HostAndPort, known: KnownServers) -> None:
        self._at = at
        self._known = known

    @property
    def circuit(self) -> Circuit:
        return self._known.circuit

    def slot(self, _: str) -> int:
        return 0

    def ask(self, _: str, command: Command) -> Coroutine[Any, Any, object]:
        return self._known.at(self._at).ask(command)

    async def each(self) -> Sequence[Ask]:
        return (self._known.at(self._at).ask,)

    async def close(self) -> None:
        await self._known.close()


def _servers(url: RedisUrl, connecting: Connecting, known: KnownServers) -> _Servers:
    if url.kind == "sentinel":
        return SentinelServers(url, connecting, known)
    if url.kind == "cluster":
        return ClusterServers(url, connecting, known)
    return _OneServer(url.hosts[0] if url.hosts else (url.path, 0), known)
