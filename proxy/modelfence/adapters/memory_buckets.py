"""Token buckets in this process's memory: for one worker, for replay on a virtual clock, and for tests.

Rule: nothing here awaits, so each call is atomic.

The table is bounded. Full buckets need no state and are dropped little by little: every charge adds one name at most
and looks at the next two in turn, so no call ever waits for the whole table. When the bound is reached and the next
hundred too are all in use, a bucket that has no state yet is unavailable: doubt never opens the fence.
"""

from collections import deque
from collections.abc import Callable, Sequence

from modelfence.core import bucket
from modelfence.core.charge import Adjustment, Balance, Charge, Refused, Taken
from modelfence.enforcement.ports import UnavailableError

_LOOKS_PER_CHARGE = 2
_LOOKS_AT_THE_BOUND = 100


class MemoryBuckets:
    """A `BucketStore` on `clock`, which returns microseconds and should not step back."""

    def __init__(self, clock: Callable[[], int], *, max_buckets: int = 1_000_000) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._full_at_us: dict[str, int] = {}
        self._in_turn: deque[str] = deque()
        """Every name of the table once, the one to look at next first."""

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits.

        When an enforced charge is refused nothing is taken, and no shadow charge is tried. Raises UnavailableError
        when the table is full, having taken nothing.
        """
        now_us = self._clock()
        changed: dict[str, int] = {}
        shadow_refused: tuple[Refused, ...] = ()
        refused = self._try([charge for charge in charges if not charge.shadow], changed, now_us)
        if refused:
            changed.clear()
        else:
            shadow_refused = self._try([charge for charge in charges if charge.shadow], changed, now_us)
        self._write(changed, now_us)
        return Taken(refused, shadow_refused, tuple(self._balance(charge, now_us) for charge in charges))

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """Charge what is still owed, even into debt, and give back what was not used.

        Raises UnavailableError when the table is full, having changed nothing.
        """
        now_us = self._clock()
        changed: dict[str, int] = {}
        for adjustment in adjustments:
            name = adjustment.charge.bucket
            before_us = changed.get(name, self._full_at_us.get(name, 0))
            changed[name] = bucket.settle(before_us, now_us=now_us, owed_us=adjustment.owed_us)
        self._write(changed, now_us)

    def _try(self, charges: Sequence[Charge], changed: dict[str, int], now_us: int) -> tuple[Refused, ...]:
        """Put the new state of those that fit into `changed`, where the next sees it; return the others."""
        refused = []
        for charge in charges:
            name = charge.bucket
            before_us = changed.get(name, self._full_at_us.get(name, 0))
            changed[name], wait_us = bucket.take(
                before_us, now_us=now_us, cost_us=charge.cost_us, burst_us=charge.rate.burst_us
            )
            if wait_us:
                refused.append(Refused(charge, wait_us))
        return tuple(refused)

    def _write(self, changed: dict[str, int], now_us: int) -> None:
        self._drop_full(_LOOKS_PER_CHARGE * len(changed), now_us)
        if self._room_after(changed, now_us) < 0:
            self._drop_full(_LOOKS_AT_THE_BOUND, now_us)
        if self._room_after(changed, now_us) < 0:
            message = f"all {self._max_buckets} buckets are in use"
            raise UnavailableError(message)
        for name, full_at_us in changed.items():
            if name in self._full_at_us:
                self._full_at_us[name] = full_at_us
            elif full_at_us > now_us:
                self._full_at_us[name] = full_at_us
                self._in_turn.append(name)

    def _room_after(self, changed: dict[str, int], now_us: int) -> int:
        """Return how many more buckets would fit, were these kept; negative when they would not fit themselves."""
        new = sum(name not in self._full_at_us and full_at_us > now_us for name, full_at_us in changed.items())
        return self._max_buckets - len(self._full_at_us) - new

    def _drop_full(self, looks: int, now_us: int) -> None:
        for _ in range(min(looks, len(self._in_turn))):
            name = self._in_turn.popleft()
            if self._full_at_us[name] > now_us:
                self._in_turn.append(name)
            else:
                del self._full_at_us[name]

    def _balance(self, charge: Charge, now_us: int) -> Balance:
        full_at_us = self._full_at_us.get(charge.bucket, 0)
        return Balance(charge, bucket.left_us(full_at_us, now_us=now_us, burst_us=charge.rate.burst_us))
