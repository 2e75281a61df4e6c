"""Token buckets as one integer: the microsecond at which the bucket is full again.

This is the generic cell rate algorithm (ATM Forum Traffic Management 4.0, 1996, "virtual scheduling"), as redis-cell
uses it: a bucket that was never touched needs no state, and time is an argument. The Redis script repeats
`take` and `settle` line by line.

Why integers: both implementations must answer alike, so every amount is turned into whole microseconds here, once.
Amounts are rounded down and so is the capacity; `burst` calls of one unit are then exactly what a full bucket
admits while burst x (fraction of a microsecond lost per unit) stays below one unit's time, which holds for every
rate up to 1,000 a second with a burst of a thousand periods, and for rates that divide a second at any speed.
"""

import math
from dataclasses import dataclass

SECOND_US = 1_000_000
PERIODS_US = {
    "second": SECOND_US,
    "minute": 60 * SECOND_US,
    "hour": 3_600 * SECOND_US,
    "day": 86_400 * SECOND_US,
}


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` units flow back each `period_us`; the bucket holds `burst` units. All are positive."""

    amount: float
    period_us: int
    burst: float

    def time_us(self, units: float) -> int:
        """Return how long that many units take to flow back, in whole microseconds."""
        return math.floor(units * self.period_us / self.amount)

    @property
    def burst_us(self) -> int:
        """Return how long an empty bucket takes to fill, in microseconds; at least one."""
        return max(1, self.time_us(self.burst))

    def units(self, time_us: int) -> float:
        """Return how many units flow back in that time."""
        return time_us * self.amount / self.period_us


def take(full_at_us: int, *, now_us: int, cost_us: int, burst_us: int) -> tuple[int, int]:
    """Return the new state and 0, or the old state and the microseconds to wait until `cost_us` would be there."""
    would_be_full_at_us = max(full_at_us, now_us) + cost_us
    wait_us = would_be_full_at_us - now_us - burst_us
    if wait_us > 0:
        return full_at_us, wait_us
    return would_be_full_at_us, 0


def settle(full_at_us: int, *, now_us: int, owed_us: int) -> int:
    """Return the state after charging `owed_us` more, even into debt, or giving back when it is negative."""
    return max(full_at_us, now_us) + owed_us


def left_us(full_at_us: int, *, now_us: int, burst_us: int) -> int:
    """Return what the bucket still holds, as microseconds of flow; negative in debt."""
    return burst_us - max(0, full_at_us - now_us)
