"""Token buckets in this process's memory: for one worker, for replay on a virtual clock, and for tests.

Rule: nothing here awaits, so each call is atomic.

The table is bounded. Full buckets from which nothing is held need no state and are dropped little by little: every
charge adds one name at most and looks at the next two in turn, so no call ever waits for the whole table. When the
bound is reached and the next hundred too are all in use, a bucket that has no state yet is unavailable: doubt never
opens the fence. The holds are bounded by the calls under way and those of the last lease.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from modelfence.core import bucket
from modelfence.core.charge import Adjustment, Balance, Charge, Hold, Lease, Refused, Taken
from modelfence.enforcement.ports import UnavailableError

_LOOKS_PER_CHARGE = 2
_LOOKS_AT_THE_BOUND = 100
_LAPSED_AT_ONCE = 100
"""So many lapsed holds of a bucket are given back by one call, as by the Redis store; the next one gives back more."""
_NOT_HELD = (0, 0)


@dataclass(slots=True)
class _State:
    """One bucket: the microsecond at which it is full again, and what is held of it until when."""

    full_at_us: int = 0
    held: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The amount and the end of each hold, by its entry in the list of leases; the first to end first."""

    def is_needed(self, now_us: int) -> bool:
        return self.full_at_us > now_us or bool(self.held)


class MemoryBuckets:
    """A `BucketStore` on `clock`, which returns microseconds and should not step back.

    Leases are taken to last equally long, all of them.
    """

    def __init__(self, clock: Callable[[], int], *, max_buckets: int = 1_000_000) -> None:
        self._clock = clock
        self._max_buckets = max_buckets
        self._states: dict[str, _State] = {}
        self._in_turn: deque[str] = deque()
        """Every name of the table once, the one to look at next first."""

    async def take(
        self, charges: Sequence[Charge], *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits.

        Raises UnavailableError when the table is full, having taken nothing.
        """
        now_us = self._clock()
        held_of = [*(one.hold.charge for one in after), *charges]
        self._make_room({charge.bucket for charge in held_of}, now_us)
        self._give_back_lapsed(held_of, now_us)
        changed = self._adjusted(after, now_us)
        shadow: Sequence[tuple[Charge, int]] = ()
        enforced = self._try([charge for charge in charges if not charge.shadow], changed, now_us)
        refused = _refused(enforced)
        if not refused:
            shadow = self._try([charge for charge in charges if charge.shadow], changed, now_us)
            self._write(changed)
            self._end(after)
            if lease is not None:
                self._hold([charge for charge, wait_us in (*enforced, *shadow) if not wait_us], lease, now_us)
        return Taken(refused, _refused(shadow), tuple(self._balance(charge, now_us) for charge in charges))

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """End holds: charge what is still owed, even into debt, and give back what was not used.

        Raises UnavailableError when the table is full, having changed nothing.
        """
        now_us = self._clock()
        held_of = [one.hold.charge for one in adjustments]
        self._make_room({charge.bucket for charge in held_of}, now_us)
        self._give_back_lapsed(held_of, now_us)
        self._write(self._adjusted(adjustments, now_us))
        self._end(adjustments)

    async def renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        """Let the leases of those holds that are still there run from now on."""
        now_us = self._clock()
        for hold in holds:
            state = self._states.get(hold.charge.bucket)
            _held_us, ends_us = state.held.get(hold.entry, _NOT_HELD) if state else _NOT_HELD
            if state and ends_us > now_us:
                del state.held[hold.entry]  # to the end: it is now the last to run out
                state.held[hold.entry] = (hold.held_us, now_us + lasts_us)

    def _try(self, charges: Sequence[Charge], changed: dict[str, int], now_us: int) -> Sequence[tuple[Charge, int]]:
        """Put the new state of those that fit into `changed`, where the next sees it; return the wait of each."""
        waits = []
        for charge in charges:
            name = charge.bucket
            before_us = changed.get(name, self._states[name].full_at_us)
            changed[name], wait_us = bucket.take(
                before_us, now_us=now_us, cost_us=charge.cost_us, burst_us=charge.rate.burst_us
            )
            waits.append((charge, wait_us))
        return waits

    def _hold(self, charges: Sequence[Charge], lease: Lease, now_us: int) -> None:
        for charge in charges:
            if charge.is_reserved:
                hold = Hold(charge, lease.id, charge.cost_us)
                self._states[charge.bucket].held[hold.entry] = (hold.held_us, now_us + lease.lasts_us)

    def _give_back_lapsed(self, charges: Sequence[Charge], now_us: int) -> None:
        for name in {charge.bucket for charge in charges if charge.is_reserved}:
            state = self._states[name]
            for entry, (held_us, ends_us) in list(islice(state.held.items(), _LAPSED_AT_ONCE)):
                if ends_us > now_us:
                    break
                del state.held[entry]
                state.full_at_us = bucket.settle(state.full_at_us, now_us=now_us, owed_us=-held_us)

    def _adjusted(self, adjustments: Sequence[Adjustment], now_us: int) -> dict[str, int]:
        """Return the states after these."""
        changed: dict[str, int] = {}
        for adjustment in adjustments:
            name = adjustment.hold.charge.bucket
            state = self._states[name]
            owed_us = adjustment.owed_us if adjustment.hold.entry in state.held else adjustment.lapsed_owed_us
            changed[name] = bucket.settle(changed.get(name, state.full_at_us), now_us=now_us, owed_us=owed_us)
        return changed

    def _write(self, changed: dict[str, int]) -> None:
        for name, full_at_us in changed.items():
            self._states[name].full_at_us = full_at_us

    def _end(self, adjustments: Sequence[Adjustment]) -> None:
        for adjustment in adjustments:
            self._states[adjustment.hold.charge.bucket].held.pop(adjustment.hold.entry, None)

    def _make_room(self, names: set[str], now_us: int) -> None:
        """Have a state for each of these. Raises UnavailableError."""
        self._drop_full(_LOOKS_PER_CHARGE * len(names), now_us)
        new = [name for name in names if name not in self._states]
        if len(self._states) + len(new) > self._max_buckets:
            self._drop_full(_LOOKS_AT_THE_BOUND, now_us)
            new = [name for name in names if name not in self._states]
        if len(self._states) + len(new) > self._max_buckets:
            message = f"all {self._max_buckets} buckets are in use"
            raise UnavailableError(message, may_have_run=False)
        for name in new:
            self._states[name] = _State()
            self._in_turn.append(name)

    def _drop_full(self, looks: int, now_us: int) -> None:
        for _ in range(min(looks, len(self._in_turn))):
            name = self._in_turn.popleft()
            if self._states[name].is_needed(now_us):
                self._in_turn.append(name)
            else:
                del self._states[name]

    def _balance(self, charge: Charge, now_us: int) -> Balance:
        full_at_us = self._states[charge.bucket].full_at_us
        return Balance(charge, bucket.left_us(full_at_us, now_us=now_us, burst_us=charge.rate.burst_us))


def _refused(waits: Sequence[tuple[Charge, int]]) -> tuple[Refused, ...]:
    return tuple(Refused(charge, wait_us) for charge, wait_us in waits if wait_us)
