"""What there is to say of a chain that was looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    CHANGED = "changed"
    REMOVED = "removed"
    REORDERED = "reordered"
    DUPLICATED = "duplicated"
    INSERTED = "inserted"


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from one; `nth` counts the chain's lines over all files."""

    file: str
    line: int
    nth: int


@dataclass(frozen=True, slots=True)
class Break:
    """Something wrong with a chain. The place of lines that were removed is the line after them."""

    kind: Kind
    place: Place
    seq: int | None
    """The line's number, the first one's of several; None where it can't be told."""
    words: str
    last_seq: int | None = None
    """Of lines that were removed, the number of the last."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found. The numbers are None where no line of the chain was there."""

    lines: int
    first_seq: int | None
    last_seq: int | None
    breaks: Sequence[Break]
    notes: Sequence[str]
    """What is not wrong, and good to know."""
    fits_key: bool
    """Some line is as it was sealed. When none is, it may be the key that is wrong."""
