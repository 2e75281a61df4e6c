"""A deadline on an answer from outside that does not run while this process itself is held up."""

import asyncio
from typing import Any, Self

_TURNS = 5


class Patience:
    """Ends a block with TimeoutError after that many seconds in which this process was free to look for the answer.

    Counted in short turns: while the event loop is held up by other calls no answer can be read, and a turn that is
    held up counts as a short one. So a busy process waits longer, and doesn't take its own delay for the server's.
    """

    def __init__(self, seconds: float) -> None:
        self._turn_s = seconds / _TURNS
        self._left = _TURNS
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.call_later(self._turn_s, self._turn)
        return self

    async def __aexit__(self, *raised: Any) -> None:  # noqa: PYI036 - handed on as they come
        self._next.cancel()
        await self._timeout.__aexit__(*raised)

    @property
    def lasts_until_s(self) -> float:
        """Return the event loop's time before which it can't end."""
        return max(self._loop.time(), self._next.when()) + (self._left - 1) * self._turn_s

    def _turn(self) -> None:
        self._left -= 1
        if self._left:
            self._next = self._loop.call_later(self._turn_s, self._turn)
        else:
            self._timeout.reschedule(self._loop.time())
