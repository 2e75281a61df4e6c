"""What is wrong with a file somebody wrote, and how it is shown.

A problem has a stable code, one sentence (lower case, no full stop, the author's words in backticks),
the place where the offending token begins, and a hint only when a near match exists.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from unicodedata import combining, east_asian_width

MOST_TOLD = 20
"""So many problems are told by what only wanted to use the files; what checks them tells all."""


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `line` and `column` count from one, in the file that holds the token."""

    file: str
    line: int
    column: int
    code: str
    message: str
    length: int = 1
    excerpt: str = ""
    """The whole line of the file, without its end."""
    hint: str | None = None
    severity: Severity = Severity.ERROR

    def render(self) -> str:
        """Return the problem as text: head, excerpt with the token underlined, hint."""
        warning = "warning: " if self.severity is Severity.WARNING else ""
        # A file may hold what would break the line or steer a terminal.
        message = "".join(c if c.isprintable() else repr(c)[1:-1] for c in self.message)
        parts = [f"{self.file}:{self.line}:{self.column}: {warning}{message} [{self.code}]"]
        if self.excerpt:
            gutter = " " * len(str(self.line))
            excerpt = "".join(c if c.isprintable() else " " for c in self.excerpt)
            start = self.column - 1
            before, marked = _cells(excerpt[:start]), _cells(excerpt[start : start + self.length])
            parts += [
                f"{gutter} |",
                f"{self.line} | {excerpt}",
                f"{gutter} | {' ' * before}{'^' * max(1, marked)}",
            ]
            if self.hint:
                parts.append(f"{gutter} = {self.hint}")
        elif self.hint:
            parts.append(f" = {self.hint}")
        return "\n".join(parts)


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for a wide character, none for one that combines."""
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def first_of(problems: Sequence[Problem]) -> tuple[Sequence[Problem], str | None]:
    """Return the first problems, and how many there are besides, in words."""
    more = len(problems) - MOST_TOLD
    return problems[:MOST_TOLD], f"… and {more:,} more" if more > 0 else None


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems once each, by file, line and column."""
    return tuple(sorted(set(problems), key=lambda p: (p.file, p.line, p.column, p.code, p.message)))


def errors(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the problems that stop a file from being used; the rest are warnings."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)
