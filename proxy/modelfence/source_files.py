"""The files of a configuration, as they were when they were read. Whoever is handed them reads none of them again.

Why: all workers of a fence must run the same, and one that is started in the place of another must run what that one
ran: neither what an author has half saved meanwhile, nor what was found to be wrong.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields
from pathlib import Path

MAX_BYTES = 64 * 1024 * 1024

COPY = ".mmdb"
"""How the name of a copy of a database ends, whatever the database is called."""
UNFINISHED = ".unfinished"
"""How the name of a copy ends that is still being made, or that whoever made it did not live to end."""

type Stamp = tuple[int, int, int] | None
"""When a file, or who may read it, was changed, in nanoseconds, its size in bytes and its inode; None where none is."""


def stamp(path: Path) -> Stamp:
    """Return what changes when a file does, through symbolic links."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files of one part of a configuration: each is read when it is first asked for, and remembered."""

    folder: Path | None = None
    """Where databases are copied to, which are mapped into memory; None maps the files themselves.

    A mapped file that somebody writes over ends the process, and one that is gone can't be opened by the next.
    """
    texts: dict[Path, bytes] = field(default_factory=dict, repr=False)
    databases: dict[Path, Path] = field(default_factory=dict)
    """Where to find each database's copy."""
    stamps: dict[Path, Stamp] = field(default_factory=dict)
    """Of each file that was asked for, from before it was read."""

    def text(self, path: Path) -> bytes:
        """Return what a file holds. Raises OSError, and ValueError for more than `MAX_BYTES`."""
        if path not in self.texts:
            self.stamps[path] = stamp(path)
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES >> 20} MB")
            self.texts[path] = data
        return self.texts[path]

    def database(self, path: Path) -> Path:
        """Return where a database can be opened. Raises OSError."""
        if path not in self.databases:
            self.stamps[path] = stamp(path)
            self.databases[path] = path if self.folder is None else _copied(path, self.folder)
        return self.databases[path]

    def again(self) -> "SourceFiles":
        """Return these when they are on the disk as they were when they were read, else files still to be read."""
        unchanged = all(stamp(path) == seen for path, seen in self.stamps.items())
        return self if unchanged else SourceFiles(self.folder)

    def hold_what(self, others: "SourceFiles") -> bool:
        """Say whether the others hold the same."""
        return (self.texts, self.databases) == (others.texts, others.databases)


def _copied(path: Path, folder: Path) -> Path:
    """Return a copy that is named after what it holds: not after the file, which may be written over meanwhile."""
    unfinished = folder / f"{path.name}.{os.getpid()}{UNFINISHED}"
    try:
        shutil.copyfile(path, unfinished)
        with unfinished.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        copy = folder / f"{digest[:32]}{COPY}"
        if not copy.exists():
            unfinished.replace(copy)
        return copy
    finally:
        unfinished.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Files:
    """The files of all parts that can be exchanged while the fence runs."""

    policy: SourceFiles = field(default_factory=SourceFiles)
    candidate: SourceFiles = field(default_factory=SourceFiles)
    accounts: SourceFiles = field(default_factory=SourceFiles)
    geo: SourceFiles = field(default_factory=SourceFiles)
    keys: SourceFiles = field(default_factory=SourceFiles)
    tls: SourceFiles = field(default_factory=SourceFiles)

    @classmethod
    def on_disk(cls, folder: Path | None = None) -> "Files":
        """Return files that are still to be read; databases are copied to the folder."""
        return cls(geo=SourceFiles(folder))

    def again(self, left_out: AbstractSet[Path] = frozenset()) -> "Files":
        """Return those that are as they were, and in place of the others files still to be read.

        Parts to which one of those files belongs that are left out count as they were.
        """
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        return Files(**{name: part if part.stamps.keys() & left_out else part.again() for name, part in parts.items()})

    @property
    def stamps(self) -> Mapping[Path, Stamp]:
        """Return the stamps of all."""
        return {path: seen for one in fields(self) for path, seen in getattr(self, one.name).stamps.items()}
