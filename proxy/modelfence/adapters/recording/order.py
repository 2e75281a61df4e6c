"""Lines back in the order in which their calls arrived, although calls end in any order.

A line waits until its call has ended and no earlier one can still come: all lines that arrived before it have been
written. Two bounds keep one long answer from holding up all others for good: a time, and a size over all lines. Past
either, the earliest line goes out as it is, without what the call used.

Rule: nothing here reads a clock or a file.

Why not write the usage as a line of its own: a recording is one line for each call, which is what everyone who reads
one counts on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

GRACE_S = 5.0
"""How long a line waits for earlier calls that are still being judged: the longest a judgement may take."""
HELD_S = 300.0
"""How long a line waits for the end of its call."""
HELD_BYTES = 64 << 20
_OVERHEAD_BYTES = 500
"""What a held line takes in memory beside its text."""


@dataclass(order=True, slots=True)
class _Held:
    at_us: int
    number: int
    since_s: float = field(compare=False)
    line: bytes = field(compare=False)
    until: str | None = field(compare=False)
    """The call whose end it waits for."""

    @property
    def size(self) -> int:
        return len(self.line) + _OVERHEAD_BYTES


class ArrivalOrder:
    """Lines that are held back. Times in seconds are of a clock that never steps."""

    def __init__(self, *, grace_s: float = GRACE_S, held_s: float = HELD_S, held_bytes: int = HELD_BYTES) -> None:
        self._grace_s = grace_s
        self._held_s = held_s
        self._held_bytes = held_bytes
        self._heap: list[_Held] = []
        self._under_way: dict[str, _Held] = {}
        self._bytes = 0
        self._number = 0
        self.last_us = 0
        """When the call arrived whose line went out last: no line may be given with an earlier time."""

    def hold(self, at_us: int, line: bytes, *, now_s: float, until: str | None = None) -> None:
        """Take a line that arrived at `at_us`, microseconds, and waits `until` the call of that id has ended."""
        self._number += 1
        held = _Held(at_us, self._number, now_s, line, until)
        heappush(self._heap, held)
        if until is not None:
            self._under_way[until] = held
        self._bytes += held.size

    def end(self, call_id: str, more: bytes) -> None:
        """Let the call of that id have ended, and add to its line, unless it had to go out before."""
        held = self._under_way.pop(call_id, None)
        if held is not None:
            self._bytes += len(more)
            held.line += more
            held.until = None

    def due(self, now_s: float) -> Iterator[bytes]:
        """Give out the lines that need not wait any longer, in order."""
        while self._heap and (self._bytes > self._held_bytes or self._waits_until_s(self._heap[0]) <= now_s):
            yield self._next()

    def rest(self) -> Iterator[bytes]:
        """Give out all lines, in order."""
        while self._heap:
            yield self._next()

    def next_due_s(self) -> float | None:
        """Return when a line is due next, None while there is none."""
        return self._waits_until_s(self._heap[0]) if self._heap else None

    def _waits_until_s(self, held: _Held) -> float:
        return held.since_s + (self._grace_s if held.until is None else self._held_s)

    def _next(self) -> bytes:
        held = heappop(self._heap)
        if held.until is not None:
            self._under_way.pop(held.until, None)
        self._bytes -= held.size
        self.last_us = held.at_us
        return held.line
