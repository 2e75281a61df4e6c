"""Gemini's other kind of stream: one JSON array, whose elements come one by one.

Rule: what was fed is all that counts, never where it was cut; each byte is looked at once, and an element beyond
MAX_BYTES is let go and only its size is remembered.

A plain answer of the same type is one JSON object, so only the first byte tells which of the two it is.
"""

import re
from collections.abc import Iterator

from modelfence.dialects.shared.sse import MAX_BYTES, Event

END = b"]"
"""Stands for the closing bracket among events."""
_BETWEEN = b"[, \t\r\n"
_BLANK = b" \t\r\n"
_IN_STRING = re.compile(rb'["\\]')
_OUTSIDE = re.compile(rb'["\[\]{}]')
_OPENING = (b"[", b"{")


class Elements:
    """Follows the text of one array, and finds where its elements end."""

    def __init__(self) -> None:
        self.is_array: bool | None = None
        """None as long as nothing but blanks has come."""
        self.is_over = False
        """The array was closed."""
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    def ends(self, data: bytes | bytearray, start: int = 0) -> Iterator[int]:
        """Yield where in the data, of which what stands before `start` was seen before, something ends.

        That is each element that is an object or an array, and the array itself, which is over by then.
        """
        if self.is_array is None and (first := bytes(data[start:]).lstrip(_BLANK)[:1]):
            self.is_array = first == b"["
        place = start if self.is_array else len(data)
        while place < len(data) and not self.is_over:
            if self._is_escaped:
                self._is_escaped = False
                place += 1
                continue
            found = (_IN_STRING if self._in_string else _OUTSIDE).search(data, place)
            if found is None:
                return
            place = found.end()
            if self._closes(found[0]):
                yield place

    def _closes(self, mark: bytes) -> bool:
        """Take the next character that matters; say whether an element ends with it, or the array."""
        if mark == b"\\":
            self._is_escaped = True
        elif mark == b'"':
            self._in_string = not self._in_string
        elif mark in _OPENING:
            self._depth += 1
        else:
            self._depth -= 1
            self.is_over = self._depth == 0
            return self._depth <= 1
        return False


class ArrayFraming:
    """A JSON array, each of whose elements is an event along with the comma before it. Of one stream only.

    What turns out to be no array is passed on as it comes.
    """

    ends_lines = False

    def __init__(self) -> None:
        self._elements = Elements()

    def ends(self, data: bytearray, before: int) -> list[int]:
        """Return where events end."""
        ends = list(self._elements.ends(data, before))
        return [len(data)] if self._elements.is_array is False and data else ends


class ArrayParser:
    """Turns the bytes of one array into its elements, and its closing bracket into END."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        """Bytes of elements that were too long to keep, or that came after the end."""
        self.has_begun = False
        """An element has passed."""
        self._elements = Elements()
        self._pending = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        if self._elements.is_over:
            self.dropped_bytes += len(data.strip(_BLANK))
            return []
        events: list[Event] = []
        start = 0
        for end in self._elements.ends(data):
            self._keep(data[start:end])
            self._end_element(events)
            start = end
        if self._elements.is_over:
            self.dropped_bytes += len(data[start:].strip(_BLANK))
            events.append(Event("message", END))
        else:
            self._keep(data[start:])
        return events

    def _keep(self, piece: bytes) -> None:
        if self._is_too_long or len(self._pending) + len(piece) > MAX_BYTES:
            self.dropped_bytes += len(self._pending) + len(piece)
            self._pending.clear()
            self._is_too_long = True
        else:
            self._pending += piece

    def _end_element(self, events: list[Event]) -> None:
        element = bytes(self._pending).strip(_BETWEEN)
        if self._elements.is_over:
            element = element.removesuffix(END).strip(_BETWEEN)
        if element:
            events.append(Event("message", element))
        self.has_begun = self.has_begun or bool(element) or self._is_too_long
        self._pending.clear()
        self._is_too_long = False
