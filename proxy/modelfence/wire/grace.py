"""How long a new connection may take to say what it wants: less, once the fence stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Grace:
    """The time in which connections have to begin, together so that it can be shortened for all of them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def lasts(self) -> AsyncIterator[None]:
        """Bound what is done within. Raises TimeoutError."""
        async with asyncio.timeout(self._seconds) as waiting:
            self._waiting.add(waiting)
            try:
                yield
            finally:
                self._waiting.discard(waiting)

    def shorten(self, seconds: float) -> None:
        """Let those who wait have no more than so many seconds from now, and those who come no more either."""
        self._seconds = min(self._seconds, seconds)
        latest = asyncio.get_running_loop().time() + seconds
        for waiting in self._waiting:
            due = waiting.when()
            if not waiting.expired() and (due is None or due > latest):
                waiting.reschedule(latest)
