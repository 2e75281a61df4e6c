"""What is kept of calls between calls, and the port behind which it is kept.

An *account's* record says how it calls: how often, whether its prompts recur, whether it asks the same again, and
which cohorts it belongs to. The *index* says for a shingle which few accounts sent it. When five have sent three of a
call's shingles, these are a template, and a *cohort* begins: the accounts that send it. A cohort's record says how its
template is used: by how many accounts of which tiers, how often, whether the work is disjoint, whether it is
conversation.

What every store does with a call, in this order:

1. The account's tally is halved for each day (UTC) that began since its last call; then the call is counted in it, and
   the country it came from is kept for an hour. A call without text tells only that: nothing else is done with it.
2. Each shingle is looked up. One of a cohort's counts for that cohort; any other gets the account's tag added. A
   shingle that now has tags of ACCOUNTS different accounts is ripe.
3. The call matches the cohorts of which it has SHARED shingles or more, at most MATCHES of them, the most alike first.
4. Ripe shingles become part of the first matched cohort that has no more than LEARNS accounts. Where there is none, and
   they are SHARED or more, they are a new cohort, which the call matches as well. Those that began it are counted as if
   each had made one call like this.
5. In each cohort that it matches the call is counted. What it shows is heard of an account's first calls with the
   template only: of one more than twice as many as are heard of an account on average, and of HEARD at most (a new day
   halves their number). So no account speaks for the others, or against them, by calling more often. An account that
   is new to it is counted, too, and if it is in other cohorts as well, which this call does not match, these overlap by
   one more. Two cohorts one of which has ACCOUNTS accounts or more in common with the other, and half of all that are
   in either, are one: the older.
6. An account is in at most COHORTS_OF_AN_ACCOUNT cohorts. In one more it takes the place that it has in the one it
   used least, and as many of its calls there count as heard (Space-Saving: Metwally et al., "Efficient computation of
   frequent and top-k elements in data streams", 2005). It is not counted as new, either: it may have been there before,
   and who came and went again and again would count as many.
7. When half of a cohort's bitmap is set (`Bounds.worn`), all that was heard is halved, and the bitmap begins anew:
   what a cohort is, its latest tens of thousands of calls say, not its first.

So the variants of a template, which one call has one of, find together; and a campaign on top of a framework's
scaffold, whose calls have both, is a cohort of its own, and does not draw the framework's other users in.

Everything is bounded and expires (`Bounds` and the constants here). Nothing grows with the number of calls.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from operator import attrgetter
from typing import Protocol
from zlib import crc32

from modelfence.core.extraction import Fingerprint
from modelfence.core.quick import quick

ACCOUNTS = 5
"""So many accounts make a template: five or more caught 96 of 96 campaign accounts (see `weights`)."""
SHARED = 3
"""So many of its shingles a call must have in common with a template: one or two are a phrase."""
MATCHES = 3
LEARNS = 2 * ACCOUNTS
"""Up to so many accounts a cohort learns its template: of what is ripe by then, half of its accounts have sent it. What
ripens later are phrases of some of those who use it, or the template of a campaign among them."""
LEARNED = 240
"""And so many shingles, as many as one call has at most: a few accounts could teach it what others say, without end."""
HEARD = 32
"""Of an account's calls with a cohort's template, those by which the cohort is judged: a little more than the 25 a day
that campaigns were reported to send from each."""
RECENT_ITEMS = 64
"""Of an account, by which what it asks again is known."""
RECENT_SHINGLES = 128
"""Of an account, met once so far: those of its last eight calls."""
RECURRING_SHINGLES = 16
"""Of an account, met more than once: its template."""
OWN_SHINGLES = 16
"""Of one call, the smallest, that are looked for among the account's own."""
RECURS = 3
"""So often must a shingle have been met to be the account's template's, and TEMPLATED of them make a call one of it."""
TEMPLATED = 2
COHORTS_OF_AN_ACCOUNT = 8
"""Variants of a template find together by accounts that are counted in the cohort of each."""
OVERLAPS = 16
"""Of a cohort with others, that are counted."""
RECENT_COUNTRIES = 8
"""Of an account, from which it called within the last hour: the latest ones. More would tell nobody more."""
COUNTRIES = 32
"""Of a cohort, that are counted each for itself."""
CONTROLS = 32
"""Of a cohort, the payers, domains and batches that are counted. What is commonest is found whatever comes between
(Misra and Gries, 1982), and is counted short by no more than a 33rd of all that were met."""
TEMPLATE = 32
"""Of a cohort's shingles, the smallest, that tell its fingerprint."""
ITEM_BITS = 1 << 16
"""Of the bitmap by which a cohort's items and histories are known again."""
DAY_S = 86_400
HOUR_S = 3_600
SHORT = 1 << 32
"""Hashes are cut to this where they only tell the few of one account or cohort apart."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is kept, and for how long."""

    accounts: int = 100_000
    shingles: int = 400_000
    cohorts: int = 1_000
    worn: int = ITEM_BITS // 2
    """Bits of a cohort's bitmap that are set when it begins anew: of what is new, every other would then be taken for
    known."""
    expires_s: int = 7 * DAY_S
    """Without a call for so long, an account, a shingle or a cohort is forgotten."""


