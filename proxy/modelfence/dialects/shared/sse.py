"""Server-sent events out of bytes that arrive in any pieces.

After the WHATWG's HTML standard, section 9.2.6 "Interpreting an event stream". Rule: what was fed is all that counts,
never where it was cut; a line or an event beyond MAX_BYTES is let go and only its size is remembered.
"""

import re
from dataclasses import dataclass

MAX_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = (b"\n", b"\r")
_EVENT_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
"""The end of a line and an empty line, whichever way each of them ends."""
_LONGEST_END = 4


_ONLY_FIELD = b"data: "


def is_one_event(data: bytes | bytearray) -> bool:
    """Say whether these bytes are one whole line and the empty line behind it, as most pieces of most streams are."""
    return data.endswith(b"\n\n") and data.find(b"\n") == len(data) - 2 and b"\r" not in data


class EventFraming:
    """Server-sent events: each ends with an empty line."""

    ends_lines = True

    def ends(self, data: bytearray, before: int) -> list[int]:
        """Return where events end."""
        if not before and is_one_event(data):
            return [len(data)]
        return [found.end() for found in _EVENT_END.finditer(data, max(0, before - _LONGEST_END + 1))]


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, `message` when it gave none, and its data lines joined by line feeds."""

    name: str
    data: bytes


class EventParser:
    """Turns the bytes of one stream into its events."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        """Bytes of lines and events that were too long to keep."""
        self._line = bytearray()
        self._line_too_long = False
        self._after_return = False
        self._at_start = True
        self._name = ""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        if data.startswith(_ONLY_FIELD) and len(data) <= MAX_BYTES and is_one_event(data) and not self._is_within:
            self._at_start = self._after_return = False
            return [Event("message", data[len(_ONLY_FIELD) : -2])]
        if self._after_return and data.startswith(b"\n"):
            data = data[1:]
            self._after_return = False
        if not data:
            return []
        self._after_return = data.endswith(b"\r")
        events: list[Event] = []
        for line in data.splitlines(keepends=True):
            if not line.endswith(_LINE_ENDS):
                self._keep(line)
            elif self._line or self._line_too_long or len(line) > MAX_BYTES:
                self._keep(line.rstrip(b"\r\n"))
                self._end_line(bytes(self._line), events)
                self._line.clear()
            else:
                self._end_line(line.rstrip(b"\r\n"), events)
        return events

    @property
    def _is_within(self) -> bool:
        """Say whether something of an event, or of a line, has come already."""
        return bool(self._line or self._line_too_long or self._name or self._data_bytes)

    def _keep(self, piece: bytes) -> None:
        if self._line_too_long or len(self._line) + len(piece) > MAX_BYTES:
            self.dropped_bytes += len(self._line) + len(piece)
            self._line.clear()
            self._line_too_long = True
        else:
            self._line += piece

    def _end_line(self, line: bytes, events: list[Event]) -> None:
        if self._at_start:
            line = line.removeprefix(_BOM)
            self._at_start = False
        if self._line_too_long:
            self._line_too_long = False
        elif not line:
            self._end_event(events)
        else:
            self._take_field(line)

    def _take_field(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes <= MAX_BYTES:
                self._data.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")

    def _end_event(self, events: list[Event]) -> None:
        if self._data_bytes > MAX_BYTES:
            self.dropped_bytes += self._data_bytes
        elif self._data:
            events.append(Event(self._name or "message", b"\n".join(self._data)))
        self._name = ""
        self._data = []
        self._data_bytes = 0
