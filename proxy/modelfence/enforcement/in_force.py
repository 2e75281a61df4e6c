"""What calls are judged by: the policy, a candidate beside it, the accounts and the databases.

Rule: a call is judged by the same from its beginning to its end, whatever comes meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelfence.core.account import STATUSES, Account
from modelfence.core.canary import Canary
from modelfence.core.decision import nobody_unknown_is_let_in, plainly_refuses
from modelfence.core.policy import Policy
from modelfence.enforcement.ports import AccountDirectory, GeoDatabase


@dataclass(frozen=True, slots=True)
class Side:
    """A policy that acts, or watches what another one does; and whom it refuses whatever else is true of a call.

    Whoever can't be let in must not be able to teach the detector anything, nor to fill its tables: it costs him
    nothing to be refused.
    """

    policy: Policy
    refused: frozenset[str] = field(init=False)
    """The statuses of accounts that are plainly refused."""
    unknown_may_pass: bool = field(init=False)

    def __post_init__(self) -> None:
        refused = frozenset(status for status in STATUSES if plainly_refuses(self.policy, status))
        object.__setattr__(self, "refused", refused)
        object.__setattr__(self, "unknown_may_pass", not nobody_unknown_is_let_in(self.policy))

    def may_let_in(self, account: Account | None) -> bool:
        """Say whether calls of this account are worth the detector's attention."""
        return self.unknown_may_pass if account is None else account.status not in self.refused


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy that is to come, and the accounts it is tried on."""

    side: Side
    canary: Canary


@dataclass(frozen=True, slots=True)
class InForce:
    """What calls are judged by. Without a candidate the policy always acts, and nothing watches it."""

    policy: Policy
    accounts: AccountDirectory
    geo: GeoDatabase
    candidate: Candidate | None = None
    live: Side = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "live", Side(self.policy))

    @property
    def acting(self) -> Sequence[Policy]:
        """Return the policies that act for somebody."""
        candidate = self.candidate
        return (self.policy, candidate.side.policy) if candidate and candidate.canary.percent else (self.policy,)

    def sides(self, account: Account | None) -> tuple[Side, Side | None]:
        """Return which policy acts on an account's calls, and which only watches them.

        The live one acts for whoever has no account: a candidate is tried on those who are known, and no stranger
        can try many times until it is on him.
        """
        candidate = self.candidate
        if candidate is None:
            return self.live, None
        if account is not None and candidate.canary.holds(account.id):
            return candidate.side, self.live
        return self.live, candidate.side
