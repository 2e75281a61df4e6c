"""The nodes of a file as they are printed: entries with comments about them, collections with those at their end."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

type Value = yaml.ScalarNode | Collection


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with its `#`."""

    text: str
    start: int
    """Its place in the source."""
    column: int
    beside: str
    """What stands before it on its line, without dashes; empty where it has the line for itself."""
    below_blank: bool
    """Whether the line above is blank."""


@dataclass(slots=True)
class Entry:
    """A key with its value, or an item of a list."""

    key: yaml.ScalarNode | None
    value: Value
    parent: "Collection"
    start: int
    below_blank: bool
    above: list[Comment] = field(default_factory=list)
    beside: list[Comment] = field(default_factory=list)
    inside: list[Comment] = field(default_factory=list)
    """In the place of a value that is left out, as of a section whose rules are all commented out."""

    @property
    def is_left_empty(self) -> bool:
        """Say whether there is nothing where the value would be."""
        value = self.value
        return isinstance(value, yaml.ScalarNode) and value.start_mark.index == value.end_mark.index


@dataclass(slots=True)
class Collection:
    """A mapping or a list."""

    node: yaml.CollectionNode
    is_flow: bool
    """Whether it is written in brackets."""
    owner: Entry | None = None
    entries: list[Entry] = field(default_factory=list)
    below: list[Comment] = field(default_factory=list)

    @property
    def is_list(self) -> bool:
        """Say whether this is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_of_values(self) -> bool:
        """Say whether this is a list without lists and mappings in it."""
        return self.is_list and all(isinstance(entry.value, yaml.ScalarNode) for entry in self.entries)

    @property
    def column(self) -> int:
        """Return the column in which it begins in the source, from zero."""
        return int(self.node.start_mark.column)

    def holds(self, place: int) -> bool:
        """Say whether a place of the source is within its brackets."""
        return self.is_flow and self.node.start_mark.index < place < self.node.end_mark.index

    def all_entries(self) -> Iterator[Entry]:
        """Yield every entry of it and below, in the order of the source."""
        for entry in self.entries:
            yield entry
            if isinstance(entry.value, Collection):
                yield from entry.value.all_entries()

    def has_comments(self) -> bool:
        """Say whether there is a comment anywhere in it."""
        return bool(self.below) or any(
            entry.above or entry.beside or (isinstance(entry.value, Collection) and entry.value.has_comments())
            for entry in self.entries
        )


def scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """Yield every key and value, in the order of the source."""
    if isinstance(node, yaml.ScalarNode):
        yield node
        return
    for part in node.value:
        for one in part if isinstance(part, tuple) else (part,):
            yield from scalars(one)
