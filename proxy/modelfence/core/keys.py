"""What people may write in a YAML file: the keys of each mapping, and the shape of what each holds.

Readers take keys, patterns and bounds from such tables, and so do the reference and the schemas for editors: none of
them can say anything else than the others.

Rule: these are values. Reading a file is `modelfence.document`'s work, and writing a schema that of the workbench.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """One value, as it is written: a number or `true` is a text, too, where it fits."""

    pattern: str | None = None
    """For the whole text, in what regular expressions of Python and of JavaScript have in common."""
    longest: int | None = None
    """Characters."""
    without: tuple[str, ...] = ()
    """Texts that are not possible although they fit."""
    may_be_empty: bool = False
    examples: tuple[str, ...] = ()

    def admits(self, text: str) -> bool:
        """Say whether a text is possible here."""
        fits = bool(text.strip()) if self.pattern is None else re.fullmatch(self.pattern, text) is not None
        fits = fits or (not text and self.may_be_empty)
        return fits and len(text) <= (self.longest or len(text)) and text not in self.without


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds, both included."""

    minimum: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number within bounds, both included."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Date:
    """A day, written as 2026-01-31."""


@dataclass(frozen=True, slots=True)
class ListOf:
    """Any number of values of one shape."""

    item: "Shape"
    may_be_empty: bool = True
    is_unique: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping by names of the author's own."""

    value: "Shape"
    name: Text = Text()
    """What a name may be."""


@dataclass(frozen=True, slots=True)
class Record:
    """A mapping whose keys are known."""

    keys: "tuple[Key, ...]"
    exactly_one: tuple[str, ...] = ()
    """Of these keys one is there, and one alone."""
    at_least_one: tuple[str, ...] = ()
    """Of these keys one is there, or more."""
    others: MapOf | None = None
    """What there may be besides."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Either:
    """One of several shapes."""

    shapes: "tuple[Shape, ...]"


@dataclass(frozen=True, slots=True)
class OrNull:
    """A shape, or null, which means something."""

    shape: "Shape"


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever is written: only its reader can tell."""


type Shape = Text | Choice | Whole | Number | Flag | Date | ListOf | MapOf | Record | Either | OrNull | Anything


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a mapping: its name, what it means, whether it must be there, and what it holds."""

    name: str
    what: str
    required: bool = False
    value: Shape = Anything()
    may_be_null: bool = False
    """Left empty, or written as null, it is as if it were left out."""


def names(keys: Sequence[Key]) -> tuple[str, ...]:
    """Return the names of the keys."""
    return tuple(key.name for key in keys)


def required(keys: Sequence[Key]) -> tuple[str, ...]:
    """Return the names of the keys that must be there."""
    return tuple(key.name for key in keys if key.required)
