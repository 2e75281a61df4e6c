"""What conditions may name besides facts: the tiers and lists that all files of a policy define together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelfence.document import Node
from modelfence.policy.files import PolicyFile
from modelfence.policy.keys import NAME

DEFAULT_TIERS = ("none", "basic", "verified", "enhanced")


@dataclass(frozen=True, slots=True)
class Names:
    """The tiers, lowest first, and the lists by name."""

    tiers: Sequence[str]
    lists: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Definition:
    key: Node
    items: tuple[str, ...]


def defined_by(files: Sequence[PolicyFile]) -> Names:
    """Return what the files define; the first definition stays where two differ, which is a problem."""
    tiers: _Definition | None = None
    lists: dict[str, _Definition] = {}
    for file in files:
        if node := file.entries.get("tiers"):
            found = _Definition(node, _tiers(node))
            tiers = tiers or found
            if found.items != tiers.items:
                node.problem("conflicting-tiers", f"these tiers differ from those at {_place(tiers.key)}")
        for name, found in _lists(file):
            first = lists.setdefault(name, found)
            if found.items != first.items:
                words = f"the list `{name}` holds other items at {_place(first.key)}"
                found.key.problem("conflicting-list", words)
    return Names(
        tiers.items if tiers and tiers.items else DEFAULT_TIERS,
        {name: definition.items for name, definition in lists.items()},
    )


def _place(node: Node) -> str:
    return f"{node.document.path}:{node.line}"


def _tiers(node: Node) -> tuple[str, ...]:
    found: list[str] = []
    for item in node.items():
        name = _identifier(item)
        if name in found:
            item.problem("duplicate-value", f"the tier `{name}` stands twice")
        elif name is not None:
            found.append(name)
    if node.yaml.value == []:
        node.problem("empty-value", "at least one tier is needed")
    return tuple(found)


def _lists(file: PolicyFile) -> list[tuple[str, _Definition]]:
    node = file.entries.get("lists")
    if node is None or node.is_null:
        return []
    found = []
    for name, items in (node.free_entries() or {}).items():
        key = node.key_node(name)
        if _identifier(key) is not None:
            found.append((name, _Definition(key, _texts(items))))
    return found


def _texts(node: Node) -> tuple[str, ...]:
    return tuple(text for item in node.items() if (text := item.filled_text()) is not None)


def _identifier(node: Node) -> str | None:
    """Return a name that conditions can write after a dot."""
    name = node.text()
    if name is None:
        return None
    if NAME.admits(name):
        return name
    words = f"`{name}` can't be named in a condition: letters, digits and `_`, at most {NAME.longest}, no digit first"
    node.problem("bad-name", f"`{name}` is a word of the conditions' own" if name in NAME.without else words)
    return None
