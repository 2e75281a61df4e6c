"""The files of one worker's audit log: lines are sealed and appended, full files set aside, and the chain goes on.

Each batch of lines is handed to the operating system, and then the note of how far the chain has come. A process that
dies between the two leaves lines beyond the note, which are whole. A file is put on the disk (fsync) when it is set
aside and when the fence stops: a machine that dies loses what its operating system had not written yet, and the note
shows that it was there.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence

from modelfence.adapters.own_file import OwnFile, Write, check_folder, is_at, open_own
from modelfence.audit.chain import Link, Seals, read_line
from modelfence.audit.files import HEAD_BYTES, ChainFiles, Head, read_head

log = logging.getLogger(__name__)

_BLOCK_BYTES = 64 << 10
_LONGEST_LINE_BYTES = 1 << 20


class BrokenChainError(Exception):
    """The chain that is there can't be gone on with. The text says why, and what to do."""


class AuditFile:
    """A chain that is written to, in files of at most `max_bytes` that are at most `max_age_s` seconds old.

    So many full files are kept as `keep` says; 0 keeps all. `clock_s` gives the time in seconds since the epoch.
    """

    def __init__(  # noqa: PLR0913 - how files are set aside, by keyword
        self,
        files: ChainFiles,
        seals: Seals,
        *,
        max_bytes: int,
        max_age_s: float,
        keep: int = 0,
        clock_s: Callable[[], float] = time.time,
        write: Write = os.write,
    ) -> None:
        """Open the chain, or begin one. Raises BrokenChainError, and OSError, whose `strerror` says why."""
        self._files = files
        self._seals = seals
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._keep = keep
        self._clock_s = clock_s
        self._write = write
        check_folder(files.folder)
        self._head_file = open_own(files.head)
        self._file: OwnFile | None = None
        try:
            self._file = OwnFile(files.current, write)
            self._remove_torn_end(self._file)
            self._head = self._found(self._file)
            self._write_head()
        except BaseException:
            self.close()
            raise

    def write(self, waiting: Sequence[bytes]) -> int:
        """Write the first of some lines, those that fit the file, and return how many.

        Lines are given by their fields, as JSON without braces. Raises OSError: none is in the file then.
        """
        file = self._open()
        if file.was_cut():
            log.error("the end of the audit log %s was cut off by somebody else", self._files.current)
        if file.is_torn:
            self._remove_torn_end(file)
        line, link = self._seals.next_line(self._head.link, waiting[0])
        if file.size and (file.size + len(line) > self._max_bytes or self._is_old()):
            self._set_aside(file)
            file = self._open()
        lines, size = [line], file.size + len(line)
        for fields in waiting[1:]:
            line, following = self._seals.next_line(link, fields)
            size += len(line)
            if size > self._max_bytes:
                break
            lines.append(line)
            link = following
        file.put(b"".join(lines))
        self._head = Head(self._head.begins, self._head.begun_s, link.seq, link.seal)
        self._write_head()
        return len(lines)

    def close(self) -> None:
        """Have all on the disk, and close the files."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.sync()
            except OSError as error:
                log.warning("the audit log %s may not be on the disk: %s", self._files.current, error.strerror)
            file.close()
        os.close(self._head_file)

    def _open(self) -> OwnFile:
        """Return the current file; a new one once the last was set aside, or taken away. Raises OSError."""
        if self._file is not None and not self._file.is_at(self._files.current):
            taken, self._file = self._file, None
            taken.close()
            log.error(
                "the audit log %s was taken away, and lines from %s to %s with it; it is begun anew",
                self._files.current,
                self._head.begins,
                self._head.seq,
            )
        if self._file is None:
            self._file = OwnFile(self._files.current, self._write)
            begins = self._first_seq(self._file) or self._head.seq + 1
            self._head = Head(begins, self._clock_s(), self._head.seq, self._head.hash)
        return self._file

    def _is_old(self) -> bool:
        # By a clock that was set back a file may have been begun in the future.
        return abs(self._clock_s() - self._head.begun_s) >= self._max_age_s

    def _set_aside(self, file: OwnFile) -> None:
        """Give the file the name it keeps. Raises OSError."""
        name = self._files.set_aside(self._head.begins)
        if os.path.lexists(name):
            raise FileExistsError(None, f"{name} is in the way")
        file.sync()
        self._files.current.rename(name)
        self._file = None
        file.close()
        if self._keep:
            for path in self._files.all_set_aside()[: -self._keep]:
                path.unlink()
                log.info("the audit log %s was deleted: `audit.keep` is %s", path, self._keep)

    def _remove_torn_end(self, file: OwnFile) -> None:
        """Remove the beginning of a line that a crash, or a full disk, has left at the end."""
        if not file.is_torn:
            return
        end = file.size
        while end > 0:
            begin = max(0, end - _BLOCK_BYTES)
            newline = file.read(end - begin, begin).rfind(b"\n")
            if newline >= 0:
                end = begin + newline + 1
                break
            end = begin
        log.warning("the audit log %s ended in an unfinished line, which was removed", self._files.current)
        file.cut(end)

    def _found(self, file: OwnFile) -> Head:
        """Return how far the chain has come: by its last line, or by the note if that says that there were more."""
        note = read_head(os.pread(self._head_file, HEAD_BYTES, 0))
        last = self._last_link(file)
        if note is not None and note.seq >= last.seq:
            if note.seq > last.seq and file.size:
                log.warning(
                    "the audit log %s ends with line %s, and had %s: lines are missing",
                    self._files.current,
                    last.seq,
                    note.seq,
                )
            begins = note.begins if file.size else note.seq + 1
            return Head(begins, note.begun_s if file.size else self._clock_s(), note.seq, note.hash)
        begins = self._first_seq(file) or last.seq + 1
        begun_s = note.begun_s if note is not None and note.begins == begins else self._clock_s()
        return Head(begins, begun_s, last.seq, last.seal)

    def _last_link(self, file: OwnFile) -> Link:
        """Return the last line there is. Raises BrokenChainError, OSError."""
        if file.size:
            return self._checked(file.read(_LONGEST_LINE_BYTES, max(0, file.size - _LONGEST_LINE_BYTES)))
        older = [path for path in self._files.all_set_aside() if path.suffix == ".jsonl"]
        if not older:
            return Link()
        with older[-1].open("rb") as full:
            full.seek(max(0, os.fstat(full.fileno()).st_size - _LONGEST_LINE_BYTES))
            return self._checked(full.read())

    def _checked(self, end: bytes) -> Link:
        line = read_line(end[end.rfind(b"\n", 0, -1) + 1 :])
        if line is None or not self._seals.fit(line):
            raise BrokenChainError(
                f"the last line of the audit log {self._files.current} was changed, or made with another "
                f"`audit.key_file`; to begin a new chain move {self._files.name}.* away"
            )
        return line.link

    def _first_seq(self, file: OwnFile) -> int | None:
        line = read_line(file.read(_LONGEST_LINE_BYTES, 0).partition(b"\n")[0] + b"\n")
        return line.link.seq if line else None

    def _write_head(self) -> None:
        """Write the note over. Where it can't be, it says less than there is, and nothing is lost by that."""
        try:
            if not is_at(self._head_file, self._files.head):
                new = open_own(self._files.head)
                os.close(self._head_file)
                self._head_file = new
                log.error("the note %s was taken away, and is made anew", self._files.head)
            os.pwrite(self._head_file, self._head.as_bytes(), 0)
        except OSError as error:
            log.warning("the note %s can't be written: %s", self._files.head, error.strerror)
