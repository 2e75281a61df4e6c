"""A tree as text, in the standard form.

Lists and mappings in brackets stay in brackets while they fit on their line. A longer list of values keeps its rows,
and whatever else does not fit gets a line for each entry. What has lines of its own already keeps them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import yaml

from modelfence.core.keys import Shape
from modelfence.workbench.formatting.scalars import WIDTH, Place, is_block, is_plainly_a_text, lines_of, on_one_line
from modelfence.workbench.formatting.shapes import below, in_order, is_section, is_sentence
from modelfence.workbench.formatting.tree import Collection, Comment, Entry

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def printed(tree: Collection, shape: Shape, source: str) -> list[str]:
    """Return the lines of a file. What stands above its first entry stays at its head."""
    head: list[str] = []
    if tree.entries:
        first = tree.entries[0]
        head = _above(first, 0)
        first.above, first.below_blank = [], False
    return head + _Printing(source).entries(arranged(tree, shape), 0, shape, is_root=True)


def arranged(tree: Collection, shape: Shape) -> Collection:
    """Put the entries in order, and comments where they can be printed."""
    for entry in tree.entries:
        if isinstance(entry.value, Collection):
            arranged(entry.value, below(shape, _name_of(entry)))
        entry.above += entry.beside[:-1]
        del entry.beside[:-1]
    ordered = in_order(tree.entries, shape, lambda entry: _name_of(entry) or "")
    owner = tree.owner
    is_other = any(one is not other for one, other in zip(ordered, tree.entries, strict=True))
    if is_other and owner is not None:  # blank lines were for another order
        for entry in tree.entries:
            entry.below_blank = False
    tree.entries = ordered
    if owner is not None and owner.key is None and _needs_lines(tree):  # its first entry stands beside the dash
        owner.above += [*owner.beside, *tree.entries[0].above]
        owner.beside, tree.entries[0].above = [], []
    return tree


@dataclass(slots=True)
class _Printing:
    source: str
    is_open: bool = field(init=False, default=False)
    """Whether a blank line that came next would be part of the value before."""

    def entries(
        self, tree: Collection, column: int, shape: Shape, *, is_root: bool = False, are_apart: bool = False
    ) -> list[str]:
        """Return the lines of the entries of a block, from a column on."""
        lines: list[str] = []
        was_long, was_section = False, False
        for entry in tree.entries:
            may_be_blank = bool(lines) and not self.is_open
            above = _above(entry, column, may_begin=may_be_blank)
            begins_section = is_root and is_section(below(shape, _name_of(entry)))
            inner = self._entry(entry, column, shape, are_apart=begins_section)
            for comment in entry.inside:
                inner += _line_of(comment, column + 2, may_begin=len(inner) > 1)
            is_long = len(inner) > 1
            is_apart = are_apart or begins_section or was_section
            if is_apart and may_be_blank and (is_long or was_long) and above[:1] != [""]:
                above.insert(0, "")
            lines += [*above, *inner]
            was_long, was_section = is_long, begins_section
        for comment in tree.below:
            lines += _line_of(comment, column, may_begin=bool(lines) and not self.is_open)
            self.is_open = False
        return lines

    def _entry(self, entry: Entry, column: int, shape: Shape, *, are_apart: bool) -> list[str]:
        """Return the lines of an entry without the comments above it."""
        head = " " * column + ("-" if entry.key is None else f"{_key(entry.key, self.source)}:")
        if isinstance(entry.value, yaml.ScalarNode):
            return self._scalar(entry, entry.value, head, column, is_prose=is_sentence(shape, _name_of(entry)))
        self.is_open = False
        value = entry.value
        if not _needs_lines(value) and not value.has_comments():
            line = f"{head} {self._in_brackets(value)}"
            if len(line) <= WIDTH:
                return [_with(line, entry.beside)]
        if value.is_flow and value.is_of_values:
            lines = self._rows(value, column + 2)
        else:
            lines = self.entries(value, column + 2, below(shape, _name_of(entry)), are_apart=are_apart)
        if entry.key is not None:
            return [_with(head, entry.beside), *lines]
        lines[0] = f"{head} {lines[0][column + 2 :]}"
        # Beside any but the last row it would be about a value of that row.
        commented = -1 if value.is_of_values and not value.has_comments() else 0
        lines[commented] = _with(lines[commented], entry.beside)
        return lines

    def _scalar(self, entry: Entry, node: yaml.ScalarNode, head: str, column: int, *, is_prose: bool) -> list[str]:
        place = Place(entry.parent.column, column, len(head) + 1, in_flow=entry.parent.is_flow)
        first, *others = lines_of(node, self.source, place, is_prose=is_prose)
        self.is_open = is_block(node) and node.value.endswith("\n\n")
        lines = [f"{head} {first}" if first else head, *others]
        commented = 0 if first[:1] in (">", "|") else -1
        lines[commented] = _with(lines[commented], entry.beside)
        return lines

    def _in_brackets(self, tree: Collection) -> str:
        parts = []
        for entry in tree.entries:
            value = entry.value
            text = (
                self._in_brackets(value)
                if isinstance(value, Collection)
                else on_one_line(value, self.source, in_flow=True)
            )
            parts.append(text if entry.key is None else f"{_key(entry.key, self.source)}: {text}")
        return f"[{', '.join(parts)}]" if tree.is_list else f"{{{', '.join(parts)}}}"

    def _rows(self, tree: Collection, column: int) -> list[str]:
        """Return a longer list of values in brackets, in the rows of its author or in full ones."""
        rows = _rows_of(tree, self.source)
        indentation = " " * column
        if tree.has_comments():
            lines = [f"{indentation}["]
            for row in rows:
                end = "" if row is rows[-1] else ","
                above = [line for comment in row.above for line in _line_of(comment, column + 2)]
                lines += [*above, _with(f"{indentation}  {', '.join(row.texts)}{end}", row.beside)]
            lines += [line for comment in tree.below for line in _line_of(comment, column + 2)]
            return [*lines, f"{indentation}]"]
        texts = [", ".join(row.texts) for row in rows]
        if any(len(f"{indentation}[{text},") > WIDTH for text in texts):
            texts = _full([text for row in rows for text in row.texts], WIDTH - column - len("[,"))
        return [f"{indentation}{' ' if place else '['}{text}," for place, text in enumerate(texts[:-1])] + [
            f"{indentation}{' ' if len(texts) > 1 else '['}{texts[-1]}]"
        ]


@dataclass(slots=True)
class _Row:
    """Values of a list that stand in one line, with the comments about them."""

    line: int
    texts: list[str]
    above: list[Comment]
    beside: list[Comment]


def _rows_of(tree: Collection, source: str) -> list[_Row]:
    rows: list[_Row] = []
    values = [(entry, entry.value) for entry in tree.entries if isinstance(entry.value, yaml.ScalarNode)]
    for entry, node in values:
        text = on_one_line(node, source, in_flow=True)
        if rows and rows[-1].line == node.start_mark.line and not entry.above:
            rows[-1].texts.append(text)
            rows[-1].beside += entry.beside
        else:
            rows.append(_Row(node.start_mark.line, [text], [*entry.above], [*entry.beside]))
        rows[-1].line = node.end_mark.line
    return rows


def _full(texts: Sequence[str], width: int) -> list[str]:
    rows: list[str] = []
    for text in texts:
        if rows and len(f"{rows[-1]}, {text}") <= width:
            rows[-1] += f", {text}"
        else:
            rows.append(text)
    return rows


def _needs_lines(tree: Collection) -> bool:
    """Say whether each entry is to have lines of its own: it has them, or comments inside."""
    return not tree.is_flow or (bool(tree.entries) and not tree.is_of_values and tree.has_comments())


def _name_of(entry: Entry) -> str | None:
    return None if entry.key is None else str(entry.key.value)


def _key(node: yaml.ScalarNode, source: str) -> str:
    if _NAME.fullmatch(node.value) and is_plainly_a_text(node.value):
        return str(node.value)
    return on_one_line(node, source, in_flow=True, may_lose_quotes=False)


def _above(entry: Entry, column: int, *, may_begin: bool = False) -> list[str]:
    """Return the lines above an entry; the first is blank only where that `may_begin` them."""
    lines: list[str] = []
    for comment in entry.above:
        lines += _line_of(comment, column, may_begin=may_begin or bool(lines))
    return [*lines, ""] if entry.below_blank and (may_begin or lines) else lines


def _line_of(comment: Comment, column: int, *, may_begin: bool = False) -> list[str]:
    line = " " * column + comment.text
    return ["", line] if comment.below_blank and may_begin and not comment.beside else [line]


def _with(line: str, beside: Sequence[Comment]) -> str:
    """Return a line with the comment beside it, in its column where that is for the same words."""
    for comment in beside:
        is_same = comment.beside == line.lstrip(" -")
        gap = max(2, comment.column - len(line)) if is_same else 2
        line = f"{line}{' ' * gap}{comment.text}"
    return line
