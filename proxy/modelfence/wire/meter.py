"""Counts an answer while it passes through, and passes it on whatever the counting makes of it."""

import logging

from modelfence.core.call import Usage
from modelfence.core.dialect import UsageReader
from modelfence.wire.withholding import Withholding

log = logging.getLogger(__name__)

BYTES_PER_TOKEN = 4
"""What a token of English text takes on average; used only where nothing better is known."""
_FAILED = "counting an answer failed; it is counted by its size"


class Meter:
    """A stream callable for mitmproxy.

    An empty piece in the middle would end a chunked answer, so nothing is returned as no pieces at all; and a callable
    that raises would lose its piece, so a reader that fails is dropped and the bytes are counted instead.
    """

    def __init__(self, reader: UsageReader | None, *, counts: bool, withholding: Withholding | None = None) -> None:
        """`counts` is False for an answer that costs nothing, such as an error's.

        `withholding` keeps back what the client did not ask for; it is counted all the same.
        """
        self._withholding = withholding
        self._reader = reader
        self._counts = counts
        self._bytes = 0

    def __call__(self, data: bytes) -> bytes | list[bytes]:
        """Take the next bytes of the answer and return what goes on to the client."""
        if not data:
            return (self._withholding and self._withholding.rest()) or []
        self._bytes += len(data)
        if self._reader is not None:
            try:
                self._reader.feed(data)
            except Exception:
                log.exception(_FAILED)
                self._reader = None
        if self._withholding is not None:
            return self._withholding.pass_on(data) or []
        return data

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
