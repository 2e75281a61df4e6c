"""What one admitted call holds from its buckets, from its admission to the end of its answer.

A stream pays as it goes. It begins with one step reserved, and when that much has passed it takes another: the last
step is held under a lease, everything before it is used up. So whatever becomes of the worker, what comes back when the
lease runs out is the step that was not used yet.

Each taking has a lease of its own, because an answer may be lost: what was then taken under that lease is in nobody's
books, and comes back by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelfence.core.charge import Adjustment, Charge, Demand, Hold, Lease, Unit

_COUNT_OUTPUT = (Unit.OUTPUT_TOKENS, Unit.TOTAL_TOKENS)
_LIMIT_IS_IGNORED = 2
"""An answer that is this many times longer than the call's own limit comes from an upstream that knows no limits."""


@dataclass(slots=True)
class _Part:
    """What is held of one bucket."""

    charge: Charge
    hold: Hold
    taken_us: int
    """All that was taken from it for this call."""
    is_sure: bool = True
    """If the hold is not there any more, its lease ran out. Otherwise it may also have been replaced."""

    def adjustment(self, owed_us: int) -> Adjustment:
        return Adjustment(self.hold, owed_us, owed_us + (self.hold.held_us if self.is_sure else 0))


class Reservation:
    """The holds of one call. `charges` are those that were taken when it was admitted.

    `output_tokens` were reserved for the answer; `limit` is the most tokens the upstream was told to answer with, None
    where it was not told.
    """

    def __init__(
        self,
        call_id: str,
        charges: Sequence[Charge] = (),
        *,
        output_tokens: int = 0,
        limit: int | None = None,
        locally: bool = False,
    ) -> None:
        self.charges = tuple(charges)
        self.locally = locally
        """Taken from this process, because the store did not answer."""
        self.on_credit = False
        """A step was passed on unpaid, because the store did not answer."""
        self._call_id = call_id
        self._takings = 0
        self._limit = limit
        self._charged_tokens = self._allowed_tokens = output_tokens
        lease = lease_id(call_id, 0)
        self._parts = [
            _Part(charge, Hold(charge, lease, charge.cost_us), charge.cost_us)
            for charge in charges
            if charge.is_reserved
        ]
        self._pays_for_output = any(_steps(part.charge) for part in self._parts)

    @property
    def holds(self) -> Sequence[Hold]:
        """Return what is held."""
        return [part.hold for part in self._parts]

    def is_used_up(self, output_tokens: int) -> bool:
        """Say whether a stream that passed so many tokens has to pay before more may pass.

        What a limit covers in whole needs no step: the upstream keeps to it, and what passed is an estimate.
        """
        if not self._pays_for_output or output_tokens < self._allowed_tokens:
            return False
        covered = self._limit is not None and self._charged_tokens >= self._limit
        return not covered or output_tokens >= _LIMIT_IS_IGNORED * (self._limit or 0)

    def next_step(self, output_tokens: int, step_tokens: int) -> tuple[int, Sequence[Charge]]:
        """Return how many tokens a stream may have passed after its next step, and the charges of that step."""
        to_tokens = output_tokens + step_tokens
        if self._limit is not None and self._charged_tokens < self._limit:
            to_tokens = min(to_tokens, max(output_tokens, self._limit))
        return to_tokens, self._step(to_tokens - self._charged_tokens)

    def unpaid_step(self, to_tokens: int) -> Sequence[Charge]:
        """Return the charges of a step alone, without those before it that were passed on unpaid."""
        return self._step(to_tokens - self._allowed_tokens)

    def next_lease(self, lasts_us: int) -> Lease:
        """Return the lease for the next taking."""
        self._takings += 1
        return Lease(lease_id(self._call_id, self._takings), lasts_us)

    def used_up(self) -> Sequence[Adjustment]:
        """Return the end of the holds that a step replaces: all of them was used."""
        return [part.adjustment(0) for part in self._parts if _steps(part.charge)]

    def stepped(self, to_tokens: int, lease: Lease, taken: Mapping[str, Charge]) -> None:
        """Remember a step that was taken: its charges by bucket, without those in shadow that did not fit."""
        self._charged_tokens = self._allowed_tokens = to_tokens
        self.on_credit = False
        for part in self._parts:
            if not _steps(part.charge):
                continue
            charge = taken.get(part.charge.bucket)
            cost_us = charge.cost_us if charge else 0
            part.taken_us += cost_us
            part.hold = Hold(part.charge, lease.id, cost_us)
            part.is_sure = charge is not None

    def may_have_stepped(self) -> None:
        """Remember that the answer to a step was lost: its holds may have replaced these."""
        for part in self._parts:
            part.is_sure = part.is_sure and not _steps(part.charge)

    def let_pass(self, to_tokens: int) -> None:
        """Let a stream go on that did not pay; it does with its next step, or when it has ended."""
        self._allowed_tokens = to_tokens

    def settlement(self, used: Demand) -> Sequence[Adjustment]:
        """Return what ends all holds once it is known what was used."""
        return [part.adjustment(part.charge.used_us(used) - part.taken_us) for part in self._parts]

    def _step(self, tokens: int) -> Sequence[Charge]:
        return [
            replace(part.charge, amount=min(part.charge.rate.burst, tokens * (part.charge.weight or 0.0)))
            for part in self._parts
            if _steps(part.charge)
        ]


def lease_id(call_id: str, taking: int) -> str:
    """Return the name of the lease of a call's first taking, 0, or a later one."""
    return f"{call_id}/{taking}"


def _steps(charge: Charge) -> bool:
    """Say whether a stream pays this charge as it goes. One of unknown cost took all there is, once."""
    return charge.unit in _COUNT_OUTPUT and bool(charge.weight)
