"""The arithmetic of ownership spelled out, chain by chain, for whoever has to understand or defend its result."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelfence.core.account import Entity, Owner


@dataclass(frozen=True, slots=True)
class Holding:
    """One owner at the end of one chain of owners."""

    shares: tuple[float, ...]
    """The share of each owner along the chain, the nearest to the account first."""
    country: str
    entity: str | None = None
    counts: bool = True
    """Not where the chain met the country before: along one chain it counts once; see `countries_behind`."""

    @property
    def share(self) -> float:
        """Return what this owner holds of the account."""
        return math.prod(self.shares)


def holdings(owners: Sequence[Owner], entities: Mapping[str, Entity], *, most: int) -> list[Holding]:
    """Return each owner after the one that it owns, and no more of them than `most`: chains may be beyond number.

    A chain ends at an entity that is not among `entities`, whose country is then empty.
    """
    found: list[Holding] = []
    chains: list[tuple[Owner, tuple[float, ...], frozenset[str]]]
    chains = [(owner, (), frozenset()) for owner in reversed(owners)]
    while chains and len(found) < most:
        owner, shares, met = chains.pop()
        entity = entities.get(owner.entity or "")
        country = owner.country or "" if entity is None else entity.country
        here = Holding((*shares, owner.share), country, owner.entity, counts=country not in met)
        found.append(here)
        if entity is not None:
            chains += [(further, here.shares, met | {country}) for further in reversed(entity.owners)]
    return found
