"""The cohorts of evidence in memory: what is counted of each, and which of them are one."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from modelfence.adapters.evidence_bounds import COHORTS_COMPARED, SEEDS
from modelfence.extraction.evidence import (
    ACCOUNTS,
    AGED,
    CONTROLS,
    COUNTED,
    COUNTRIES,
    HEARD,
    ITEM_BITS,
    LEARNED,
    LEARNS,
    OVERLAPS,
    TEMPLATE,
    Bounds,
    CohortRecord,
    Sighting,
)


@dataclass(frozen=True, slots=True)
class Membership:
    """What an account has done in a cohort, in calls."""

    calls: int = 0
    """That had the template; a new day halves them."""
    ever: int = 0
    """The same, never halved."""
    elsewhere: int = 0
    """That count as heard here, too, because it had them in those whose place this one took (6); halved likewise."""

    @property
    def heard(self) -> int:
        """Return how many count as heard."""
        return self.calls + self.elsewhere

    def one_more(self) -> "Membership":
        """Return it with one more call."""
        return Membership(self.calls + 1, self.ever + 1, self.elsewhere)

    def halved(self, days: int) -> "Membership":
        """Return what is left of it after so many days."""
        return Membership(self.calls >> days, self.ever, self.elsewhere >> days)

    def with_that_of(self, other: "Membership") -> "Membership":
        """Return what the two come to, when their cohorts have become one."""
        return Membership(self.calls + other.calls, self.ever + other.ever, self.elsewhere + other.elsewhere)


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
    pairs: int = 0
    heard: int = 0
    in_message: int = 0
    deep: int = 0
    phrased: int = 0
    checked: int = 0
    repeated: int = 0
    by_chance: int = 0
    bits: int = 0
    answers: int = 0
    answer_tokens: int = 0
    output_tokens: int = 0
    learned: int = 0
    """Shingles that have become part of its template."""
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
            self.pairs,
            self.heard,
            self.in_message,
            self.deep,
            self.phrased,
            self.checked,
            self.repeated,
            self.by_chance,
            self.bits,
            self.answers,
            self.answer_tokens,
            self.output_tokens,
            self.tiers,
            self.countries,
            self.template,
            max(self.controls.values(), default=0),
        )

    @property
    def learns(self) -> bool:
        """Say whether its template is not known in full yet."""
        return self.accounts <= LEARNS and self.learned < LEARNED

    def learn(self, shingles: Sequence[int]) -> Sequence[int]:
        """Take shingles in as part of the template, as long as there are not too many; return those."""
        taken = shingles[: LEARNED - self.learned]
        self.learned += len(taken)
        self._know_template(taken)
        return taken

    def count(self, sighting: Sighting, before: int) -> None:
        """Count a call of an account that had made so many."""
        self.last_at_s = max(self.last_at_s, sighting.at_s)
        self.pairs += 2 * before
        self.calls += 1 if self.calls else ACCOUNTS

    def hears(self, before: int) -> bool:
        """Say whether a call is heard of an account of which so many were."""
        return not self.heard or before < min(HEARD, 1 + 2 * self.heard // max(1, self.accounts))

    def hear(self, sighting: Sighting, *, in_message: bool) -> None:
        """Take into account what a call shows of the use of the template."""
        print_ = sighting.fingerprint
        times = 1 if self.heard else ACCOUNTS
        self.heard += times
        self.in_message += times * in_message
        self.phrased += times * sighting.asks_for_data
        if print_.history and not in_message and not self._knows(print_.history):
            self.deep += times
        if print_.item:
            self.checked += 1
            self.by_chance += self.bits
            self.repeated += self._knows(print_.item)

    def age(self) -> None:
        """Let what was heard count half, and begin a new bitmap."""
        for name in AGED:
            setattr(self, name, getattr(self, name) >> 1)
        self.bits = 0
        self.bitmap = bytearray(ITEM_BITS // 8)

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
        # Where one bit in so many is set in both, of those that the other adds as many are known.
        self.bits -= (self.bits - other.bits) * other.bits // ITEM_BITS
        self.learned += other.learned
        self._know_template(other.template)
        self.seeds = list(dict.fromkeys([*self.seeds, *other.seeds]))[:SEEDS]
        self.bitmap = bytearray(a | b for a, b in zip(self.bitmap, other.bitmap, strict=True))

    def _know_template(self, shingles: Iterable[int]) -> None:
        self.template = tuple(sorted({*self.template, *shingles})[:TEMPLATE])

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
        self.bits += not known
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

    def of_roots(self, memberships: Mapping[str, Membership]) -> dict[str, Membership]:
        """Return the same by the cohorts that are kept."""
        found: dict[str, Membership] = {}
        for name, one in memberships.items():
            root = self.root(name)
            if root in self.by_id:
                found[root] = found[root].with_that_of(one) if root in found else one
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
            idle = nsmallest(COHORTS_COMPARED, others, key=lambda one: (one.last_at_s, one.id))
            del self.by_id[min(idle, key=lambda one: one.accounts).id]
        return cohort

    def overlap(self, cohort: Cohort, others: Iterable[str]) -> None:
        """Count that an account of these others is in this one, too; those that overlap by half become one."""
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
