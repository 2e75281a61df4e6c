"""The order of a file's keys: that of the tables its reader checks by.

Rule: only keys that a table knows are put in order. Names of the author's own, facts among them, stay as they stand.
"""

from collections.abc import Callable, Sequence

from modelfence.core.keys import Anything, ListOf, MapOf, Record, Shape

SENTENCES = frozenset(("description", "message", "name"))
"""The keys whose values are sentences, which may be folded: a condition's lines are its author's."""


def in_order[T](parts: Sequence[T], shape: Shape, name_of: Callable[[T], str]) -> list[T]:
    """Return the entries of a mapping in the order of its table."""
    if not isinstance(shape, Record) or shape.others is not None:
        return list(parts)
    places = {key.name: place for place, key in enumerate(shape.keys)}
    return sorted(parts, key=lambda part: places.get(name_of(part), len(places)))


def below(shape: Shape, name: str | None) -> Shape:
    """Return the shape of a value: of a key's, or of an item's where `name` is None."""
    match shape:
        case Record(keys) if name is not None:
            return next((key.value for key in keys if key.name == name), Anything())
        case MapOf(value) if name is not None:
            return value
        case ListOf(item) if name is None:
            return item
        case _:
            return Anything()


def is_sentence(shape: Shape, name: str | None) -> bool:
    """Say whether the value of a key of a mapping is a sentence."""
    return name in SENTENCES and isinstance(shape, Record)


def is_section(shape: Shape) -> bool:
    """Say whether this is a list of mappings with a name of their own, as rules and cases are."""
    return isinstance(shape, ListOf) and isinstance(shape.item, Record) and bool(shape.item.title)
