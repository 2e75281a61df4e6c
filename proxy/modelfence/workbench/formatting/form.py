"""From text to text, and the proof that both say the same."""

import re
from collections import Counter

import yaml

from modelfence.core.keys import Shape
from modelfence.document import LINE_END, NULLS, Document
from modelfence.workbench.formatting.comments import Attaching, Lines
from modelfence.workbench.formatting.printing import printed
from modelfence.workbench.formatting.scalars import is_plainly_a_text
from modelfence.workbench.formatting.shapes import below, in_order
from modelfence.workbench.formatting.tree import Collection, Entry

_START = re.compile(r"^---(?=\s|$)", re.MULTILINE)


class ChangedMeaningError(Exception):
    """The file in its form would say something else, so it stays as it is."""


def formatted(source: str, shape: Shape) -> str:
    """Return a file that has no problems in the standard form. Raises ChangedMeaningError."""
    node = Document("", source).compose()
    if node is None or not isinstance(node.yaml, yaml.MappingNode):
        raise ChangedMeaningError
    root = node.yaml
    start = _START.search(source, 0, root.start_mark.index)
    begin = start.end() if start else 0
    lines = Lines(source, root)
    tree = _tree(root, None, source, lines)
    comments = list(lines.comments(begin))
    Attaching(tree).attach(comments)
    head = LINE_END.split(source[:begin].strip()) if start else []
    text = "\n".join([*head, *printed(tree, shape, source)]) + "\n"
    if not _says_the_same(root, text, shape, Counter(comment.text for comment in comments), len("\n".join(head))):
        raise ChangedMeaningError
    return text.replace("\n", "\r\n") if "\r\n" in source else text


def _tree(node: yaml.CollectionNode, owner: Entry | None, source: str, lines: Lines) -> Collection:
    is_flow = source[node.start_mark.index] in "[{" or (owner is not None and owner.parent.is_flow)
    tree = Collection(node, is_flow, owner)
    for part in node.value:
        key, value = part if isinstance(part, tuple) else (None, part)
        start = (key or value).start_mark
        entry = Entry(key, value, tree, start.index, lines.is_below_blank(start.line))
        if isinstance(value, yaml.CollectionNode):
            entry.value = _tree(value, entry, source, lines)
        tree.entries.append(entry)
    return tree


def _says_the_same(root: yaml.Node, text: str, shape: Shape, comments: Counter[str], begin: int) -> bool:
    written = Document("", text).compose()
    if written is None or _said(written.yaml, shape) != _said(root, shape):
        return False
    return Counter(comment.text for comment in Lines(text, written.yaml).comments(begin)) == comments


def _said(node: yaml.Node, shape: Shape) -> object:
    """Return what a node says, its keys in order: what is in quotes is never what looks like a number or a truth."""
    if isinstance(node, yaml.MappingNode):
        pairs = in_order(node.value, shape, lambda pair: str(pair[0].value))
        return ("mapping", [(_said(key, shape), _said(value, below(shape, key.value))) for key, value in pairs])
    if isinstance(node, yaml.SequenceNode):
        return [_said(item, below(shape, None)) for item in node.value]
    style = getattr(node, "style", None)
    if not style and node.value in NULLS:
        return None
    return (bool(style) or is_plainly_a_text(node.value) or "\n" in node.value, node.value)
