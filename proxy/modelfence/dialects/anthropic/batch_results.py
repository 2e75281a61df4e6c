"""Counting the results of a batch, which come as lines of JSON: what each of its messages was answered with.

Rule: nothing an upstream sends raises, and memory is bounded: a line beyond MAX_LINE_BYTES is let go and counted by
its size.
"""

import json
from collections.abc import Callable

from modelfence.core.call import Usage
from modelfence.dialects.shared.counting import Count, Tally
from modelfence.dialects.shared.tokens import tokens_in

MAX_LINE_BYTES = 1024 * 1024
_UNANSWERED = ("errored", "canceled", "expired")


class ResultsReader:
    """A `UsageReader` of lines, each of which holds the result of one request."""

    framing = None
    has_ended = False

    def __init__(self, counter: Callable[[], Count]) -> None:
        """`counter` makes what counts one message."""
        self._counter = counter
        self._line = bytearray()
        self._skipped_bytes = 0
        """Of a line that is too long to keep."""
        self._size = 0
        """Bytes of lines that could not be read."""
        self._total = Usage()
        self._began = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, decoded."""
        self._began = self._began or bool(data)
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._keep(piece)
            self._end_line()
        self._keep(rest)

    def usage(self) -> Usage | None:
        """Return what all lines by now cost; one that has not ended is counted as if all of it were text."""
        unread = self._size + self._skipped_bytes + len(self._line)
        if not self._began:
            return None
        return Usage(
            output_tokens=self._total.output_tokens + tokens_in(unread),
            reasoning_tokens=self._total.reasoning_tokens,
            estimated=self._total.estimated or bool(unread),
        )

    @property
    def output_tokens(self) -> int:
        """Return the tokens generated so far."""
        usage = self.usage()
        return usage.output_tokens if usage else 0

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:  # noqa: ARG002 - it is no stream of events
        """Return nothing."""
        return b""

    def _keep(self, piece: bytes) -> None:
        if self._skipped_bytes or len(self._line) + len(piece) > MAX_LINE_BYTES:
            self._skipped_bytes += len(self._line) + len(piece)
            self._line.clear()
        else:
            self._line += piece

    def _end_line(self) -> None:
        line = bytes(self._line).strip()
        self._line.clear()
        self._size += self._skipped_bytes
        self._skipped_bytes = 0
        if line and not self._take(line):
            self._size += len(line)

    def _take(self, line: bytes) -> bool:
        """Count one line; say False when it is no result, or nested beyond reading."""
        try:
            entry = json.loads(line)
            result = entry.get("result") if isinstance(entry, dict) else None
            if not isinstance(result, dict):
                return False
            message = result.get("message")
            if not isinstance(message, dict):
                return result.get("type") in _UNANSWERED
            tally = Tally()
            self._counter()(message, len(line), tally, False)
        except (ValueError, RecursionError):
            return False
        used = tally.usage() or Usage()
        self._total = Usage(
            output_tokens=self._total.output_tokens + used.output_tokens,
            reasoning_tokens=self._total.reasoning_tokens + used.reasoning_tokens,
            estimated=self._total.estimated or used.estimated,
        )
        return True
