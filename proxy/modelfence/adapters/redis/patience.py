"""A deadline on an answer from outside that does not run while this process itself is held up."""

import asyncio
from typing import Any, Self

_TURNS = 5
_TURNS_OF_A_CALL = 4
"""A question is written in one turn of the event loop, its answer is read in another and handed on in the next ones."""
_MOST_HELD_UP_S = 0.5


class Patience:
    """Ends a block with TimeoutError after that many seconds in which this process was free to look for the answer.

    Counted in short turns: while the event loop is held up by other calls no answer can be read, and a turn that is
    held up counts as a short one. So a busy process waits longer, and doesn't take its own delay for the server's.

    `held_up_s` is how late a turn of the event loop came lately, when that is known from a block before; the block
    finds it out anew.
    """

    def __init__(self, seconds: float, *, held_up_s: float = 0.0) -> None:
        self.held_up_s = held_up_s
        self._turn_s = seconds / _TURNS
        self._left = _TURNS
        self._timeout = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._loop = asyncio.get_running_loop()
        self._promised_s = self._loop.time()
        self._next = self._loop.call_at(self._promised_s + self._turn_s, self._turn)
        return self

    async def __aexit__(self, *raised: Any) -> None:  # noqa: PYI036 - handed on as they come
        self._next.cancel()
        await self._timeout.__aexit__(*raised)

    def promise(self) -> float:
        """Return the event loop's time before which it won't end: one that leaves a held-up process time to ask."""
        now_s, turns_s = self._loop.time(), max(self._left - 1, 0) * self._turn_s
        held_up_s = _TURNS_OF_A_CALL * min(self.held_up_s, _MOST_HELD_UP_S)
        self._promised_s = max(self._promised_s, max(now_s, self._next.when()) + turns_s, now_s + held_up_s)
        return self._promised_s

    def _turn(self) -> None:
        now_s = self._loop.time()
        self.held_up_s = max(self.held_up_s, now_s - self._next.when())
        self._left -= 1
        if self._left > 0:
            self._next = self._loop.call_later(self._turn_s, self._turn)
        elif now_s < self._promised_s:
            self._next = self._loop.call_at(self._promised_s, self._turn)
        else:
            self._timeout.reschedule(now_s)
