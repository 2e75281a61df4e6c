"""The KYC directory's records, and the arithmetic of ownership."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STATUSES = ("active", "suspended", "closed")
SCREENINGS = ("clear", "hit", "pending")


@dataclass(frozen=True, slots=True)
class Account:
    """One customer as the directory states it. `None` means never stated, which a condition sees as unknown."""

    id: str
    status: str
    tier: str
    country: str | None = None
    verified_us: int | None = None
    expires_us: int | None = None
    """Microsecond since the epoch from which the tier is the lowest; `None` never expires."""
    ownership: Mapping[str, float] | None = None
    """Share owned from each country, 0 to 1, direct and indirect; see `ownership`."""
    screening: str | None = None
    purpose: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def expired(self, now_us: int) -> bool:
        """Say whether the verification has run out at that time."""
        return self.expires_us is not None and now_us >= self.expires_us


@dataclass(frozen=True, slots=True)
class Owner:
    """A share, 0 to 1, held either by an entity of the directory or from a country."""

    share: float
    entity: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """A company that owns others. It counts for its own country and passes on its owners' by multiplication."""

    id: str
    country: str
    owners: Sequence[Owner] = ()


def ownership(owners: Sequence[Owner], entities: Mapping[str, Entity]) -> dict[str, float]:
    """Return the share owned from each country, chain-multiplied along every path of owners.

    The graph has no cycles and every entity named is in `entities`: the directory's reader has checked both.
    Along one chain a country counts once, where it is met first: a US company wholly owned by a US parent is
    owned from the US by its share, not twice, so that no country's share passes the sum of the direct shares.
    Entities are memoised, so a deep diamond costs one visit per entity.
    """
    through: dict[str, dict[str, float]] = {}

    def sum_up(held: Sequence[Owner]) -> dict[str, float]:
        total: dict[str, float] = {}
        for owner in held:
            for country, share in countries_behind(owner).items():
                total[country] = total.get(country, 0.0) + owner.share * share
        return total

    def countries_behind(owner: Owner) -> dict[str, float]:
        if owner.entity is None:
            return {owner.country or "": 1.0}
        if owner.entity not in through:
            entity = entities[owner.entity]
            shares = sum_up(entity.owners)
            shares[entity.country] = 1.0
            through[owner.entity] = shares
        return through[owner.entity]

    return sum_up(owners)
