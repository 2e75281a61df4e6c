"""A bounded number of connections to one Redis server, each used by one call at a time.

Rule: a connection whose answer was not read to its end is closed, never handed on.

Why not redis-py's own pool: when a call is cancelled (each of ours has a deadline) while its blocking pool takes the
connection back, that connection is lost to the pool; and it reconnects and retries on terms of its own. What is left
here fits on a page.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.exceptions import ResponseError
from redis.typing import EncodableT


class RedisConnections:
    """At most `most` connections to the server of `url` (redis://, rediss:// or unix://).

    There are no timeouts in here: the caller's deadline covers waiting for a connection, connecting and the answer.
    Raises ValueError for a URL that is none of these.
    """

    def __init__(self, url: str, *, most: int) -> None:
        # Nothing but AUTH and SELECT is asked of a new connection: every round trip counts against the deadline.
        self._factory = ConnectionPool.from_url(
            url, protocol=2, driver_info=None, socket_timeout=None, socket_connect_timeout=None
        )
        try:
            self._factory.make_connection()  # type: ignore[no-untyped-call]  # redis-py annotates in part
        except TypeError:
            message = "its query names an option that does not exist"
            raise ValueError(message) from None
        self._most = most
        self._room = asyncio.Semaphore(most)
        self._idle: list[AbstractConnection] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AbstractConnection]:
        """Lend a connection. Raises redis.exceptions.RedisError or OSError when there is none to be had."""
        async with self._room:
            connection = self._idle.pop() if self._idle else self._factory.make_connection()  # type: ignore[no-untyped-call]  # redis-py annotates in part
            try:
                await _connect(connection)
                yield connection
            except ResponseError:
                self._idle.append(connection)
                raise
            except BaseException:
                await connection.disconnect(nowait=True)
                raise
            self._idle.append(connection)

    async def close(self) -> None:
        """Close every connection, as soon as the calls that use them are done. Nothing can be lent afterwards."""
        for _ in range(self._most):
            await self._room.acquire()
        while self._idle:
            await self._idle.pop().disconnect()


async def ask(connection: AbstractConnection, *command: EncodableT) -> object:
    """Return the server's answer to one command. Raises redis.exceptions.RedisError."""
    await connection.send_command(*command)
    return await connection.read_response()


async def _connect(connection: AbstractConnection) -> None:
    """Connect unless it is; what the server closed, or sent unasked, since its last use begins anew."""
    if connection.is_connected and await connection.can_read():
        await connection.disconnect(nowait=True)
    await connection.connect()  # type: ignore[no-untyped-call]
