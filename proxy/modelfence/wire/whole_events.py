"""Passes on whole events of a stream, so that it can be ended between two; and keeps back what nobody asked for."""

import re
from collections.abc import Callable

MAX_EVENT_BYTES = 1 << 20
"""An event longer than this is passed on as it comes."""
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
"""The end of a line and an empty line, whichever way each of them ends."""
_LONGEST_END = 4


class WholeEvents:
    """Passes on whole events, except those that `withheld` says yes to."""

    def __init__(self, withheld: Callable[[bytes], bool] | None = None) -> None:
        self._withheld = withheld
        self._pending = bytearray()
        """What has come of an event whose end has not."""

    def pass_on(self, data: bytes) -> bytes:
        """Take the next bytes of the stream and return what goes on by now."""
        searched = max(0, len(self._pending) - _LONGEST_END + 1)
        self._pending += data
        ends = [found.end() for found in _EVENT_END.finditer(self._pending, searched)]
        passed = []
        start = 0
        for end in ends:
            event = bytes(self._pending[start:end])
            start = end
            if self._withheld is None or not self._withheld(event):
                passed.append(event)
        del self._pending[:start]
        if len(self._pending) > MAX_EVENT_BYTES:
            passed.append(self.rest())
        return b"".join(passed)

    def rest(self) -> bytes:
        """Return what is left when the stream has ended."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest
