"""A file of lines that only its owner reads, set aside under another name when it has reached its size.

Rule: a file is never opened through a symbolic link, shared with another process, or taken over when others may read
it. A line is in the file as a whole, or not at all.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from itertools import pairwise, takewhile
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
_MODE = 0o600
_NEWLINE = b"\n"


class RecordingFile:
    """The lines of `path`, of at most `max_bytes`; what was there before is at `path.1`, the newest, to `path.keep`."""

    def __init__(
        self, path: Path, *, max_bytes: int, keep: int, write: Callable[[int, memoryview], int] = os.write
    ) -> None:
        """Open the file, or make it. Raises OSError, whose `strerror` says why it can't be."""
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._write = write
        self._file: int | None = None
        self._size = 0
        self._is_torn = False
        if not os.access(path.parent, os.W_OK | os.X_OK):
            reason = "nothing can be written to its folder" if path.parent.is_dir() else "its folder does not exist"
            raise PermissionError(errno.EACCES, reason)
        self._open()

    def append(self, line: bytes) -> None:
        """Write a line, given with its end. Raises OSError: it is not in the file then."""
        file = self._open() if self._file is None else self._file
        if self._is_torn:
            self._put(file, _NEWLINE)
            self._is_torn = False
        if self._size and self._size + len(line) > self._max_bytes:
            self._set_aside()
            file = self._open()
        self._put(file, line)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        try:
            file = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, _MODE)
        except FileExistsError:
            file = _existing(self._path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = os.fstat(file).st_size
            self._is_torn = self._size > 0 and os.pread(file, 1, self._size - 1) != _NEWLINE
        except BlockingIOError:
            os.close(file)
            raise BlockingIOError(errno.EAGAIN, "another process writes to it") from None
        except OSError:
            os.close(file)
            raise
        self._file = file
        return file

    def _set_aside(self) -> None:
        """Give the file another name. What fails halfway goes on with the next line, and moves nothing twice."""
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        # Up to the first name that is free: an attempt before has moved what lies beyond.
        there = len(list(takewhile(os.path.lexists, names)))
        for name, older in reversed(list(pairwise(names[: there + 1]))):
            name.replace(older)
        self.close()

    def _put(self, file: int, data: bytes) -> None:
        """Write all or nothing, as far as that can be had."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._write(file, left) :]
        except OSError:
            self._take_back(file, len(data) - len(left))
            raise
        self._size += len(data)

    def _take_back(self, file: int, written: int) -> None:
        """Remove the beginning of a line whose rest found no room."""
        if not written:
            return
        try:
            os.ftruncate(file, self._size)
        except OSError:
            self._size += written
            self._is_torn = True


def _existing(path: Path) -> int:
    try:
        file = os.open(path, _FLAGS)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link") from None
        raise
    reason = _unfit(os.fstat(file))
    if reason:
        os.close(file)
        raise PermissionError(errno.EACCES, reason)
    return file


def _unfit(state: os.stat_result) -> str:
    """Return why a file that was there can't be written on; empty when it can."""
    if not stat.S_ISREG(state.st_mode):
        return "it is no regular file"
    if state.st_uid != os.geteuid():
        return "it belongs to another user"
    mode = stat.S_IMODE(state.st_mode)
    return f"others may read or change it: its mode is {mode:04o}, and should be 0600" if mode & 0o077 else ""
