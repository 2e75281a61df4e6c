"""Evidence in this process's memory: for one worker, for replay on a virtual clock, and for tests.

Rule: nothing here awaits, so each call is atomic. Time is that of the sightings. The numbers in comments are those of
the steps in `modelfence.extraction.evidence`.
"""

from array import array
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from modelfence.adapters.memory.cohorts import Cohort, Cohorts, Membership
from modelfence.adapters.memory.index import MemoryIndex, Shingle
from modelfence.extraction.evidence import (
    ACCOUNTS,
    COHORTS_OF_AN_ACCOUNT,
    DAY_S,
    HALVED,
    HOUR_S,
    MATCHES,
    RECENT_COUNTRIES,
    RECENT_ITEMS,
    RECENT_SHINGLES,
    RECURRING_SHINGLES,
    RECURS,
    SHARED,
    SHORT,
    TEMPLATED,
    Bounds,
    CohortRecord,
    Seen,
    Sighting,
    Tally,
)

_BOUNDS = Bounds()
_STRANGER = Membership()

type Met = Mapping[int, Shingle]
"""Those of a call's shingles that several accounts have sent, with what is known of each."""


@dataclass(slots=True)
class _Account:
    day: int
    last_at_s: int
    tally: Tally = field(default_factory=Tally)
    items: array[int] = field(default_factory=lambda: array("I"))
    """The recent ones, oldest first."""
    once: array[int] = field(default_factory=lambda: array("I"))
    """Shingles met once, oldest first."""
    recurring: dict[int, int] = field(default_factory=dict)
    """How often shingles were met that were met more than once."""
    cohorts: dict[str, Membership] = field(default_factory=dict)
    countries: dict[str, int] = field(default_factory=dict)
    """The second of the last call from each country, of the last hour."""


class MemoryEvidence:
    """An `EvidenceStore`."""

    def __init__(self, bounds: Bounds = _BOUNDS) -> None:
        self._bounds = bounds
        self._accounts: dict[str, _Account] = {}
        """By their callers. One moves to the end with its first call of a day; the first is the first to go."""
        self._index = MemoryIndex(bounds)
        self._cohorts = Cohorts(bounds)

    async def see(self, sighting: Sighting) -> Seen:
        """Take a call into account, whatever becomes of it, and return what is known then."""
        self._cohorts.forget(sighting.at_s)
        account = self._account(sighting)
        _come_from(account, sighting)
        if sighting.has_text:
            _count(account, sighting)
        day = sighting.at_s // DAY_S
        met = self._index.meet(sighting.shingles, tag=sighting.tag, day=day, root=self._kept)
        matched = self._match(met, sighting.at_s)
        counted: set[str] = set()
        for cohort in matched:
            if self._cohorts.root(cohort.id) not in counted:
                also = {self._cohorts.root(other.id) for other in matched}
                self._join(account, self._cohorts.by_id[self._cohorts.root(cohort.id)], met, sighting, also=also)
                counted = {self._cohorts.root(name) for name in (*counted, cohort.id)}
        account.cohorts = self._cohorts.of_roots(account.cohorts)
        self._index.forget(self._kept)
        return Seen(
            tally=account.tally.copy(),
            matched=tuple(dict.fromkeys(self._cohorts.root(cohort.id) for cohort in matched)),
            cohorts=[(self._cohorts.by_id[name].record(), one.calls) for name, one in account.cohorts.items()],
            countries=tuple(sorted(account.countries)),
        )

    async def answered(self, caller: str, cohort: str, output_tokens: int) -> None:
        """Take into account what a call was answered with; `cohort` is empty when it drew on none."""
        account = self._accounts.get(caller)
        if account is not None:
            account.tally.answers += 1
            account.tally.output_tokens += output_tokens
        drawn_on = self._cohorts.by_id.get(self._cohorts.root(cohort))
        if drawn_on is not None:
            drawn_on.output_tokens += output_tokens
            memberships = self._cohorts.of_roots(account.cohorts) if account else {}
            if drawn_on.hears(memberships.get(drawn_on.id, _STRANGER).heard - 1):
                drawn_on.answers += 1
                drawn_on.answer_tokens += output_tokens

    async def cohorts(self) -> Sequence[CohortRecord]:
        """Return the cohorts that are kept, by id."""
        return [self._cohorts.by_id[name].record() for name in sorted(self._cohorts.by_id)]

    def _account(self, sighting: Sighting) -> _Account:
        """Return the account's record, halved for each day that began since (1)."""
        day = sighting.at_s // DAY_S
        account = self._accounts.get(sighting.caller)
        if account is None or sighting.at_s - account.last_at_s > self._bounds.expires_s:
            self._accounts.pop(sighting.caller, None)
            account = self._accounts[sighting.caller] = _Account(day, sighting.at_s)
        elif account.day < day:
            self._accounts[sighting.caller] = self._accounts.pop(sighting.caller)
            _halve(account, day - account.day)
            account.day = day
        account.last_at_s = max(account.last_at_s, sighting.at_s)
        if len(self._accounts) > self._bounds.accounts:
            del self._accounts[next(iter(self._accounts))]
        return account

    def _kept(self, name: str) -> str:
        """Return what has become of a cohort; empty when it is kept no more."""
        root = self._cohorts.root(name)
        return root if root in self._cohorts.by_id else ""

    def _match(self, met: Met, at_s: int) -> list[Cohort]:
        """Return the cohorts that the call matches, and let ripe shingles become part of one (3, 4)."""
        shared: dict[str, int] = {}
        for known in met.values():
            if known.cohort:
                shared[known.cohort] = shared.get(known.cohort, 0) + 1
        alike = sorted((name for name in shared if shared[name] >= SHARED), key=lambda name: (-shared[name], name))
        matched = [self._cohorts.by_id[name] for name in alike[:MATCHES]]
        ripe = [shingle for shingle, known in met.items() if len(known.tags) == ACCOUNTS]
        growing = next((cohort for cohort in matched if cohort.learns), None)
        if growing is None and len(ripe) >= SHARED:
            growing = self._cohorts.begin(ripe[0], met[ripe[0]].tags, at_s)
            matched = [cohort for cohort in matched if cohort.id in self._cohorts.by_id and cohort is not growing]
            matched.append(growing)
        if growing is not None:
            for shingle in growing.learn(ripe):
                met[shingle].become_part_of(growing.id)
        return matched

    def _join(self, account: _Account, cohort: Cohort, met: Met, sighting: Sighting, *, also: Container[str]) -> None:
        """Count the call in a cohort that it matches, and the account if it is new to it (5).

        `also` are all that it matches.
        """
        account.cohorts = self._cohorts.of_roots(account.cohorts)
        known = account.cohorts.get(cohort.id)
        mine, is_new = known or _STRANGER, known is None
        if is_new and len(account.cohorts) >= COHORTS_OF_AN_ACCOUNT:
            least = min(account.cohorts, key=lambda name: (account.cohorts[name].heard, name))
            mine = Membership(elsewhere=account.cohorts.pop(least).heard)
        theirs = [one.cohort for shingle in sighting.fingerprint.last if (one := met.get(shingle))]
        shared = sum(theirs.count(name) for name in {*theirs} if self._cohorts.root(name) == cohort.id)
        cohort.count(sighting, mine.ever)
        if cohort.hears(mine.heard):
            if cohort.bits >= self._bounds.worn:
                cohort.age()
            cohort.hear(sighting, in_message=shared >= SHARED)
        account.cohorts[cohort.id] = mine.one_more()
        # Where it takes the place of one that it has not used for days, it has left that for good.
        if is_new and not mine.elsewhere:
            cohort.welcome(sighting)
            self._cohorts.overlap(cohort, [name for name in account.cohorts if name not in also])


