"""What a call takes from its buckets, and what the store says to it."""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from modelfence.core.bucket import Rate
from modelfence.core.quick import quick

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.:@/+()-]{1,128}")


class Unit(StrEnum):
    REQUESTS = "requests"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    TOTAL_TOKENS = "total_tokens"


class OnStoreFailure(StrEnum):
    DENY = "deny"
    ALLOW = "allow"
    LOCAL = "local"


@quick
@dataclass(frozen=True, slots=True)
class Demand:
    """What a call is expected to use, in tokens: what is reserved before the answer is known."""

    input_tokens: int = 0
    output_tokens: int = 0

    def amount(self, unit: Unit) -> int:
        """Return how many units of that kind it needs; every call is one request."""
        match unit:
            case Unit.REQUESTS:
                return 1
            case Unit.INPUT_TOKENS:
                return self.input_tokens
            case Unit.OUTPUT_TOKENS:
                return self.output_tokens
            case Unit.TOTAL_TOKENS:
                return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Charge:
    """One amount to take from one bucket, named by its throttle and key. `amount` is at most the burst."""

    throttle: str
    key: str
    rate: Rate
    amount: float = 1.0
    unit: Unit = Unit.REQUESTS
    weight: float | None = 1.0
    """What one request or token costs, in units of the bucket. None where that could not be found out: anything that
    is used then costs the whole amount, and nothing more."""
    shadow: bool = False
    """Taken by itself after all others, and never the reason for a refusal."""
    on_store_failure: OnStoreFailure = OnStoreFailure.DENY
    watching: bool = False
    """Of a policy that only watches. Such a charge is in shadow, too, and has a bucket of its own."""

    @cached_property
    def cost_us(self) -> int:
        """Return the amount as microseconds of the bucket's flow; more than the burst counts as the burst."""
        return min(self.rate.time_us(self.amount), self.rate.burst_us)

    @cached_property
    def bucket(self) -> str:
        """Return the name of the bucket, the same for every call that shares it.

        The key stands in braces, so that throttles with the same key share a slot of a Redis Cluster. Keys come from
        callers: one that is long, or holds anything but the letters of ordinary identifiers (a brace, say, which
        would move the slot), is named by its SHA-256. `#` is in no plain key, so none can pose as another's hash.

        Which policy acts makes no difference to the name: an account, or a campaign on both sides of a canary, has one
        budget. What would have been charged is kept apart, and no id of a throttle has a colon.
        """
        key = self.key
        if not _PLAIN_KEY.fullmatch(key):
            key = "#" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{{{key}}}:watching:{self.throttle}" if self.watching else f"{{{key}}}:{self.throttle}"

    @property
    def as_watched(self) -> "Charge":
        """Return the charge of a policy that only watches."""
        return replace(self, shadow=True, watching=True)

    @property
    def is_reserved(self) -> bool:
        """Say whether the amount is a reservation, settled to what is used in the end. A request is simply made."""
        return self.unit is not Unit.REQUESTS

    def used_us(self, used: Demand) -> int:
        """Return what that usage costs in all, in microseconds of flow; it may be more than the burst."""
        if self.unit is Unit.REQUESTS:
            return self.cost_us
        if self.weight is None:
            return self.cost_us if used.amount(self.unit) else 0
        return self.rate.time_us(self.cost(used))

    def cost(self, used: Demand) -> float:
        """Return what settling to `used` costs in all, in units of the bucket."""
        units = used.amount(self.unit)
        if self.unit is Unit.REQUESTS or (self.weight is None and units):
            return self.amount
        return units * (self.weight or 0.0)


@quick
@dataclass(frozen=True, slots=True)
class Lease:
    """For how long what a call reserves is kept for it. `id` is new for every taking, also of the same call."""

    id: str
    lasts_us: int


@quick
@dataclass(frozen=True, slots=True)
class Hold:
    """What was taken from one bucket under a lease and is not used up yet: given back when the lease runs out."""

    charge: Charge
    lease: str
    held_us: int

    @property
    def entry(self) -> str:
        """Return what stands for it in the bucket's list of leases."""
        return f"{self.lease}:{self.held_us}"


@quick
@dataclass(frozen=True, slots=True)
class Adjustment:
    """The end of a hold: what its call still owes to the bucket, in microseconds of flow; negative gives back."""

    hold: Hold
    owed_us: int
    lapsed_owed_us: int
    """What it owes instead when the hold is there no more: its lease ran out, and all it held was given back."""


@quick
@dataclass(frozen=True, slots=True)
class Refused:
    """A charge that did not fit, and how long until it would."""

    charge: Charge
    wait_us: int


@quick
@dataclass(frozen=True, slots=True)
class Balance:
    """A bucket after the call: what it still holds and when it is full again, in microseconds of flow."""

    charge: Charge
    left_us: int

    @property
    def left(self) -> int:
        """Return the whole units left, never below zero."""
        return max(0, math.floor(self.charge.rate.units(self.left_us)))

    @property
    def full_in_us(self) -> int:
        """Return the microseconds until the bucket is full."""
        return self.charge.rate.burst_us - self.left_us


@quick
@dataclass(frozen=True, slots=True)
class Taken:
    """The store's answer: every charge was taken (shadow ones each for itself), or none."""

    refused: Sequence[Refused] = ()
    shadow_refused: Sequence[Refused] = ()
    balances: Sequence[Balance] = field(default=())
    """One for each charge asked for, in that order."""

    @property
    def allowed(self) -> bool:
        """Say whether the charges were taken."""
        return not self.refused

    def parted(self) -> tuple["Taken", "Taken"]:
        """Return the answer to the policy that acts, and to one that watches as if it had acted."""
        own = tuple(one for one in self.shadow_refused if not one.charge.watching)
        balances = tuple(one for one in self.balances if not one.charge.watching)
        return Taken(self.refused, own, balances), Taken(
            tuple(one for one in self.shadow_refused if one.charge.watching)
        )

    @property
    def longest(self) -> Refused | None:
        """Return the refusal with the longest wait."""
        return max(self.refused, key=lambda refused: refused.wait_us, default=None)

    @property
    def refused_by(self) -> Charge | None:
        """Return the charge that refused, the one with the longest wait when there are several."""
        return self.longest.charge if self.longest else None
