"""One Redis server: a few connections that are shared by all calls, behind a circuit breaker."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Sequence

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from modelfence.adapters.redis.circuit_breaker import Circuit, CircuitBreaker, worst
from modelfence.adapters.redis.pipe import Command, NotSentError, Pipe, TooManyError
from modelfence.redis_url import HostAndPort

type Ask = Callable[[Command], Awaitable[object]]
"""Asks one server. Raises redis.exceptions.RedisError."""

_BUSY = 256
"""When so many answers are waited for on each connection, on average, there is to be one more."""
_GROW_AGAIN_S = 0.1
"""How often one more is tried, at most: the server may not take any more."""
_NEARLY = 0.8
"""A caller who gave up after that part of the deadline gave up because of it: its time began before the command's."""
_CANNOT_SERVE = re.compile(
    r"(?:^|: -)(READONLY|OOM|MASTERDOWN|CLUSTERDOWN|MISCONF|NOREPLICAS|BUSY|NOPERM|NOAUTH|LOADING)\b"
)
"""Codes of errors that say the server can't do its work; Redis 6.2 wraps them where a script meets them."""


def is_failure(error: RedisError) -> bool:
    """Say whether an error tells that the server does not serve, rather than that it answered."""
    if isinstance(error, ResponseError):
        return _CANNOT_SERVE.search(f"{error.status_code or ''} {error}".lstrip()) is not None
    return not isinstance(error, TooManyError)


class RedisServer:
    """The server that `connection` makes connections to, of which there are at most `connections` at a time."""

    def __init__(self, connection: Callable[[], AbstractConnection], *, connections: int, deadline_s: float) -> None:
        self._connection = connection
        self._most = connections
        self._deadline_s = deadline_s
        self._breaker = CircuitBreaker()
        self._pipes: list[Pipe] = []
        self._grow_at_s = 0.0
        self._is_closed = False

    @property
    def circuit(self) -> Circuit:
        """Return the state of the circuit."""
        return self._breaker.state

    async def ask(self, *commands: Command) -> object:
        """Send commands, one right after the other, and return the last one's answer.

        Raises redis.exceptions.RedisError; NotSentError when the command surely did not run.
        """
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        passed = self._breaker.enter(began_s)
        if passed is None:
            raise NotSentError("the server did not answer lately, and is left alone for a while")
        try:
            answer = await self._pipe(began_s).ask(*commands)
        except RedisError as error:
            self._judge(passed, error)
            raise
        except BaseException:  # the caller gave up, or gave what can't be sent
            if loop.time() - began_s >= _NEARLY * self._deadline_s:
                self._breaker.failed(passed, loop.time())
            else:
                self._breaker.left(passed)
            raise
        self._breaker.succeeded(passed)
        return answer

    async def close(self, *, patience_s: float = 0) -> None:
        """Close the connections; within `patience_s`, those who wait for answers still get them."""
        self._is_closed = True
        await asyncio.gather(*(pipe.close(patience_s=patience_s) for pipe in self._pipes))

    def _judge(self, passed: int, error: RedisError) -> None:
        if is_failure(error):
            self._breaker.failed(passed, asyncio.get_running_loop().time())
        elif isinstance(error, TooManyError):
            self._breaker.left(passed)
        else:
            self._breaker.succeeded(passed)

    def _hear(self, answer: object) -> None:
        if not (isinstance(answer, RedisError) and is_failure(answer)):
            self._breaker.heard()

    def _pipe(self, now_s: float) -> Pipe:
        """Return the connection to use: one that is about to write, so that writes are few, or the least busy one."""
        if self._is_closed:
            raise NotSentError("the connections are closed")
        if len(self._pipes) == 1 and self._pipes[0].is_connected and self._pipes[0].waiting < _BUSY:
            return self._pipes[0]  # as it is nearly always
        self._pipes = [pipe for pipe in self._pipes if not pipe.has_ended]
        usable = [pipe for pipe in self._pipes if not pipe.is_broken]
        connected = [pipe for pipe in usable if pipe.is_connected]
        if not connected:
            return usable[0] if usable else self._one_more()
        least = min(connected, key=lambda pipe: pipe.waiting)
        waiting = sum(pipe.waiting for pipe in connected)
        if waiting >= _BUSY * len(connected) and len(usable) < self._most and now_s >= self._grow_at_s:
            self._grow_at_s = now_s + _GROW_AGAIN_S
            self._one_more()
        return next((pipe for pipe in connected if pipe.is_gathering and pipe.has_room), least)

    def _one_more(self) -> Pipe:
        pipe = Pipe(self._connection(), deadline_s=self._deadline_s, late=self._hear)
        self._pipes.append(pipe)
        return pipe


class KnownServers:
    """The servers that are in use, by their addresses. `connection` makes connections to one."""

    def __init__(
        self, connection: Callable[[HostAndPort], AbstractConnection], *, connections: int, deadline_s: float
    ) -> None:
        self._connection = connection
        self._connections = connections
        self.deadline_s = deadline_s
        self._servers: dict[HostAndPort, RedisServer] = {}
        self._leaving: dict[asyncio.Task[None], RedisServer] = {}
        self._is_closed = False

    @property
    def circuit(self) -> Circuit:
        """Return the worst state of their circuits."""
        return worst([server.circuit for server in self._servers.values()])

    def healthy(self) -> Sequence[HostAndPort]:
        """Return those whose circuits are closed."""
        return [at for at, server in self._servers.items() if server.circuit is Circuit.CLOSED]

    def at(self, at: HostAndPort) -> RedisServer:
        """Return the server at an address."""
        if self._is_closed:
            raise NotSentError("the connections are closed")
        if at not in self._servers:
            self._servers[at] = RedisServer(
                lambda: self._connection(at), connections=self._connections, deadline_s=self.deadline_s
            )
        return self._servers[at]

    def keep(self, wanted: Collection[HostAndPort]) -> None:
        """Forget the other servers. Who waits for their answers still gets them, within the deadline."""
        for at in self._servers.keys() - wanted:
            server = self._servers.pop(at)
            closing = asyncio.create_task(server.close(patience_s=self.deadline_s))
            self._leaving[closing] = server
            closing.add_done_callback(self._leaving.pop)

    async def close(self) -> None:
        """Close the connections to all of them."""
        self._is_closed = True
        servers = [*self._servers.values(), *self._leaving.values()]
        await asyncio.gather(*(server.close() for server in servers), *self._leaving)
