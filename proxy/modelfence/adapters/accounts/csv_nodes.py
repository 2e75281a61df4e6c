"""Lines of CSV as the nodes that YAML readers take, each with its place.

The first line names the columns: the fields of an account, and `label.NAME` for its labels. An empty cell says nothing.
Cells are as RFC 4180 has them, with commas and double quotes, but none goes over several lines.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from modelfence.document import Document, Node, did_you_mean

_LISTS = ("keys", "certificates")
"""Columns of several words each."""
_OWNERS, _LABEL = "owners", "label."
_SHORTEST_SECRET = 16
_CELL = re.compile(r'[ \t]*(?:"(?P<quoted>(?:[^"]|"")*)"[ \t]*|(?P<plain>[^",]*))(?P<end>,|$)')
_WORD = re.compile(r"[^ \t]+")
_SHARE = re.compile(r"(?P<country>[^:]*):(?P<share>.*)")


@dataclass(frozen=True, slots=True)
class _Cell:
    """What a cell says, and where in the line that begins."""

    value: str
    at: int


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file, in order."""

    names: tuple[str, ...]
    heads: tuple[yaml.Node, ...]
    """Each name as the key of what is in its column: made once, for all lines."""

    @classmethod
    def of(cls, document: Document, fields: Sequence[str], *, required: Sequence[str]) -> "Columns | None":
        """Return the columns that the first line names, or None after noting what is wrong with it."""
        cells = _cells(document)
        names = [cell.value.strip() for cell in cells or ()]
        for cell, name in zip(cells or (), names, strict=True):
            place = _scalar(document, cell)
            if name not in fields and not (name.startswith(_LABEL) and name != _LABEL):
                # A file without this line begins with somebody's key.
                shown = name if len(name) < _SHORTEST_SECRET else "…"
                hint = did_you_mean(name, fields) or "the first line names the columns"
                place.problem("unknown-column", f"unknown column `{shown}`", hint=hint, quote=False)
            elif names.count(name) > 1:
                place.problem("duplicate-column", f"two columns are called `{name}`", quote=False)
        for name in required:
            if cells is not None and name not in names:
                message = f"there is no column `{name}`"
                document.problem("missing-column", message, line=document.first_line, column=1, quote=False)
        heads = tuple(_text(name.removeprefix(_LABEL), 0) for name in names)
        return None if document.problems else cls(tuple(names), heads)

    def node(self, document: Document) -> Node | None:
        """Return the account in a line, or None after noting that it has other columns."""
        cells = _cells(document)
        if cells is None:
            return None
        if len(cells) != len(self.names):
            message = f"{len(cells)} cells are here, and {len(self.names)} columns"
            document.problem("csv-columns", message, line=document.first_line, column=1, quote=False)
            return None
        pairs, labels = list[tuple[yaml.Node, yaml.Node]](), list[tuple[yaml.Node, yaml.Node]]()
        for name, head, cell in zip(self.names, self.heads, cells, strict=True):
            if cell.value.strip():
                (labels if name.startswith(_LABEL) else pairs).append((head, _value(name, cell)))
        start, end = _mark(0), _mark(len(document.text))
        if labels:
            pairs.append((_LABELS, yaml.MappingNode("", labels, start, end)))
        return Node(document, yaml.MappingNode("", pairs, start, end))


def _cells(document: Document) -> list[_Cell] | None:
    """Return the cells of a line, or None after noting that it is no CSV."""
    text, at, cells = document.text, 0, list[_Cell]()
    while True:
        found = _CELL.match(text, at)
        if found is None:
            message = "a cell with a comma or a quote stands in quotes, and each quote in it twice"
            document.problem("csv-syntax", message, line=document.first_line, column=at + 1, quote=False)
            return None
        if found["quoted"] is not None:
            cells.append(_Cell(found["quoted"].replace('""', '"'), found.start("quoted")))
        else:
            cells.append(_Cell(found["plain"].strip(), found.start("plain")))
        if not found["end"]:
            return cells
        at = found.end()


def _value(name: str, cell: _Cell) -> yaml.Node:
    if name not in (*_LISTS, _OWNERS):
        return _text(cell.value.strip(), cell.at)
    words = [_Cell(word[0], cell.at + word.start()) for word in _WORD.finditer(cell.value)]
    items = [_owner(word) if name == _OWNERS else _text(word.value, word.at) for word in words]
    return yaml.SequenceNode("", items, _mark(cell.at), _mark(cell.at + len(cell.value)))


def _owner(word: _Cell) -> yaml.Node:
    """Return an owner written like US:0.4."""
    found = _SHARE.fullmatch(word.value)
    if found is None:
        return _text(word.value, word.at)
    pairs = [(head, _text(found[name], word.at + found.start(name))) for name, head in _OWNER.items()]
    return yaml.MappingNode("", pairs, _mark(word.at), _mark(word.at + len(word.value)))


def _mark(at: int) -> yaml.Mark:
    return yaml.Mark("", at, 0, at, None, 0)


def _text(value: str, at: int) -> yaml.ScalarNode:
    return yaml.ScalarNode("", value, _mark(at), _mark(at + len(value)), style='"')


def _scalar(document: Document, cell: _Cell) -> Node:
    return Node(document, _text(cell.value, cell.at))


_LABELS = _text("labels", 0)
_OWNER = {name: _text(name, 0) for name in ("country", "share")}
