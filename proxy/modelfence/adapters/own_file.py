"""A file that only its owner reads, and only one process writes to.

Rule: a file is never opened through a symbolic link, shared with another process, or taken over when others may read
it. What is appended is in the file as a whole, or not at all.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY
_MODE = 0o600
_NEWLINE = b"\n"

type Write = Callable[[int, memoryview], int]


def check_folder(folder: Path) -> None:
    """Raises PermissionError where no file can be made or renamed; its `strerror` says why."""
    if not os.access(folder, os.W_OK | os.X_OK):
        reason = "nothing can be written to its folder" if folder.is_dir() else "its folder does not exist"
        raise PermissionError(errno.EACCES, reason)


def open_own(path: Path, flags: int = 0) -> int:
    """Open a file, or make it, for this process alone. Raises OSError, whose `strerror` says why it can't be."""
    try:
        file = os.open(path, _FLAGS | flags | os.O_CREAT | os.O_EXCL, _MODE)
    except FileExistsError:
        file = _existing(path, _FLAGS | flags)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise BlockingIOError(errno.EAGAIN, "another process writes to it") from None
    except OSError:
        os.close(file)
        raise
    return file


def is_at(file: int, path: Path) -> bool:
    """Say whether an open file has that name still, and was not removed, renamed or replaced. Raises OSError."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False


class OwnFile:
    """An open file of lines, to which more are appended."""

    def __init__(self, path: Path, write: Write = os.write) -> None:
        """Open the file, or make it. Raises OSError, whose `strerror` says why it can't be."""
        self._write = write
        self._file = open_own(path, os.O_APPEND)
        try:
            self._measure()
        except OSError:
            os.close(self._file)
            raise

    def put(self, data: bytes) -> None:
        """Append all of the data or nothing, as far as that can be had. Raises OSError."""
        left = memoryview(data)
        try:
            while left:
                left = left[self._write(self._file, left) :]
        except OSError:
            self._take_back(len(data) - len(left))
            raise
        self.size += len(data)
        self.is_torn = False

    def cut(self, size: int) -> None:
        """Remove what lies beyond that size. Raises OSError."""
        os.ftruncate(self._file, size)
        self.size = size
        self.is_torn = False

    def read(self, size: int, at: int) -> bytes:
        """Return so many bytes from there, fewer at the end. Raises OSError."""
        return os.pread(self._file, size, at)

    def is_at(self, path: Path) -> bool:
        """Say whether the file has that name still, and was not removed, renamed or replaced. Raises OSError."""
        return is_at(self._file, path)

    def was_cut(self) -> bool:
        """Say whether somebody has removed its end. What is left of it is then the file. Raises OSError."""
        if os.fstat(self._file).st_size >= self.size:
            return False
        self._measure()
        return True

    def sync(self) -> None:
        """Have what was written on the disk. Raises OSError."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file, once."""
        os.close(self._file)

    def _measure(self) -> None:
        self.size = os.fstat(self._file).st_size
        """In bytes, without what could not be taken back of an unfinished line."""
        self.is_torn = self.size > 0 and os.pread(self._file, 1, self.size - 1) != _NEWLINE
        """It ends in the beginning of a line."""

    def _take_back(self, written: int) -> None:
        """Remove the beginning of a line whose rest found no room."""
        if not written:
            return
        try:
            os.ftruncate(self._file, self.size)
        except OSError:
            self.size += written
            self.is_torn = True


def _existing(path: Path, flags: int) -> int:
    try:
        file = os.open(path, flags)
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
