"""A file of lines that only its owner reads, set aside under another name when it has reached its size."""

import os
from itertools import pairwise, takewhile
from pathlib import Path

from modelfence.adapters.own_file import OwnFile, Write, check_folder

_NEWLINE = b"\n"


class RecordingFile:
    """The lines of `path`, of at most `max_bytes`; what was there before is at `path.1`, the newest, to `path.keep`."""

    def __init__(self, path: Path, *, max_bytes: int, keep: int, write: Write = os.write) -> None:
        """Open the file, or make it. Raises OSError, whose `strerror` says why it can't be."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._write = write
        check_folder(path.parent)
        self._file: OwnFile | None = OwnFile(path, write)

    def append(self, line: bytes) -> None:
        """Write a line, given with its end. Raises OSError: it is not in the file then."""
        file = self._open()
        if file.is_torn:
            file.put(_NEWLINE)
        if file.size and file.size + len(line) > self._max_bytes:
            self._set_aside()
            file = self._open()
        file.put(line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> OwnFile:
        if self._file is not None and not self._file.is_at(self._path):  # somebody has set it aside, or removed it
            self.close()
        if self._file is None:
            self._file = OwnFile(self._path, self._write)
        return self._file

    def _set_aside(self) -> None:
        """Give the file another name. What fails halfway goes on with the next line, and moves nothing twice."""
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        # Up to the first name that is free: an attempt before has moved what lies beyond.
        there = len(list(takewhile(os.path.lexists, names)))
        for name, older in reversed(list(pairwise(names[: there + 1]))):
            name.replace(older)
        self.close()
