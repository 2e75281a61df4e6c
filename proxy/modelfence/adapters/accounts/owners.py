"""Who owns whom, as an accounts file states it: the owners of accounts, and the entities between.

A mistake here would be money laundered through arithmetic, so whatever is in doubt is a problem: shares beyond the
whole, owners that are nobody, and companies that own themselves.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.adapters.accounts.keys import ENTITY_KEYS, OWNER_KEYS, SHARE
from modelfence.core.account import Entity, Owner
from modelfence.core.countries import COUNTRY_CODE
from modelfence.core.keys import names, required
from modelfence.document import Node, did_you_mean

_ROUNDING = 1e-9
_NAMES_SHOWN = 5
_MOST_COMPARED = 200
"""With more entities than this no near match is looked for: it would take minutes where many are missing."""


@dataclass(frozen=True, slots=True)
class _Named:
    """An owner, and the node that names its entity."""

    owner: Owner
    entity: Node | None


@dataclass(frozen=True, slots=True)
class Entities:
    """The entities of a file: in which line each is declared, and those that read well."""

    declared: dict[str, int] = field(default_factory=dict)
    read: dict[str, Entity] = field(default_factory=dict)

    def owners(self, node: Node) -> tuple[Owner, ...]:
        """Return a list of owners, once all entities are read."""
        named = _owners(node)
        for each in named:
            self.find(each)
        return tuple(each.owner for each in named)

    def find(self, named: _Named) -> None:
        """Note a problem when the entity named is none."""
        name = named.owner.entity
        if named.entity is not None and name is not None and name not in self.declared:
            hint = did_you_mean(name, self.declared) if len(self.declared) <= _MOST_COMPARED else None
            named.entity.problem("unknown-entity", f"unknown entity `{name}`", hint=hint)


def read_entities(nodes: Sequence[Node]) -> Entities:
    """Return the entities of a file; they may name each other in any order."""
    entities = Entities()
    owners: dict[str, list[_Named]] = {}
    for node in nodes:
        entries = node.entries(names(ENTITY_KEYS), required=required(ENTITY_KEYS))
        name = entries["id"].filled_text() if "id" in entries else None
        home = read_country(entries["country"]) if "country" in entries else None
        named = _owners(entries["owners"]) if "owners" in entries and not entries["owners"].is_null else []
        if name is None or declared_twice("entities", entries["id"], entities.declared) or home is None:
            continue
        owners[name] = named
        entities.read[name] = Entity(name, home, tuple(each.owner for each in named))
    for named in owners.values():
        for each in named:
            entities.find(each)
    _find_cycles(owners)
    return entities


def declared_twice(kind: str, node: Node, declared: dict[str, int]) -> bool:
    """Note in which line a name is declared, or a problem when it has been before."""
    name = node.text() or ""
    if name not in declared:
        declared[name] = node.line
        return False
    node.problem("duplicate-id", f"two {kind} have the id `{name}`; the other one is in line {declared[name]}")
    return True


def read_country(node: Node) -> str | None:
    """Return a country code."""
    value = node.text()
    if value is None or COUNTRY_CODE.admits(value):
        return value
    hint = f"did you mean `{value.upper()}`?" if re.fullmatch(r"[A-Za-z]{2}", value) else None
    node.problem("bad-country", f"a country is two capital letters like US, not `{value}`", hint=hint)
    return None


def _owners(node: Node) -> list[_Named]:
    owners = [owner for item in node.items() if (owner := _owner(item)) is not None]
    whole = math.fsum(each.owner.share for each in owners)
    if whole > 1 + _ROUNDING:
        node.problem("shares-beyond-whole", f"these shares sum up to {whole:.6g}, which is more than the whole")
    return owners


def _owner(node: Node) -> _Named | None:
    entries = node.entries(names(OWNER_KEYS), required=required(OWNER_KEYS))
    share = entries["share"].number(minimum=SHARE.minimum, maximum=SHARE.maximum) if "share" in entries else None
    if node.is_mapping and ("entity" in entries) == ("country" in entries):
        have = "both" if "entity" in entries else "neither"
        node.problem("unclear-owner", f"an owner is either an `entity` or a `country`, and this one has {have}")
        return None
    entity = entries["entity"].filled_text() if "entity" in entries else None
    home = read_country(entries["country"]) if "country" in entries else None
    if share is None or (entity is None and home is None):
        return None
    return _Named(Owner(share, entity=entity, country=home), entries.get("entity"))


def _find_cycles(owners: Mapping[str, Sequence[_Named]]) -> None:
    """Note a problem at each owner that closes a cycle. No recursion: a chain may be long."""
    finished: set[str] = set()
    for start in owners:
        path: dict[str, Iterator[_Named]] = {} if start in finished else {start: iter(owners[start])}
        while path:
            current, rest = next(reversed(path.items()))
            named = next(rest, None)
            if named is None:
                finished.add(current)
                del path[current]
                continue
            name = named.owner.entity
            if name in path and named.entity is not None:
                names = list(path)
                named.entity.problem("cycle", f"`{name}` owns itself{_through(names[names.index(name) + 1 :])}")
            elif name is not None and name in owners and name not in finished:
                path[name] = iter(owners[name])


def _through(names: Sequence[str]) -> str:
    """Return the way of a cycle in words."""
    words = [f"`{name}`" for name in names[:_NAMES_SHOWN]]
    if len(names) > _NAMES_SHOWN:
        words.append(f"{len(names) - _NAMES_SHOWN:,} more")
    if not words:
        return ""
    *but_last, last = words
    return f" through {', '.join(but_last)} and {last}" if but_last else f" through {last}"
