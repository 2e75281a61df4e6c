"""A rule as text: its conditions part by part, with the value beneath each name and what came of it beside.

    embargoed-region (deny): applies
      deny  client.country in lists.embargoed    true
            "KP"              [CU, IR, KP]

Each part of a compound condition has a line of its own, so that it stays readable at 80 columns.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelfence.core.explanation import RuleExplained
from modelfence.core.policy import Evaluated, RuleKind, Unknown
from modelfence.workbench.explaining.values import NOT_LOGGED, UNKNOWN, cut, of_fact

WIDTH = 80
OPERATORS = {"and": ("", "&&"), "or": ("", "||"), "choice": ("", "?", ":")}
"""What stands before the first part of a compound condition, before the second, and before those after it."""
_INDENT = "  "
_GAP = "    "
_NESTED = 5
_LEAST_CODE = 24
_VERDICT = 12
"""Columns that are kept free for what came of a part."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line: the text, and what came of the part in it, empty where the line shows values."""

    text: str
    verdict: str = ""


def lines_of(explained: RuleExplained, width: int = WIDTH, *, tiers: Sequence[str] = ()) -> list[str]:
    """Return a rule in lines of at most so many columns. `tiers` are those of its policy, lowest first."""
    head = f"{explained.rule.id} ({kind_of(explained)}): {state_of(explained)}"
    return [head, *doubt_of(explained, width), *conditions_of(explained, width, tiers)]


def conditions_of(explained: RuleExplained, width: int, tiers: Sequence[str] = ()) -> list[str]:
    """Return the lines of a rule's expressions alone."""
    rows = rows_of(explained, width, tiers)
    edge = max((len(row.text) for row in rows if row.verdict), default=0)
    return [f"{row.text.ljust(edge)}{_GAP}{row.verdict}".rstrip() if row.verdict else row.text for row in rows]


def kind_of(explained: RuleExplained) -> str:
    """Return what kind of rule it is, in words."""
    return f"{explained.rule.kind}{', in shadow' if explained.rule.shadow else ''}"


def state_of(explained: RuleExplained) -> str:
    """Return whether the rule applies, in words."""
    return "applies" if explained.applies else "does not apply"


def doubt_words(explained: RuleExplained) -> str:
    """Return what the rule did not know and why that mattered; empty where it knew what it needed."""
    if explained.unknown is None:
        return ""
    is_allow = explained.rule.kind is RuleKind.ALLOW
    doubt = "an allow has to be sure" if is_allow else "doubt counts against the caller"
    return f"{explained.unknown.reason}, and {doubt}"


def doubt_of(explained: RuleExplained, width: int) -> list[str]:
    """Return in lines what the rule did not know and why that mattered; nothing where it knew what it needed."""
    words = doubt_words(explained)
    return textwrap.wrap(words, width, initial_indent=_INDENT, subsequent_indent=_INDENT, break_on_hyphens=False)


def rows_of(explained: RuleExplained, width: int, tiers: Sequence[str] = ()) -> list[Row]:
    """Return the lines of a rule's expressions, with what came of each part by itself."""
    edge = max((len(key) for key in explained.expressions), default=0)
    return [
        row
        for key, evaluated in explained.expressions.items()
        for row in _Drawing(max(width - _VERDICT, edge + _LEAST_CODE), tiers).expression(key.ljust(edge), evaluated)
    ]


@dataclass(frozen=True, slots=True)
class _Drawing:
    width: int
    tiers: Sequence[str]

    def expression(self, key: str, evaluated: Evaluated) -> Iterator[Row]:
        """Yield the lines of one expression; its key stands before the first."""
        rows = list(self._part(evaluated, len(_INDENT) + len(key) + 2, ""))
        head = f"{_INDENT}{key}"
        yield Row(head + rows[0].text[len(head) :], rows[0].verdict)
        yield from rows[1:]
        if evaluated.kind in OPERATORS:
            yield Row(" " * (len(head) + 2) + "together", _verdict(evaluated, self.tiers))

    def _part(self, part: Evaluated, column: int, operator: str) -> Iterator[Row]:
        """Yield the lines of a part that begins in a column; its operator stands before it."""
        if part.kind not in OPERATORS:
            yield from self._leaf(part, column, operator)
            return
        for one, before in zip(part.parts, _operators(part), strict=True):
            if one.kind in OPERATORS:
                yield Row(_before(column, before) + "(")
                yield from self._part(one, column + _NESTED, "")
                yield Row(" " * column + ")", _verdict(one, self.tiers))
            else:
                yield from self._leaf(one, column, before or operator)

    def _leaf(self, part: Evaluated, column: int, operator: str) -> Iterator[Row]:
        source = " ".join(part.source.split())
        before = _before(column, operator)
        verdict = _verdict(part, self.tiers)
        if source == part.source and column + len(source) <= self.width:
            yield Row(before + source, verdict)
            yield from self._beneath(part, column)
            return
        *lines, last = _wrapped(source, self.width - column)
        for at, line in enumerate(lines):
            yield Row((before if at == 0 else " " * column) + line)
        yield Row((" " * column if lines else before) + last, verdict)
        for name, value in _values(part, self.tiers):
            yield Row(cut(f"{' ' * column}{_INDENT}{name} is {value}", self.width + _VERDICT))

    def _beneath(self, part: Evaluated, column: int) -> Iterator[Row]:
        """Yield the values of what a part is made of, each beneath it; what is deeper inside stands lower."""
        level = list(part.parts)
        while level:
            line = ""
            for one in level:
                if is_plain(one):
                    continue
                start = column + one.start - part.start
                room = self.width + _VERDICT - max(start, len(line) + 2)
                value = of_fact(one.source, one.value, self.tiers, longest=max(room, _VERDICT))
                line = (line + "  " if len(line) + 2 > start and line else line.ljust(start)) + value
            if line:
                yield Row(line)
            level = [deeper for one in level for deeper in one.parts]


def is_plain(part: Evaluated) -> bool:
    """Say whether a part shows its value itself: a literal, or a list or a map of some."""
    return part.kind == "literal" or (not part.parts and part.source.startswith(("[", "{")))


def _operators(part: Evaluated) -> list[str]:
    first, *others = OPERATORS[part.kind]
    return [first, *(others[min(at, len(others) - 1)] for at in range(len(part.parts) - 1))]


def _before(column: int, operator: str) -> str:
    return f"{operator} ".rjust(column) if operator else " " * column


def _verdict(part: Evaluated, tiers: Sequence[str]) -> str:
    if isinstance(part.value, Unknown):
        return "untold" if part.value.reason == NOT_LOGGED else UNKNOWN
    return of_fact(part.source, part.value, tiers, longest=_VERDICT * 2)


def _values(part: Evaluated, tiers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the names in a part with their values, each once."""
    seen = set()
    for one in part.all():
        if one is not part and not is_plain(one) and not one.parts and one.source not in seen:
            seen.add(one.source)
            yield one.source, of_fact(one.source, one.value, tiers)


def _wrapped(source: str, width: int) -> list[str]:
    """Return a text in lines, cut at its spaces where that is possible."""
    lines = [""]
    for word in source.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(_INDENT + word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return [cut(line, width) for line in lines]
