"""What a connection brings, served as it comes.

mitmproxy's task waits for each piece anew: a waiter, and two more turns of the event loop before the piece is served,
cost as much as passing on an event of a stream does. Here the task waits for the end alone.
"""

import asyncio
from collections.abc import Callable
from contextvars import copy_context

from modelfence.wire.first_request import ReadAgain


class Arrivals:
    """The reader that mitmproxy's task has: it reads what was there before, and then is told the end alone."""

    def __init__(self, reader: ReadAgain | asyncio.StreamReader, serve: Callable[[bytes], None]) -> None:
        """`serve` takes what comes from then on, in the context in which this is made."""
        self._reader = reader
        self._stream = reader.reader if isinstance(reader, ReadAgain) else reader
        self._serve = serve
        # The event loop calls in the context of whoever opened the connection: before it was known whose it is.
        self._context = copy_context()

    async def read(self, size: int, /) -> bytes:
        """Return what was there before; nothing at the end. Raises OSError when the connection breaks off."""
        if isinstance(self._reader, ReadAgain) and self._reader.ahead:
            return await self._reader.read(size)
        if not self._stream._buffer:  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way to ask
            self._stream.feed_data = self._take  # type: ignore[method-assign, assignment]
        return await self._stream.read(size)

    def _take(self, data: bytes) -> None:
        self._context.run(self._serve, data)
