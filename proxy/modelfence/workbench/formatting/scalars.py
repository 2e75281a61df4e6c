"""How one value is written: on a line without quotes it does not need, over several, or as a folded text."""

import re
from dataclasses import dataclass

import yaml

from modelfence.document import LINE_END, Document

WIDTH = 120
"""Columns."""
# What begins otherwise, or is one of these words, some reader of YAML 1.1 or 1.2 takes for more than a text.
_PLAINLY_A_TEXT = re.compile(r"(?!(?i:true|false|yes|no|on|off|y|n|null)$)[A-Za-z_(/][^\x00-\x1f\x7f-\x9f]*")
_HEADER = re.compile(r"[|>]([0-9]?)[-+]?([0-9]?)")
_ESCAPES = {"\n": r"\n", "\t": r"\t"}
_SINGLE_SPACE = re.compile(r"(?<=\S) (?=\S)")


def is_plainly_a_text(value: str) -> bool:
    """Say whether a value without quotes is a text to every reader of YAML."""
    return _PLAINLY_A_TEXT.fullmatch(value) is not None


def is_block(node: yaml.ScalarNode) -> bool:
    """Say whether a value is written as a literal or folded block."""
    return node.style in ("|", ">")


def on_one_line(node: yaml.ScalarNode, source: str, *, in_flow: bool, may_lose_quotes: bool = True) -> str:
    """Return a value on one line: as it is, without quotes it does not need, or else in quotes."""
    text = source[node.start_mark.index : node.end_mark.index]
    if not node.style and "\n" not in node.value:
        return node.value or text or ("null" if in_flow else "")
    if may_lose_quotes and is_plainly_a_text(node.value) and _reads_as_itself(node.value, in_flow=in_flow):
        return str(node.value)
    return text if node.style in ("'", '"') and not LINE_END.search(text) else _quoted(node.value)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value is read and written. Columns are from zero."""

    parent: int
    """The column of the collection in the source."""
    column: int
    """That of the value's key or dash in what is written."""
    start: int
    """And that of the value itself."""
    in_flow: bool
    """Whether it stands in brackets in the source: there the lines it takes are no author's layout."""


def lines_of(node: yaml.ScalarNode, source: str, place: Place, *, is_prose: bool) -> list[str]:
    """Return the lines of a value in block context, the first without what stands before it.

    Sentences that are too long for their line are folded.
    """
    text = source[node.start_mark.index : node.end_mark.index]
    indentation = " " * (place.column + 2)
    if is_block(node):
        first, *others = _block(node, text, place.parent)
    else:
        lines = [line.lstrip(" \t") if node.style else line.strip(" \t") for line in LINE_END.split(text)]
        has_lines = len(lines) > 1 and not place.in_flow
        first, *others = lines if has_lines else [on_one_line(node, source, in_flow=False)]
    is_too_long = place.start + len(first) > WIDTH or any(len(indentation + line) > WIDTH for line in others)
    if is_too_long and is_prose and node.style != "|" and _can_be_folded(node.value):
        return [">" if node.value.endswith("\n") else ">-", *_filled(node.value.rstrip("\n"), indentation)]
    return [first, *(indentation + line if line else "" for line in others)]


def _block(node: yaml.ScalarNode, text: str, parent: int) -> list[str]:
    """Return a block's header and its lines without their indentation."""
    value = str(node.value)
    if not value.strip():
        return [_quoted(value)]
    header, *content = LINE_END.split(text)
    found = _HEADER.match(header)
    digit = (found[1] or found[2]) if found else ""
    filled = next(line for line in content if line.strip(" "))
    base = parent + int(digit) if digit else len(filled) - len(filled.lstrip(" "))
    content = [line[base:] for line in content]
    while not content[-1]:
        content.pop()
    ends = len(value) - len(value.rstrip("\n"))
    sign = "2" if next(line for line in content if line).startswith(" ") else ""
    return [f"{node.style}{sign}{('-', '', '+')[min(ends, 2)]}", *content, *[""] * (ends - 1)]


def _can_be_folded(value: str) -> bool:
    """Say whether a folded block holds the same: one paragraph, which no white space begins or ends."""
    text = value.removesuffix("\n")
    return text.isprintable() and text == text.strip() and _SINGLE_SPACE.search(text) is not None


def _filled(text: str, indentation: str) -> list[str]:
    lines: list[str] = []
    for word in _SINGLE_SPACE.split(text):
        if lines and len(lines[-1]) + 1 + len(word) <= WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(indentation + word)
    return lines


def _reads_as_itself(value: str, *, in_flow: bool) -> bool:
    read = Document("", f"[{value}]" if in_flow else f"k: {value}\n").compose()
    if read is None or not isinstance(read.yaml, yaml.CollectionNode) or len(read.yaml.value) != 1:
        return False
    node = read.yaml.value[0] if in_flow else read.yaml.value[0][1]
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value == value


def _quoted(value: str) -> str:
    return "".join(c if c.isprintable() else _ESCAPES.get(c) or f"\\U{ord(c):08x}" for c in f'"{_escaped(value)}"')


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
