"""The files of a chain, by their names: `NAME.w0.jsonl`, what was set aside, and the note of how far it has come.

A file that was set aside is named after the number of its first line, and never renamed again: what ships logs can tell
a file that it has seen. The note, `NAME.w0.head`, is written after the lines. It shows when the newest were removed.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from modelfence.audit.chain import Link

_HEAD_NAME = re.compile(r"(?P<chain>.+\.w[0-9]+)\.head")
_NAME = re.compile(r"(?P<chain>.+\.w[0-9]+)(?:\.(?P<first>[0-9]{12,18}))?\.jsonl(?:\.gz)?")
HEAD_BYTES = 256
"""The note has this length whatever it says, so that it is written over in one piece."""


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chain has come."""

    begins: int
    """The number of the first line in the file that is written to."""
    begun_s: float
    """When that file was begun, in seconds since the epoch."""
    seq: int
    hash: str | None
    """Of the last line that was written."""

    @property
    def link(self) -> Link:
        """Return the last line."""
        return Link(self.seq, self.hash)

    def as_bytes(self) -> bytes:
        """Return it as it is written."""
        return json.dumps(asdict(self)).encode().ljust(HEAD_BYTES - 1) + b"\n"


def read_head(raw: bytes) -> Head | None:
    """Return what a note says, or None when it says nothing that can be understood."""
    try:
        head = Head(**json.loads(raw))
    except (ValueError, TypeError):
        return None
    numbers = [head.begins, head.seq]
    is_sound = all(isinstance(one, int) and one >= 0 for one in numbers) and isinstance(head.begun_s, int | float)
    return head if is_sound and isinstance(head.hash, str | None) else None


@dataclass(frozen=True, slots=True)
class ChainFiles:
    """Where one chain is: a folder, and what the names of its files begin with."""

    folder: Path
    name: str
    """`NAME.w0`."""

    @classmethod
    def of(cls, path: Path, worker: int) -> "ChainFiles":
        """Return the files of a worker's chain; `path` is the setting: `NAME.jsonl`."""
        return cls(path.parent, f"{path.name.removesuffix('.jsonl')}.w{worker}")

    @property
    def current(self) -> Path:
        """Return the file that lines are written to."""
        return self.folder / f"{self.name}.jsonl"

    @property
    def head(self) -> Path:
        """Return the note of how far the chain has come."""
        return self.folder / f"{self.name}.head"

    def set_aside(self, first_seq: int) -> Path:
        """Return what the file that begins with this line is called once it is full."""
        return self.folder / f"{self.name}.{first_seq:012}.jsonl"

    def all_set_aside(self) -> list[Path]:
        """Return the full files that are there, the oldest first. Raises OSError."""
        found = [(first, path) for path in self.folder.iterdir() if (first := first_seq_of(path)) is not None]
        return [path for _first, path in sorted(found) if chain_of(path) == self]


def chain_of(path: Path) -> ChainFiles | None:
    """Return of which chain a file is, by its name; None where that says nothing."""
    found = _NAME.fullmatch(path.name)
    return ChainFiles(path.parent, found["chain"]) if found else None


def chain_of_head(path: Path) -> ChainFiles | None:
    """Return of which chain a file is the note, None for another file."""
    found = _HEAD_NAME.fullmatch(path.name)
    return ChainFiles(path.parent, found["chain"]) if found else None


def first_seq_of(path: Path) -> int | None:
    """Return the number of the first line of a file that was set aside, None for another file."""
    found = _NAME.fullmatch(path.name)
    return int(found["first"]) if found and found["first"] else None