@dataclass(frozen=True)
class Sighting:
    """One call as evidence."""

    at_s: int
    caller: str
    tier: str
    is_verified: bool
    country: str
    fingerprint: Fingerprint
    is_probe: bool = False
    """It asks for the probabilities of single tokens; see `score.is_probe`."""
    control: tuple[str, ...] = ()
    """As in `Caller`."""

    @property
    def has_text(self) -> bool:
        """Say whether anything was asked. What was not is no evidence of how an account asks."""
        return bool(self.fingerprint.item or self.shingles)

    @property
    def asks_for_data(self) -> bool:
        """Say whether it asks for training data. The other phrases are too common to tell of a habit."""
        return "generator_phrasing" in self.fingerprint.phrases

    @cached_property
    def tag(self) -> int:
        """Return what stands for the account in the index."""
        return crc32(self.caller.encode(errors="surrogatepass"))

    @property
    def controls(self) -> list[int]:
        """Return what stands for each of `control`."""
        return [crc32(one.encode(errors="surrogatepass")) for one in self.control]

    @cached_property
    def shingles(self) -> list[int]:
        """Return all shingles, sorted."""
        return sorted({*self.fingerprint.system, *self.fingerprint.earlier, *self.fingerprint.last})

    @cached_property
    def own(self) -> list[int]:
        """Return the shingles that are looked for among the account's own."""
        of_each = (*self.fingerprint.system[:OWN_SHINGLES], *self.fingerprint.last[:OWN_SHINGLES])
        return sorted({*of_each})[:OWN_SHINGLES]


@dataclass(slots=True)
class Tally:
    """What an account did, in calls; each day that begins halves it."""

    calls: int = 0
    deep: int = 0
    """With something said before."""
    repeated: int = 0
    """That asked what one of the recent calls had asked."""
    templated: int = 0
    """That had the account's template in the user's message."""
    phrased: int = 0
    """That asked for training data."""
    probes: int = 0
    repeated_probes: int = 0
    answers: int = 0
    output_tokens: int = 0
    hours: int = 0
    """Bit h is set when it called in hour h of this day (UTC)."""
    hours_before: int = 0
    """Likewise of the day before."""

    def copy(self) -> "Tally":
        """Return one that goes on by itself."""
        return Tally(*_counts_of(self))


_counts_of = attrgetter(*(one.name for one in fields(Tally)))


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """A cohort, as it stands."""

    id: str
    first_at_s: int
    last_at_s: int
    accounts: int = 0
    verified: int = 0
    calls: int = 0
    """That had the template."""
    pairs: int = 0
    """Ordered pairs of calls of one account, over all accounts: the sum of n (n - 1)."""
    heard: int = 0
    """Of these calls, those that are judged: at most HEARD of an account."""
    in_message: int = 0
    """Of these, those that had the template in the user's last message."""
    deep: int = 0
    """Of these, those with a history that was new to the cohort, and the template not in their last message."""
    phrased: int = 0
    checked: int = 0
    """Of these, those whose item was looked up."""
    repeated: int = 0
    """Of those, the ones whose item the bitmap knew."""
    by_chance: int = 0
    """How many bits were set at each look-up, summed up: an item that is new meets one of them by chance."""
    bits: int = 0
    """Of the bitmap, that are set; a little more or less after two have become one."""
    answers: int = 0
    """To calls that drew on the cohort, at most about HEARD of an account."""
    answer_tokens: int = 0
    """Of those."""
    output_tokens: int = 0
    """Of all calls that drew on the cohort."""
    tiers: Mapping[str, int] = field(default_factory=dict)
    countries: Mapping[str, int] = field(default_factory=dict)
    """Accounts by the country of their first call; those beyond COUNTRIES count as `""`, as the unknown do."""
    template: tuple[int, ...] = ()
    """The smallest of its shingles."""
    controlled: int = 0
    """Accounts that have the commonest payer, contact domain or signup batch of all: at least so many."""


AGED = (
    "heard", "in_message", "deep", "phrased", "checked", "repeated", "by_chance", "answers", "answer_tokens",
)  # fmt: skip
"""The fields of a cohort that are halved when its bitmap is worn."""
COUNTED = (
    "accounts", "verified", "calls", "pairs", "heard", "in_message", "deep", "phrased", "checked", "repeated",
    "by_chance", "bits", "answers", "answer_tokens", "output_tokens",
)  # fmt: skip
"""The fields of a cohort that are counts."""
HALVED = (
    "calls", "deep", "repeated", "templated", "phrased", "probes", "repeated_probes", "answers", "output_tokens",
)  # fmt: skip
"""The fields of a tally that a new day halves."""


@quick
@dataclass(frozen=True, slots=True)
class Seen:
    """What is known after a sighting."""

    tally: Tally
    matched: Sequence[str] = ()
    """The cohorts whose template the call has."""
    cohorts: Sequence[tuple[CohortRecord, int]] = ()
    """The cohorts of the account, each with the calls in which the account had its template."""
    countries: tuple[str, ...] = ()
    """From which the account called within the last hour, this call included, sorted."""


class EvidenceStore(Protocol):
    """Where evidence is kept. Every method raises UnavailableError."""

    async def see(self, sighting: Sighting) -> Seen:
        """Take a call into account, whatever becomes of it, and return what is known then."""
        ...

    async def answered(self, caller: str, cohort: str, output_tokens: int) -> None:
        """Take into account what a call was answered with; `cohort` is empty when it drew on none."""
        ...

    async def cohorts(self) -> Sequence[CohortRecord]:
        """Return the cohorts that are kept, by id."""
        ...
