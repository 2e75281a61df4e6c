"""What the loop needs from outside, as small protocols it owns. Adapters raise `Unavailable` and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelfence.core.account import Account, Found
from modelfence.core.call import Call, Credential, Usage
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Taken
from modelfence.core.decision import Decision, Effect
from modelfence.core.extraction import Caller, Extraction
from modelfence.core.location import Location as Location  # noqa: PLC0414 - a port's value
from modelfence.core.quick import quick
from modelfence.core.token import Verified
from modelfence.core.unavailable import UnavailableError as UnavailableError  # noqa: PLC0414 - a port's error, too
from modelfence.enforcement.reservation import Reservation


class AccountDirectory(Protocol):
    """The KYC directory."""

    async def find(self, digest: str, at_us: int) -> Found:
        """Return what is known of the credential of that digest at that time. Raises UnavailableError."""
        ...

    async def get(self, account_id: str) -> Account | None:
        """Return the account of that id, or None. Raises UnavailableError."""
        ...


class TokenVerifier(Protocol):
    """Verifies what an identity provider has signed."""

    async def verify(self, credential: Credential, at_us: int) -> Verified:
        """Return what a credential with a token proves at that time. Raises UnavailableError for want of keys."""
        ...


class GeoDatabase(Protocol):
    """Address to location, from files held in memory: it never waits, so it is not async."""

    @property
    def country_built_s(self) -> int:
        """Return when the database of countries was built, in seconds since the epoch."""
        ...

    def locate(self, ip: str) -> Location:
        """Return what is known of an address; an empty location for one that is in no database."""
        ...


class Detector(Protocol):
    """Watches for model extraction. Neither method raises for evidence that can't be had."""

    async def look(self, call: Call, caller: Caller | None) -> Extraction:
        """Take a call into account, and return what it looks like. Without a caller only the call is looked at."""
        ...

    async def answered(self, caller: Caller, extraction: Extraction, usage: Usage) -> None:
        """Take into account what an admitted call was answered with."""
        ...


class BucketStore(Protocol):
    """Token buckets. One answer for all charges of a call: every charge is taken, or none.

    What is taken under a lease is held until it is adjusted, and given back when the lease has run out: before the next
    charge is taken from the same bucket.
    """

    async def take(
        self, charges: Sequence[Charge], *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits.

        The token charges are held under the lease. When an enforced charge is refused nothing is taken, no shadow
        charge is tried, and the adjustments `after` which the charges are taken are not made either. Raises
        UnavailableError: then nothing was taken, unless only the answer was lost; nothing is taken afterwards.
        """
        ...

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """End holds: charge what is still owed, even into debt, and give back what was not used.

        Raises UnavailableError: the settlement may then have been made. It must only be tried again with nothing to
        pay for holds that are there no more, unless it surely has not run.
        """
        ...

    async def renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        """Let the leases of those holds that are still there run from now on. Raises UnavailableError."""
        ...


@quick
@dataclass(frozen=True, slots=True)
class Judged:
    """One call judged: what the watchers see."""

    call: Call
    decision: Decision
    found: Found
    """What the directory knows of the credential."""
    country: str | None
    tier: str
    taken: Taken
    reservation: Reservation
    """What was taken, to be settled when the answer has ended."""
    caller: Caller | None
    """Who called, for detection; None for whoever the policy can't let in for want of an account."""
    extraction: Extraction
    took_us: int
    """Time from the call's arrival at the loop to its decision."""
    decided_us: int
    """The part of it that was the decision itself, from facts to `Decision`."""
    watched: Decision | None = None
    """What the policy would have done that only watched. None without a candidate, and when no rule was asked."""
    candidate_acted: bool = False
    """The candidate is the policy that acted, and the live one watched."""

    @property
    def account(self) -> Account | None:
        """Return the account that called."""
        return self.found.account

    @property
    def live_and_candidate(self) -> tuple[Decision, Decision] | None:
        """Return what the live policy and the candidate each said; None where only one was asked."""
        if self.watched is None:
            return None
        return (self.watched, self.decision) if self.candidate_acted else (self.decision, self.watched)


@quick
@dataclass(frozen=True, slots=True)
class Settled:
    """One admitted call that has ended. `usage` is None when nothing was served."""

    judged: Judged
    usage: Usage | None
    status: int | None
    """The upstream's status; None when it could not be reached."""


@dataclass(frozen=True, slots=True)
class Passing:
    """How long an admitted call took, in seconds."""

    overhead_s: float
    """In the fence, before it was sent on."""
    upstream_s: float
    """From there to the end of the answer."""
    first_byte_s: float | None
    """From there to the first of the answer; None when none came."""


class Observer(Protocol):
    """A watcher: metrics, audit, recording. It must not wait and must not raise.

    One that inherits from it has to see calls judged and ended; it does nothing about what else it does not define.
    """

    def judged(self, judged: Judged) -> None:
        """See a call judged."""
        ...

    def settled(self, settled: Settled) -> None:
        """See an admitted call end."""
        ...

    def unjudged(self, provider: str, operation: str, effect: Effect) -> None:
        """See a call refused without a judgement: malformed, over a limit, or by a fault of the fence."""
        return

    def store_failed(self, throttle: str, outcome: str) -> None:
        """See a throttle whose store did not answer, and what came of it.

        deny, allow or local at the beginning of a call or in its middle; late for a settlement that is tried again,
        and unsettled when it was given up.
        """
        return

    def stream_cut(self, throttle: str) -> None:
        """See a stream ended because that throttle has nothing left for it."""
        return

    def store_answered(self, took_us: int) -> None:
        """See how long the store took."""
        return

    def answer_began(self) -> None:
        """See an upstream's answer begin to stream through."""
        return

    def passed(self, provider: str, passing: Passing) -> None:
        """See how long an admitted call took; its answer has ended."""
        return

    def connection_cut(self, reason: str) -> None:
        """See a connection refused or cut for a limit; the reason is the limit's name in the settings."""
        return

    def hook_failed(self) -> None:
        """See the fence itself fail: a bug, answered with 503."""
        return
