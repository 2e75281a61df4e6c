"""Counts an answer while it passes through, and passes it on whatever the counting makes of it."""

import logging

from modelfence.core.call import Usage
from modelfence.core.dialect import UsageReader
from modelfence.wire.hiding import WholeAnswer
from modelfence.wire.whole_events import WholeEvents

log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4
"""What a token of English text takes on average; used only where nothing better is known."""
_FAILED = "counting an answer failed; it is counted by its size"


class Meter:
    """A stream callable for mitmproxy.

    An empty piece in the middle would end a chunked answer, so nothing is returned as no pieces at all; and a callable
    that raises would lose its piece, so whatever fails is dropped and the bytes are counted, and passed on, instead.
    """

    def __init__(
        self,
        reader: UsageReader | None,
        *,
        counts: bool,
        events: WholeEvents | WholeAnswer | None = None,
        hides: bool = False,
    ) -> None:
        """`counts` is False for an answer that costs nothing, such as an error's.

        `events` passes on whole events; what it keeps back is counted all the same. When it fails, what follows goes on
        as it comes, or not at all if it `hides` something.
        """
        self._events = events
        self._reader = reader
        self._counts = counts
        self._hides = hides
        self._bytes = 0
        self._ending: bytes | None = None

    def __call__(self, data: bytes) -> bytes | list[bytes]:
        """Take the next bytes of the answer and return what goes on to the client; no bytes are its end."""
        if not data:
            if self._ending is not None:
                return self._ending or []
            return (self._events and self._events.rest()) or []
        self._bytes += len(data)
        if self._reader is not None:
            try:
                self._reader.feed(data)
            except Exception:
                log.exception(_FAILED)
                self._reader = None
        return self._pass_on(data) or []

    @property
    def awaits_usage(self) -> bool:
        """Say whether what is still to come may tell what the answer cost."""
        return self._counts and self._reader is not None and not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Say whether the last event of a stream has passed."""
        if self._reader is not None:
            try:
                return self._reader.has_ended
            except Exception:
                log.exception(_FAILED)
                self._reader = None
        return False

    @property
    def output_tokens(self) -> int:
        """Return the tokens that have passed so far; zero when they cost nothing."""
        if not self._counts:
            return 0
        if self._reader is not None:
            try:
                return self._reader.output_tokens
            except Exception:
                log.exception(_FAILED)
                self._reader = None
        return -(-self._bytes // BYTES_PER_TOKEN)

    def end_here(self, *, with_usage: bool, input_tokens: int) -> None:
        """Let the answer end with the API's own last events, in place of what is still to come."""
        self._ending = b""
        if self._reader is not None:
            try:
                self._ending = self._reader.ending(with_usage=with_usage, input_tokens=input_tokens)
            except Exception:
                log.exception("a stream is ended without words: its last events could not be made")

    def usage(self) -> Usage | None:
        """Return what the answer cost as far as it has passed; None when nothing was served."""
        if not self._counts:
            return None
        if self._reader is not None:
            try:
                return self._reader.usage()
            except Exception:
                log.exception(_FAILED)
        return Usage(output_tokens=-(-self._bytes // BYTES_PER_TOKEN), estimated=True) if self._bytes else None

    def _pass_on(self, data: bytes) -> bytes:
        if self._events is None:
            return b"" if self._hides else data
        try:
            return self._events.pass_on(data)
        except Exception:
            log.exception("looking for what to keep back failed")
            events, self._events = self._events, None
            return b"" if self._hides else events.rest()
