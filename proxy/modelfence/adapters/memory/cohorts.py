"""The cohorts of evidence in memory: what is counted of each, and which of them are one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.adapters.evidence_bounds import SEEDS
from modelfence.extraction.evidence import (
    ACCOUNTS,
    CONTROLS,
    COUNTED,
    COUNTRIES,
    ITEM_BITS,
    ITEMS_CHECKED,
    OVERLAPS,
    TEMPLATE,
    Bounds,
    CohortRecord,
    Sighting,
)


@dataclass(slots=True)
class Cohort:
    """A `CohortRecord` that is still counted, and what it takes to count it."""

    id: str
    first_at_s: int
    last_at_s: int
    seeds: list[int]
    """Tags of accounts that were counted before they were known by name."""
    accounts: int = 0
    verified: int = 0
    calls: int = 0
    in_message: int = 0
    deep: int = 0
    phrased: int = 0
    checked: int = 0
    repeated: int = 0
    pairs: int = 0
    answers: int = 0
    output_tokens: int = 0
    tiers: Mapping[str, int] = field(default_factory=dict)
    """Never changed, but replaced by another, like the next: records hold them, too."""
    countries: Mapping[str, int] = field(default_factory=dict)
    template: tuple[int, ...] = ()
    overlaps: dict[str, int] = field(default_factory=dict)
    controls: dict[int, int] = field(default_factory=dict)
    """Accounts by who is behind them: the most frequent, each counted short by as many."""
    bitmap: bytearray = field(default_factory=lambda: bytearray(ITEM_BITS // 8))

    def record(self) -> CohortRecord:
        """Return it as it stands."""
        return CohortRecord(
            self.id,
            self.first_at_s,
            self.last_at_s,
            self.accounts,
            self.verified,
            self.calls,
            self.in_message,
            self.deep,
            self.phrased,
            self.checked,
            self.repeated,
            self.pairs,
            self.answers,
            self.output_tokens,
            self.tiers,
            self.countries,
            self.template,
            max(self.controls.values(), default=0),
        )

    def learn(self, shingles: Iterable[int]) -> None:
        """Take shingles in as part of the template."""
        self.template = tuple(sorted({*self.template, *shingles})[:TEMPLATE])

    def count(self, sighting: Sighting, before: int, *, in_message: bool) -> None:
        """Count a call of an account that had made so many."""
        print_ = sighting.fingerprint
        times = 1 if self.calls else ACCOUNTS
        self.last_at_s = max(self.last_at_s, sighting.at_s)
        self.calls += times
        self.pairs += 2 * before
        self.in_message += times * in_message
        self.phrased += times * sighting.asks_for_data
        if print_.history and not in_message and not self._knows(print_.history):
            self.deep += times
        if print_.item and self.checked < ITEMS_CHECKED:
            self.checked += 1
            self.repeated += self._knows(print_.item)

    def welcome(self, sighting: Sighting) -> None:
        """Count an account that is new to it."""
        if sighting.tag in self.seeds:
            self.seeds.remove(sighting.tag)
        else:
            self.accounts += 1
        self.verified += sighting.is_verified
        self._have_tier(sighting.tier, 1)
        self._come_from(sighting.country, 1)
        for control in sighting.controls:
            self._are_controlled(control, 1)

    def take_in(self, other: "Cohort", both: int) -> None:
        """Count all that another has counted; so many accounts are in both."""
        # Who is in both has been counted already: of the other's, as many are new as there are.
        fresh, of_them = max(0, other.accounts - both), max(1, other.accounts)
        self.verified += other.verified * fresh // of_them
        for name in COUNTED:
            if name != "verified":
                setattr(self, name, getattr(self, name) + getattr(other, name))
        self.accounts -= both
        self.last_at_s = max(self.last_at_s, other.last_at_s)
        for tier, accounts in other.tiers.items():
            self._have_tier(tier, accounts * fresh // of_them)
        for country, accounts in other.countries.items():
            self._come_from(country, accounts * fresh // of_them)
        for control, accounts in other.controls.items():
            self._are_controlled(control, accounts * fresh // of_them)
        self.learn(other.template)
        self.seeds = list(dict.fromkeys([*self.seeds, *other.seeds]))[:SEEDS]
        self.bitmap = bytearray(a | b for a, b in zip(self.bitmap, other.bitmap, strict=True))

    def _have_tier(self, tier: str, accounts: int) -> None:
        self.tiers = {**self.tiers, tier: self.tiers.get(tier, 0) + accounts}

    def _come_from(self, country: str, accounts: int) -> None:
        """Count accounts by their country, as long as there are not too many."""
        if country not in self.countries and len(self.countries) >= COUNTRIES:
            country = ""
        self.countries = {**self.countries, country: self.countries.get(country, 0) + accounts}

    def _are_controlled(self, control: int, accounts: int) -> None:
        """Count accounts by who is behind them. Where there is no room, all are counted less by as many."""
        if accounts == 0:
            return
        if control in self.controls or len(self.controls) < CONTROLS:
            self.controls[control] = self.controls.get(control, 0) + accounts
            return
        less = min(accounts, *self.controls.values())
        self.controls = {one: count - less for one, count in self.controls.items() if count > less}
        if accounts > less:
            self.controls[control] = accounts - less

    def _knows(self, item: int) -> bool:
        """Say whether the bitmap knew it; it does from now on."""
        at, bit = divmod(item % ITEM_BITS, 8)
        known = bool(self.bitmap[at] >> bit & 1)
        self.bitmap[at] |= 1 << bit
        return known


class Cohorts:
    """All of them, and which were taken in by which."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self.by_id: dict[str, Cohort] = {}
        self._taken_in: dict[str, str] = {}
        """As many as there may be cohorts, the first one first to go."""
        self._earliest_s = 0
        """None that is kept has had its last call before."""

    def root(self, name: str) -> str:
        """Return the cohort that this one has become part of, or itself."""
        while name in self._taken_in:
            name = self._taken_in[name]
        return name

    def of_roots(self, calls: Mapping[str, int]) -> dict[str, int]:
        """Return the same calls by the cohorts that are kept."""
        found: dict[str, int] = {}
        for name, count in calls.items():
            root = self.root(name)
            if root in self.by_id:
                found[root] = found.get(root, 0) + count
        return found

    def begin(self, shingle: int, tags: Sequence[int], at_s: int) -> Cohort:
        """Return a new cohort of the accounts with these tags, named by its smallest shingle.

        Where one of that name, or one that has taken it in, is kept, its shingle had been forgotten, and it goes on.
        """
        name = f"{shingle:012x}"
        if self.root(name) in self.by_id:
            return self.by_id[self.root(name)]
        self._taken_in.pop(name, None)
        cohort = self.by_id[name] = Cohort(name, at_s, at_s, [*tags], accounts=len(tags))
        self._earliest_s = min(self._earliest_s, at_s)
        if len(self.by_id) > self._bounds.cohorts:
            others = (one for one in self.by_id.values() if one is not cohort)
            del self.by_id[min(others, key=lambda one: (one.last_at_s, one.id)).id]
        return cohort

    def overlap(self, cohort: Cohort, others: Iterable[str]) -> Cohort:
        """Count that an account of these others is in this one, too; those that overlap by half become one.

        Returns the one it has become part of, or itself.
        """
        for name in others:
            other = self.by_id[self.root(name)]
            if other is cohort:
                continue
            both = max(cohort.overlaps.get(other.id, 0), other.overlaps.get(cohort.id, 0)) + 1
            for one, its in ((cohort, other.id), (other, cohort.id)):
                if its in one.overlaps or len(one.overlaps) < OVERLAPS:
                    one.overlaps[its] = both
            if both >= ACCOUNTS and 2 * both >= cohort.accounts + other.accounts - both:
                cohort, gone = sorted((cohort, other), key=lambda one: (one.first_at_s, one.id))
                cohort.take_in(gone, both)
                self._is_part_of(gone, cohort)
        return cohort

    def forget(self, now_s: int) -> None:
        """Drop the cohorts that have expired."""
        if now_s - self._earliest_s <= self._bounds.expires_s:
            return
        for cohort in [one for one in self.by_id.values() if now_s - one.last_at_s > self._bounds.expires_s]:
            del self.by_id[cohort.id]
        self._earliest_s = min((one.last_at_s for one in self.by_id.values()), default=now_s)

    def _is_part_of(self, gone: Cohort, kept: Cohort) -> None:
        del self.by_id[gone.id]
        self._taken_in[gone.id] = kept.id
        if len(self._taken_in) > self._bounds.cohorts:
            del self._taken_in[next(iter(self._taken_in))]
