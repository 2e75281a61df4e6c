"""Passes on whole events of a stream, so that it can be ended between two; and keeps back what nobody asked for."""

import re
from collections.abc import Callable

MAX_EVENT_BYTES = 1 << 20
"""An event longer than this is passed on as it comes."""
_EVENT_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class WholeEvents:
    """Passes on whole events, except those that `withheld` says yes to."""

    def __init__(self, withheld: Callable[[bytes], bool] | None = None) -> None:
        self._withheld = withheld
        self._pending = b""

    def pass_on(self, data: bytes) -> bytes:
        """Take the next bytes of the stream and return what goes on by now."""
        self._pending += data
        passed = []
        start = 0
        for end in _EVENT_END.finditer(self._pending):
            event = self._pending[start : end.end()]
            start = end.end()
            if self._withheld is None or not self._withheld(event):
                passed.append(event)
        self._pending = self._pending[start:]
        if len(self._pending) > MAX_EVENT_BYTES:
            passed.append(self.rest())
        return b"".join(passed)

    def rest(self) -> bytes:
        """Return what is left when the stream has ended."""
        rest, self._pending = self._pending, b""
        return rest
