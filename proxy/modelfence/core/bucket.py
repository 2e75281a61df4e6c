"""Token buckets as one integer: the microsecond at which the bucket is full again.

This is the generic cell rate algorithm (ATM Forum Traffic Management 4.0, 1996, "virtual scheduling"), as redis-cell
uses it: a bucket that was never touched needs no state, and time is an argument. The Redis script repeats
`take` and `settle` line by line.

Why integers: both implementations must answer alike, so every amount is turned into whole microseconds here, once.
Amounts are rounded down, and so is the capacity: `burst` calls of one unit always fit into a full bucket, and one
more does not while burst x (fraction of a microsecond lost per unit) stays below one unit's time. That holds for
every rate up to 1,000 a second with a burst of up to 1,000, and at any burst for rates whose unit takes whole
microseconds (1,000,000 per second, 60 per minute, 90 per hour). Elsewhere a call is cheaper by less than a microsecond.
Nothing but zero units is free: what is faster than a unit a microsecond is taken as one unit a microsecond.
"""

import math
from dataclasses import dataclass
from functools import cached_property

SECOND_US = 1_000_000
PERIODS_US = {
    "second": SECOND_US,
    "minute": 60 * SECOND_US,
    "hour": 3_600 * SECOND_US,
    "day": 86_400 * SECOND_US,
}
MOST_US = 2**51
"""No bucket takes longer than this to fill, and none is deeper in debt: 71 years. Today's microseconds, a full bucket
and one more settlement then stay below 2**53, up to which the doubles of Lua count exactly, until the year 2112."""


@dataclass(frozen=True)
class Rate:
    """`amount` units flow back each `period_us`; the bucket holds `burst` units. All are positive."""

    amount: float
    period_us: int
    burst: float

    def time_us(self, units: float) -> int:
        """Return how long that many units take to flow back, in whole microseconds.

        Anything above zero takes one at least; what is not a number takes the most there is.
        """
        if units <= 0:
            return 0
        return max(1, math.floor(min(MOST_US, units * self.period_us / self.amount)))

    @cached_property
    def burst_us(self) -> int:
        """Return how long an empty bucket takes to fill, in microseconds; at least one."""
        return self.time_us(self.burst)

    def units(self, time_us: int) -> float:
        """Return how many units flow back in that time."""
        return time_us * self.amount / self.period_us


def take(full_at_us: int, *, now_us: int, cost_us: int, burst_us: int) -> tuple[int, int]:
    """Return the new state and 0, or the old state and the microseconds to wait until `cost_us` would be there.

    `cost_us` is at most `burst_us`; more would never be there.
    """
    would_be_full_at_us = max(full_at_us, now_us) + cost_us
    wait_us = would_be_full_at_us - now_us - burst_us
    if wait_us > 0:
        return full_at_us, wait_us
    return would_be_full_at_us, 0


def settle(full_at_us: int, *, now_us: int, owed_us: int) -> int:
    """Return the state after charging `owed_us` more, even into debt, or giving back when it is negative.

    A state in the past is a full bucket, so nothing can be given back beyond it.
    """
    return min(max(full_at_us, now_us) + owed_us, now_us + MOST_US)


def left_us(full_at_us: int, *, now_us: int, burst_us: int) -> int:
    """Return what the bucket still holds, as microseconds of flow; negative in debt."""
    return burst_us - max(0, full_at_us - now_us)
