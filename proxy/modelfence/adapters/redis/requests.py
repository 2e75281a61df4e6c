"""What the script `take.lua` is asked, of one slot, and what it answers.

Rule: values in, values out; nothing here sends anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from modelfence.core import bucket
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Refused
from modelfence.core.quick import quick

LAPSED_AT_ONCE = 100
"""So many lapsed holds of a bucket are given back by one call; the next one gives back more. It bounds the script."""

_NO_HOLD = ""
_NO_LIST = "-"


@quick
@dataclass(frozen=True, slots=True)
class Taking:
    """One charge as the script sees it. `entry` stands for what is held in the bucket's list of leases."""

    charge: Charge
    cost_us: int
    burst_us: int
    entry: str
    shadow: bool

    @classmethod
    def of(cls, charge: Charge, lease: Lease | None) -> "Taking":
        """Return a charge that is held under the lease, if it is one of tokens and there is a lease."""
        entry = _NO_LIST
        if charge.is_reserved:
            entry = Hold(charge, lease.id, charge.cost_us).entry if lease else _NO_HOLD
        return cls(charge, charge.cost_us, charge.rate.burst_us, entry, charge.shadow)

    @property
    def is_held(self) -> bool:
        """Say whether it comes back by itself."""
        return self.entry not in (_NO_HOLD, _NO_LIST)


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks of one slot. Its shadow takings come after all others."""

    after: Sequence[Adjustment]
    takings: Sequence[Taking]
    lease: Lease | None = None

    def keys(self, prefix: str) -> list[str]:
        """Return the keys of the script."""
        keys: list[str] = []
        for adjustment in self.after:
            keys += _keys(prefix, adjustment.hold.charge, with_list=adjustment.hold.charge.is_reserved)
        for taking in self.takings:
            keys += _keys(prefix, taking.charge, with_list=taking.entry != _NO_LIST)
        return keys

    def arguments(self) -> list[int | str]:
        """Return the arguments of the script, without the first."""
        enforced = sum(not taking.shadow for taking in self.takings)
        lasts_us = self.lease.lasts_us if self.lease else 0
        counts = (len(self.after), len(self.takings), enforced)
        arguments: list[int | str] = [bucket.MOST_US, LAPSED_AT_ONCE, *counts, lasts_us]
        for one in self.after:
            entry = one.hold.entry if one.hold.charge.is_reserved else _NO_LIST
            arguments += (one.owed_us, one.lapsed_owed_us, entry)
        for taking in self.takings:
            arguments += (taking.cost_us, taking.burst_us, taking.entry)
        return arguments

    def answer(self, now_us: int, numbers: Sequence[int]) -> "Answer":
        """Return what the script's answer says. Raises ValueError for what is no answer to this."""
        count = len(self.after)
        if len(numbers) != count + 2 * len(self.takings) or not {*map(type, numbers)} <= {int}:
            raise ValueError("what was answered is no answer to what was asked")
        return Answer(self, now_us, numbers[:count], numbers[count::2], numbers[count + 1 :: 2])


@dataclass(frozen=True)
class Answer:
    """What the script said: whether the hold of each adjustment was there; each taking's bucket, and its wait."""

    request: Request
    now_us: int
    found: Sequence[int]
    full_at_us: Sequence[int]
    waits_us: Sequence[int]

    @cached_property
    def refused(self) -> Sequence[Refused]:
        """Return the charges that did not fit, those in shadow too."""
        if not any(self.waits_us):
            return ()
        waits = zip(self.request.takings, self.waits_us, strict=True)
        return [Refused(taking.charge, wait_us) for taking, wait_us in waits if wait_us]

    @property
    def is_refused(self) -> bool:
        """Say whether nothing was taken."""
        return any(not one.charge.shadow for one in self.refused)

    def left_us(self) -> dict[str, int]:
        """Return what the buckets hold, by their names."""
        return {
            taking.charge.bucket: bucket.left_us(full_at_us, now_us=self.now_us, burst_us=taking.charge.rate.burst_us)
            for taking, full_at_us in zip(self.request.takings, self.full_at_us, strict=True)
        }

    def undoing(self) -> Request:
        """Return what gives back all that was taken, and then says what the buckets hold.

        The adjustments are taken back too: holds they ended are there again, for as long as a new lease lasts.
        """
        request = self.request
        lease_id = request.lease.id if request.lease else ""
        takings = list(zip(request.takings, self.waits_us, strict=True))
        adjustments = list(zip(request.after, self.found, strict=True))
        back = [_giving_back(taking, lease_id) for taking, wait_us in takings if not wait_us]
        back += [_reverse(one, found=bool(found)) for one, found in adjustments]
        looks = [Taking(one.charge, 0, one.burst_us, _NO_LIST, shadow=True) for one in request.takings]
        # A burst that is never too small: what was held is held again also from a bucket in debt.
        again = [
            Taking(one.hold.charge, 0, bucket.MOST_US, one.hold.entry, shadow=True)
            for one, found in adjustments
            if found
        ]
        return Request(back, [*looks, *again], request.lease)


def by_slot[Item](items: Iterable[tuple[int, Item]]) -> dict[int, list[Item]]:
    """Return the items of each slot."""
    slots: dict[int, list[Item]] = {}
    for slot, item in items:
        slots.setdefault(slot, []).append(item)
    return slots


def bucket_key(prefix: str, charge: Charge) -> str:
    """Return the key of a bucket."""
    return f"{prefix}:bucket:{charge.bucket}"


def list_key(prefix: str, charge: Charge) -> str:
    """Return the key of a bucket's list of leases."""
    return f"{prefix}:lease:{charge.bucket}"


def _keys(prefix: str, charge: Charge, *, with_list: bool) -> tuple[str, ...]:
    if with_list:
        return bucket_key(prefix, charge), list_key(prefix, charge)
    return (bucket_key(prefix, charge),)


def _giving_back(taking: Taking, lease_id: str) -> Adjustment:
    """Return the end of a taking as if it had not been. One whose lease ran out has already been given back."""
    hold = Hold(taking.charge, lease_id, taking.cost_us)
    return Adjustment(hold, -taking.cost_us, 0 if taking.is_held else -taking.cost_us)


def _reverse(adjustment: Adjustment, *, found: bool) -> Adjustment:
    owed_us = adjustment.owed_us if found else adjustment.lapsed_owed_us
    return Adjustment(Hold(adjustment.hold.charge, "", 0), -owed_us, -owed_us)
