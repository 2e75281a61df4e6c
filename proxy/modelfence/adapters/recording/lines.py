"""The lines of a recording, from a file or from standard input, plain or as gzip: one at a time, never all at once."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_LINE_BYTES = 64 << 20
_BUFFER_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"


class UnreadableError(Exception):
    """The recording can't be read, or not to its end. The text says why."""


class RecordingLines:
    """The lines of `file`; what it holds is looked at, not what it is called."""

    def __init__(self, file: BinaryIO, *, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        """Raises UnreadableError."""
        self._counted = _Counted(file)
        raw = io.BufferedReader(self._counted, _BUFFER_BYTES)
        self._max_line_bytes = max_line_bytes
        try:
            is_gzip = raw.peek(len(_GZIP))[: len(_GZIP)] == _GZIP
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from None
        self._lines = io.BufferedReader(gzip.GzipFile(fileobj=raw), _BUFFER_BYTES) if is_gzip else raw
        state = os.fstat(file.fileno())
        self.size_bytes = state.st_size if stat.S_ISREG(state.st_mode) else None
        """Of the file as it is, None where there is no telling."""

    @classmethod
    def of(cls, path: Path) -> "RecordingLines":
        """Open a file. Raises UnreadableError."""
        try:
            return cls(path.open("rb", buffering=0))
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from None

    @property
    def read_bytes(self) -> int:
        """Return how much of the file has been read."""
        return self._counted.read_bytes

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield each line with its end; None for one that is longer than a line may be. Raises UnreadableError."""
        try:
            while line := self._lines.readline(self._max_line_bytes + 1):
                if len(line) <= self._max_line_bytes:
                    yield line
                else:
                    while line and not line.endswith(b"\n"):
                        line = self._lines.readline(_BUFFER_BYTES)
                    yield None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnreadableError(f"it is not whole: {error}") from None
        except OSError as error:
            raise UnreadableError(error.strerror or str(error)) from None

    def close(self) -> None:
        """Close the file."""
        self._lines.close()
        self._counted.close()


class _Counted(io.RawIOBase):
    """A file, and how much of it has been read."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # the library's types say Buffer
        count: int = self._file.readinto(buffer) or 0  # type: ignore[attr-defined]  # a raw file has it
        self.read_bytes += count
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()
