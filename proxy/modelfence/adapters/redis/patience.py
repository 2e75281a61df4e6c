"""A deadline on an answer from outside that does not run while this process itself is held up."""

import asyncio

from modelfence.enforcement.deadlines import Alarms, Deadline

_TURNS = 5
_TURNS_OF_A_CALL = 4
"""A question is written in one turn of the event loop, its answer is read in another and handed on in the next ones."""
_MOST_HELD_UP_S = 0.5


class Turns:
    """The turns in which patience of so many seconds is counted, for all who have that much."""

    def __init__(self, seconds: float) -> None:
        self.each_s = seconds / _TURNS
        self.alarms = Alarms(self.each_s)


class Patience(Deadline):
    """Ends a block with TimeoutError after that many turns in which this process was free to look for the answer.

    While the event loop is held up by other calls no answer can be read, and a turn that is held up counts as a short
    one. So a busy process waits longer, and doesn't take its own delay for the server's.

    `held_up_s` is how late a turn of the event loop came lately, when that is known from a block before; the block
    finds it out anew.
    """

    __slots__ = ("_left", "_promised_s", "_turns", "held_up_s")

    def __init__(self, turns: Turns, *, held_up_s: float = 0.0) -> None:
        super().__init__(turns.alarms)
        self.held_up_s = held_up_s
        self._turns = turns
        self._left = _TURNS
        self._promised_s = 0.0

    def promise(self) -> float:
        """Return the event loop's time before which it won't end: one that leaves a held-up process time to ask.

        Once its turns are over it promises no more than before: who asks again and again would never be told to stop.
        """
        if self._left <= 0:
            return self._promised_s
        now_s, turns_s = asyncio.get_running_loop().time(), (self._left - 1) * self._turns.each_s
        held_up_s = _TURNS_OF_A_CALL * min(self.held_up_s, _MOST_HELD_UP_S)
        self._promised_s = max(self._promised_s, max(now_s, self._alarm.due_s) + turns_s, now_s + held_up_s)
        return self._promised_s

    def _pass(self) -> None:
        now_s = asyncio.get_running_loop().time()
        self.held_up_s = max(self.held_up_s, now_s - self._alarm.due_s)
        self._left -= 1
        if self._left > 0 or now_s < self._promised_s:
            self._alarm = self._alarms.set(self._pass)
        else:
            super()._pass()
