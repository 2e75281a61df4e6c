"""Streams of lines, each of which is one JSON text: `application/x-ndjson` and its like.

After the JSON Lines and NDJSON conventions: a line ends with a line feed, and empty lines say nothing. Rule: what was
fed is all that counts, never where it was cut; a line beyond MAX_BYTES is let go and only its size is remembered.
"""

import json
from collections.abc import Mapping

from modelfence.dialects.shared.sse import MAX_BYTES, Event


class LineFraming:
    """Lines: each ends with a line feed, whatever stands before it."""

    ends_lines = False

    def ends(self, data: bytearray, before: int) -> list[int]:
        """Return where lines end."""
        found = []
        at = data.find(b"\n", before)
        while at >= 0:
            found.append(at + 1)
            at = data.find(b"\n", at + 1)
        return found


class LineParser:
    """Turns the bytes of one stream into its lines, each an event."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        """Bytes of lines that were too long to keep."""
        self._line = bytearray()
        self._is_too_long = False

    def feed(self, data: bytes) -> list[Event]:
        """Return the lines that these bytes complete, but for empty ones."""
        *pieces, rest = data.split(b"\n")
        events = []
        for piece in pieces:
            self._keep(piece)
            if line := bytes(self._line).strip():
                events.append(Event("message", line))
            self._line.clear()
            self._is_too_long = False
        self._keep(rest)
        return events

    def _keep(self, piece: bytes) -> None:
        if self._is_too_long or len(self._line) + len(piece) > MAX_BYTES:
            self.dropped_bytes += len(self._line) + len(piece)
            self._line.clear()
            self._is_too_long = True
        else:
            self._line += piece


def as_line(message: Mapping[str, object]) -> bytes:
    """Return a message as one line. In ASCII, so that no reader takes a character of a text for a line's end."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
