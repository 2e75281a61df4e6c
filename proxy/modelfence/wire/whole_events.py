"""Passes on whole events of a stream, so that it can be ended between two; and keeps back what nobody asked for."""

from collections.abc import Callable

from modelfence.core.dialect import Framing

MAX_EVENT_BYTES = 1 << 20
"""An event longer than this is passed on as it comes."""


class WholeEvents:
    """Passes on whole events, except those that `withheld` says yes to."""

    def __init__(
        self,
        framing: Framing,
        withheld: Callable[[bytes], bool] | None = None,
        *,
        shaped: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """`shaped` returns what goes on of an event; then none goes on that is too long to be looked at."""
        self._framing = framing
        self._withheld = withheld
        self._shaped = shaped
        self._pending = bytearray()
        """What has come of an event whose end has not."""
        self._after_return = b""
        """What becomes of a line feed that comes next: it belongs to the event before, and goes where that went."""
        self._ended_in_return = False

    def pass_on(self, data: bytes) -> bytes:
        """Take the next bytes of the stream and return what goes on by now."""
        passed = []
        if self._ended_in_return and data[:1] == b"\n":
            passed.append(self._after_return)
            data = data[1:]
        before = len(self._pending)
        self._pending += data
        ends = self._framing.ends(self._pending, before)
        start = 0
        for end in ends:
            event = bytes(self._pending[start:end])
            start = end
            goes_on = self._withheld is None or not self._withheld(event)
            if goes_on:
                passed.append(event if self._shaped is None else self._shaped(event))
            self._after_return = b"\n" if goes_on and self._shaped is None else b""
        ends_here = bool(ends) and start == len(self._pending)
        self._ended_in_return = self._framing.ends_lines and ends_here and self._pending.endswith(b"\r")
        del self._pending[:start]
        if len(self._pending) > MAX_EVENT_BYTES:
            passed.append(self.rest())
        return b"".join(passed)

    def rest(self) -> bytes:
        """Return what is left when the stream has ended."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest if self._shaped is None else self._shaped(rest)
