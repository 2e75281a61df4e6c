"""A line on the terminal that says how far a long command is. Where there is no terminal it says nothing."""

import shutil
import time
from collections.abc import Callable
from typing import TextIO

from modelfence.adapters.recording.lines import RecordingLines

_EVERY_S = 0.1
_LOOK_EVERY = 32
_BAR = 24
_MB = 1 << 20


class Progress:
    """How far the reading of `lines` is. `clear` before anything else is printed on `stream`."""

    def __init__(self, lines: RecordingLines, stream: TextIO, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._lines = lines
        self._stream = stream
        self._is_shown = stream.isatty()
        self._clock_s = clock_s
        self._began_s = self._shown_s = clock_s()
        self._requests = 0

    @property
    def took_s(self) -> float:
        """Return the seconds since the beginning."""
        return self._clock_s() - self._began_s

    def advance(self) -> None:
        """Count one line, and show where it is now, from time to time."""
        self._requests += 1
        if not self._is_shown or self._requests % _LOOK_EVERY:
            return
        now_s = self._clock_s()
        if now_s - self._shown_s >= _EVERY_S:
            self._shown_s = now_s
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{self._text()[:width]}")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _text(self) -> str:
        rate = f"{self._requests / max(self.took_s, 1e-9):,.0f} requests/s"
        size, read = self._lines.size_bytes, self._lines.read_bytes
        if not size:
            return f"replaying {self._requests:,} requests  {read / _MB:,.1f} MB  {rate}"
        # A file may grow while it is read.
        share = min(1.0, read / size)
        bar = ("#" * round(share * _BAR)).ljust(_BAR, ".")
        return f"replaying [{bar}] {share:4.0%}  {read / _MB:,.1f} of {size / _MB:,.1f} MB  {rate}"
