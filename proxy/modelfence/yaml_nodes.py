"""YAML text to nodes with their positions, in one pass and without recursion.

Why not `yaml.compose`: libyaml's composer crashes the process on deep nesting, and resolves tags nobody asks for.
Putting its events together here takes half the time for a large file, looking out for depth and aliases included.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

MAX_DEPTH = 100
"""Nesting beyond it is refused: nobody writes it, and what walks the nodes by recursion is safe."""
_NODE_OF = {yaml.MappingStartEvent: yaml.MappingNode, yaml.SequenceStartEvent: yaml.SequenceNode}
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_SECOND_DOCUMENT = "this is not YAML: expected a single document in the stream but found another document"


class RefusedError(Exception):
    """YAML that is not supported here, and where it stands."""

    def __init__(self, code: str, message: str, event: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.mark = event.start_mark


@contextmanager
def uncollected() -> Iterator[None]:
    """Let no collection run meanwhile: over the millions of marks of a large file they take as long as the reading."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compose(text: str) -> yaml.Node | None:
    """Return the root node, or None for an empty text. Raises yaml.YAMLError and RefusedError."""
    with uncollected():
        return _root(text)


def _root(text: str) -> yaml.Node | None:
    root: yaml.Node | None = None
    outer: list[tuple[Any, list[Any]]] = []
    events: Any = yaml.parse(text, Loader=yaml.CBaseLoader)
    for event in events:
        kind = type(event)
        if getattr(event, "tag", None) is not None:
            raise RefusedError("yaml-tag", "a `!` here begins a YAML tag; put the whole text in quotes", event)
        if kind is yaml.ScalarEvent:
            node = _scalar(event)
        elif kind in _NODE_OF:
            if len(outer) == MAX_DEPTH:
                raise RefusedError("yaml-depth", f"this is nested deeper than {MAX_DEPTH} levels", event)
            outer.append((_NODE_OF[kind]("", [], event.start_mark, None), []))
            continue
        elif kind in _ENDS:
            node, parts = outer.pop()
            node.end_mark = event.end_mark
            node.value = parts if kind is yaml.SequenceEndEvent else list(zip(parts[::2], parts[1::2], strict=True))
        elif kind is yaml.AliasEvent:
            raise RefusedError("yaml-alias", "aliases are not supported; write the value out", event)
        elif kind is yaml.DocumentStartEvent and root is not None:
            raise RefusedError("yaml-syntax", _SECOND_DOCUMENT, event)
        else:
            continue
        if outer:
            outer[-1][1].append(node)
        else:
            root = node
    return root


def _scalar(event: Any) -> yaml.ScalarNode:
    if "\0" in event.value:  # CEL would read no further
        raise RefusedError("yaml-syntax", "a text can't hold the character NUL (`\\0`)", event)
    return yaml.ScalarNode("", event.value, event.start_mark, event.end_mark, event.style)
