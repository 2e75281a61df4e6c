"""Evidence in this process's memory: for one worker, for replay on a virtual clock, and for tests.

Rule: nothing here awaits, so each call is atomic. Time is that of the sightings. The numbers in comments are those of
the steps in `modelfence.extraction.evidence`.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelfence.adapters.memory_cohorts import Cohort, Cohorts
from modelfence.extraction.evidence import (
    ACCOUNTS,
    COHORTS_OF_AN_ACCOUNT,
    DAY_S,
    HALVED,
    HOUR_S,
    LEARNS,
    MATCHES,
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
_LOOKS_AT_THE_BOUND = 8


@dataclass(slots=True)
class _Account:
    day: int
    last_at_s: int = 0
    tally: Tally = field(default_factory=Tally)
    items: array[int] = field(default_factory=lambda: array("I"))
    """The recent ones, oldest first."""
    once: array[int] = field(default_factory=lambda: array("I"))
    """Shingles met once, oldest first."""
    recurring: dict[int, int] = field(default_factory=dict)
    """How often shingles were met that were met more than once."""
    cohorts: dict[str, int] = field(default_factory=dict)
    """In how many calls it had the template of each of its cohorts."""


@dataclass(slots=True)
class _Shingle:
    """Which accounts sent it, or whose template it is part of."""

    day: int
    tags: tuple[int, ...] = ()
    cohort: str = ""


class MemoryEvidence:
    """An `EvidenceStore`."""

    def __init__(self, bounds: Bounds = _BOUNDS) -> None:
        self._bounds = bounds
        self._accounts: dict[str, _Account] = {}
        """By their callers, the one that called last at the end."""
        self._index: dict[int, _Shingle] = {}
        """The one that was met last at the end."""
        self._cohorts = Cohorts(bounds)

    async def see(self, sighting: Sighting) -> Seen:
        """Take a call into account, whatever becomes of it, and return what is known then."""
        self._cohorts.forget(sighting.at_s)
        account = self._account(sighting)
        _count(account, sighting)
        matched = self._match(sighting)
        for cohort in matched:
            self._join(account, cohort, sighting)
        account.cohorts = self._cohorts.of_roots(account.cohorts)
        return Seen(
            tally=account.tally,
            matched=tuple(dict.fromkeys(self._cohorts.root(cohort.id) for cohort in matched)),
            cohorts=[(self._cohorts.by_id[name].record(), calls) for name, calls in account.cohorts.items()],
        )

    async def answered(self, caller: str, cohort: str, output_tokens: int) -> None:
        """Take into account what a call was answered with; `cohort` is empty when it drew on none."""
        account = self._accounts.get(caller)
        counting: tuple[Tally | Cohort | None, ...] = (
            account.tally if account else None,
            self._cohorts.by_id.get(self._cohorts.root(cohort)),
        )
        for one in counting:
            if one is not None:
                one.answers += 1
                one.output_tokens += output_tokens

    async def cohorts(self) -> Sequence[CohortRecord]:
        """Return the cohorts that are kept, by id."""
        return [self._cohorts.by_id[name].record() for name in sorted(self._cohorts.by_id)]

    def _account(self, sighting: Sighting) -> _Account:
        """Return the account's record, halved for each day that began since (1)."""
        day = sighting.at_s // DAY_S
        account = self._accounts.pop(sighting.caller, None)
        if account is None or sighting.at_s - account.last_at_s > self._bounds.expires_s:
            account = _Account(day)
        if account.day < day:
            _halve(account, day - account.day)
        account.day, account.last_at_s = max(day, account.day), sighting.at_s
        self._accounts[sighting.caller] = account
        if len(self._accounts) > self._bounds.accounts:
            del self._accounts[next(iter(self._accounts))]
        return account

    def _match(self, sighting: Sighting) -> list[Cohort]:
        """Return the cohorts that the call matches, and let ripe shingles become part of one (2 to 4)."""
        matches: dict[str, int] = {}
        ripe: list[int] = []
        for shingle in sighting.shingles:
            entry = self._met(shingle, sighting)
            if entry.cohort:
                matches[entry.cohort] = matches.get(entry.cohort, 0) + 1
            elif len(entry.tags) >= ACCOUNTS:
                ripe.append(shingle)
        alike = sorted(
            (name for name, shared in matches.items() if shared >= SHARED), key=lambda name: (-matches[name], name)
        )
        matched = [self._cohorts.by_id[name] for name in alike[:MATCHES]]
        growing = next((cohort for cohort in matched if cohort.calls < LEARNS), None)
        if growing is None and len(ripe) >= SHARED:
            growing = self._cohorts.begin(ripe[0], self._index[ripe[0]].tags, sighting.at_s)
            matched.append(growing)
        if growing is not None:
            for shingle in ripe:
                self._index[shingle] = _Shingle(sighting.at_s // DAY_S, cohort=growing.id)
            growing.learn(ripe)
        return matched

    def _met(self, shingle: int, sighting: Sighting) -> _Shingle:
        """Return the shingle's entry after this account has sent it, moved to the end."""
        day = sighting.at_s // DAY_S
        entry = self._index.pop(shingle, None)
        if entry is None or (day - entry.day) * DAY_S > self._bounds.expires_s:
            entry = _Shingle(day)
        entry.day = day
        if entry.cohort:
            entry.cohort = self._cohorts.root(entry.cohort)
            if entry.cohort not in self._cohorts.by_id:
                entry.cohort = ""
        if not entry.cohort and sighting.tag not in entry.tags:
            entry.tags = (*entry.tags[: ACCOUNTS - 1], sighting.tag)
        self._index[shingle] = entry
        self._bound_index()
        return entry

    def _bound_index(self) -> None:
        """Forget a shingle when there are too many: the one met longest ago, rather none of a cohort that is kept."""
        for look in range(_LOOKS_AT_THE_BOUND):
            if len(self._index) <= self._bounds.shingles:
                return
            oldest = next(iter(self._index))
            entry = self._index.pop(oldest)
            if self._cohorts.root(entry.cohort) in self._cohorts.by_id and look < _LOOKS_AT_THE_BOUND - 1:
                self._index[oldest] = entry

    def _join(self, account: _Account, cohort: Cohort, sighting: Sighting) -> None:
        """Count the call in a cohort that it matches, and the account if it is new to it (5)."""
        cohort = self._cohorts.by_id[self._cohorts.root(cohort.id)]
        account.cohorts = self._cohorts.of_roots(account.cohorts)
        before = account.cohorts.get(cohort.id)
        in_message = sum(self._cohorts.root(self._index[one].cohort) == cohort.id for one in sighting.fingerprint.last)
        cohort.count(sighting, before or 0, in_message=in_message >= SHARED)
        account.cohorts[cohort.id] = (before or 0) + 1
        if before is None:
            cohort.welcome(sighting)
            self._cohorts.overlap(cohort, account.cohorts)
            if len(account.cohorts) > COHORTS_OF_AN_ACCOUNT:
                del account.cohorts[min(account.cohorts, key=lambda name: (account.cohorts[name], name))]


def _halve(account: _Account, days: int) -> None:
    tally = account.tally
    for name in HALVED:
        setattr(tally, name, getattr(tally, name) >> days)
    tally.hours, tally.hours_before = 0, tally.hours if days == 1 else 0
    account.cohorts = {name: halved for name, calls in account.cohorts.items() if (halved := calls >> days)}


def _count(account: _Account, sighting: Sighting) -> None:
    """Count a call in its account's tally (1)."""
    tally, print_ = account.tally, sighting.fingerprint
    item = print_.item % SHORT
    again = item in account.items
    tally.calls += 1
    tally.deep += bool(print_.history)
    tally.repeated += again
    tally.phrased += bool(print_.phrases)
    tally.probes += sighting.is_probe
    tally.repeated_probes += sighting.is_probe and again
    tally.hours |= 1 << sighting.at_s % DAY_S // HOUR_S
    account.items.append(item)
    del account.items[:-RECENT_ITEMS]
    message = {shingle % SHORT for shingle in print_.last}
    own = [shingle % SHORT for shingle in sighting.own]
    tally.templated += sum(account.recurring.get(one, 0) >= RECURS for one in own if one in message) >= TEMPLATED
    _remember(account, own)


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
