"""The Redis servers of a store's URL, as one thing to ask.

Rule: nothing is sent again that may have run.
"""

from redis.typing import EncodableT

from modelfence.adapters.circuit_breaker import Circuit
from modelfence.adapters.redis_connecting import Connecting
from modelfence.adapters.redis_pipe import NotSentError
from modelfence.adapters.redis_server import RedisServer
from modelfence.redis_url import parse

__all__ = ["Circuit", "NotSentError", "RedisServers"]


class RedisServers:
    """The server or servers of `url` (see `modelfence.redis_url`).

    There are at most `connections` to each. `deadline_s` is what callers put around `ask`: a server that keeps one
    waiting for so long has failed it. Raises ValueError for a URL that can't be used.
    """

    def __init__(self, url: str, *, connections: int = 4, deadline_s: float) -> None:
        parsed = parse(url)
        connecting = Connecting(parsed)
        if parsed.kind == "socket":
            self._server = RedisServer(connecting.to_socket, connections=connections, deadline_s=deadline_s)
        else:
            at = parsed.hosts[0]
            self._server = RedisServer(lambda: connecting.to_server(at), connections=connections, deadline_s=deadline_s)

    @property
    def circuit(self) -> Circuit:
        """Return the worst state of the circuits to the servers."""
        return self._server.circuit

    def slot(self, key: str) -> int:  # noqa: ARG002
        """Return the slot of a key: keys of different slots can't be asked for in one command. 0 without a cluster."""
        return 0

    async def ask(self, key: str, *command: EncodableT) -> object:  # noqa: ARG002
        """Return the answer of the server that owns the key.

        Raises redis.exceptions.RedisError or OSError: NotSentError when the command surely did not run, ResponseError
        when the server answered with an error.
        """
        return await self._server.ask(command)

    async def close(self) -> None:
        """Close the connections. Who still waits for an answer gets a ConnectionError."""
        await self._server.close()