def _halve(account: _Account, days: int) -> None:
    tally = account.tally
    for name in HALVED:
        setattr(tally, name, getattr(tally, name) >> days)
    tally.hours, tally.hours_before = 0, tally.hours if days == 1 else 0
    # One that comes to nothing stays: the account is no new one there when it comes back.
    account.cohorts = {name: one.halved(days) for name, one in account.cohorts.items()}


def _come_from(account: _Account, sighting: Sighting) -> None:
    """Remember where the account called from within the last hour (1)."""
    if sighting.country:
        account.countries[sighting.country] = max(account.countries.get(sighting.country, 0), sighting.at_s)
    recent = {name: then_s for name, then_s in account.countries.items() if sighting.at_s - then_s < HOUR_S}
    if len(recent) > RECENT_COUNTRIES:
        del recent[min(recent, key=recent.__getitem__)]
    account.countries = recent


def _count(account: _Account, sighting: Sighting) -> None:
    """Count a call in its account's tally (1)."""
    tally, print_ = account.tally, sighting.fingerprint
    item = print_.item % SHORT
    again = item in account.items
    tally.calls += 1
    tally.deep += bool(print_.history)
    tally.repeated += again
    tally.phrased += sighting.asks_for_data
    tally.probes += sighting.is_probe
    tally.repeated_probes += sighting.is_probe and again
    tally.hours |= 1 << sighting.at_s % DAY_S // HOUR_S
    account.items.append(item)
    del account.items[:-RECENT_ITEMS]
    known = [shingle for shingle in sighting.own if account.recurring.get(shingle % SHORT, 0) >= RECURS]
    tally.templated += sum(shingle in print_.last for shingle in known) >= TEMPLATED
    _remember(account, [shingle % SHORT for shingle in sighting.own])


def _remember(account: _Account, own: Sequence[int]) -> None:
    """Remember the shingles of a call as the account's own."""
    once = set(account.once)
    for shingle in own:
        if shingle in account.recurring:
            account.recurring[shingle] += 1
        elif shingle not in once:
            account.once.append(shingle)
        elif len(account.recurring) < RECURRING_SHINGLES or _makes_room(account.recurring):
            account.once.remove(shingle)
            account.recurring[shingle] = 2
    del account.once[:-RECENT_SHINGLES]


def _makes_room(recurring: dict[int, int]) -> bool:
    """Say whether the shingle that was met least could go. One that is the template's is worn down instead."""
    least = min(recurring, key=lambda shingle: (recurring[shingle], shingle))
    if recurring[least] >= RECURS:
        recurring[least] -= 1
        return False
    del recurring[least]
    return True
