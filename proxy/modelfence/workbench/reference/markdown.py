"""Tables and paragraphs of the pages that are written from tables."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from modelfence.core.keys import Key

WIDTH = 118
"""Characters of a line of prose."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""

    def lines() -> Iterator[str]:
        yield f"| {' | '.join(head)} |"
        yield "|" + " --- |" * len(head)
        for row in rows:
            # A bar inside a cell would end it.
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"

    return "\n".join(lines()) + "\n"


def table_of(keys: Iterable[Key]) -> str:
    """Return a table of keys."""
    return table(("key", "meaning"), ((f"`{key.name}`", "required; " * key.required + key.what) for key in keys))


def item(sentence: str) -> str:
    """Return an item of a list."""
    return f"* {wrapped(sentence, indent='  ')}\n"


def wrapped(text: str, indent: str = "") -> str:
    """Return a paragraph on lines of a width, none of them broken within a word."""
    return textwrap.fill(text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
