"""What one admitted call holds from its buckets, from its admission to the end of its answer.

A stream pays as it goes. It begins with one step reserved, and when that much has passed it takes another: the last
step is held under a lease, everything before it is used up. So whatever becomes of the worker, what comes back when the
lease runs out is the step that was not used yet. A policy that only watches takes no steps: it cuts nobody, so what it
would have charged is reserved in the beginning and settled in the end.

Each taking has a lease of its own, because an answer may be lost: what was then taken under that lease is in nobody's
books, and comes back by itself.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from modelfence.core.charge import Adjustment, Charge, Demand, Hold, Lease, Taken, Unit

_COUNT_OUTPUT = (Unit.OUTPUT_TOKENS, Unit.TOTAL_TOKENS)
_ROUNDING = 1e-6
_MAX_ALTERNATIVES = 8
"""So many steps in a row whose answers were lost are remembered."""
_LIMIT_IS_IGNORED = 2
"""An answer that is this many times longer than the call's own limit comes from an upstream that knows no limits."""


@dataclass(slots=True)
class _Part:
    """What is held of one bucket.

    When the answer to a step was lost there are several holds of which one is there: `held` has each with all that was
    taken from the bucket if it is the one.
    """

    charge: Charge
    held: list[tuple[Hold, int]]

    def ends(self, used_us: int) -> list[Adjustment]:
        """Return what ends the hold that is there, when that much is used."""
        if len(self.held) == 1:
            [(hold, taken_us)] = self.held
            return [Adjustment(hold, used_us - taken_us, used_us - taken_us + hold.held_us)]
        return [Adjustment(hold, used_us - taken_us, 0) for hold, taken_us in self.held]


class Reservation:
    """The holds of one call. `charges` are those that were taken when it was admitted.

    `watching` were taken for a policy that only watches. Where that would have refused the call for another one, they
    are `undone`: given back in the end. `input_tokens` and `output_tokens` were reserved; `limit` is the most tokens
    the upstream was told to answer with, None where it was not told.
    """

    def __init__(  # noqa: PLR0913 - what was reserved, by keyword
        self,
        call_id: str,
        charges: Sequence[Charge] = (),
        *,
        watching: Sequence[Charge] = (),
        undone: Sequence[Charge] = (),
        input_tokens: int = 0,
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
        lease = lease_id(call_id, 0)
        self._parts = [
            _Part(charge, [(Hold(charge, lease, charge.cost_us), charge.cost_us)])
            for charge in (*charges, *watching)
            if charge.is_reserved
        ]
        self._undone = [taken_back(charge, lease) for charge in undone]
        self._input_tokens = input_tokens
        self._stepping = [part for part in self._parts if _steps(part.charge)]
        covered = [_output_tokens(part.charge, input_tokens) for part in self._stepping]
        self._charged_tokens = self._allowed_tokens = min((output_tokens, *covered))

    def known_debt(self) -> Sequence[Adjustment]:
        """Return what the input costs beyond the burst, which was all that was taken: it is used for certain."""
        used = Demand(input_tokens=self._input_tokens)
        return [
            Adjustment(Hold(part.charge, "", 0), owed_us, owed_us)
            for part in self._parts
            if part.charge.weight
            and not part.charge.watching
            and (owed_us := part.charge.used_us(used) - part.charge.cost_us) > 0
        ]

    def owes_known_debt(self, adjustments: Sequence[Adjustment]) -> None:
        """Remember that these were made."""
        for adjustment in adjustments:
            for part in self._parts:
                if part.charge.bucket == adjustment.hold.charge.bucket:
                    part.held = [(hold, taken_us + adjustment.owed_us) for hold, taken_us in part.held]

    @property
    def holds(self) -> Sequence[Hold]:
        """Return what is held, or may be."""
        return [hold for part in self._parts for hold, _taken_us in part.held]

    def is_used_up(self, output_tokens: int) -> bool:
        """Say whether a stream that passed so many tokens has to pay before more may pass.

        What a limit covers in whole needs no step: the upstream keeps to it, and what passed is an estimate.
        """
        if not self._stepping or output_tokens <= self._allowed_tokens:
            return False
        covered = self._limit is not None and self._charged_tokens >= self._limit
        return not covered or output_tokens >= _LIMIT_IS_IGNORED * max(1, self._limit or 0)

    def next_step(self, output_tokens: int, step_tokens: int) -> int:
        """Return how many tokens a stream may have passed after its next step.

        That is one step more, or up to the limit; and no more at once than a full bucket holds.
        """
        return self._next(output_tokens, step_tokens, paid=self._charged_tokens)

    def next_unpaid_step(self, output_tokens: int, step_tokens: int) -> int:
        """Return the same where what was passed on unpaid before stays unpaid."""
        return self._next(output_tokens, step_tokens, paid=self._allowed_tokens)

    def _next(self, output_tokens: int, step_tokens: int, *, paid: int) -> int:
        to_tokens = output_tokens + step_tokens
        if self._limit is not None and self._charged_tokens < self._limit:
            to_tokens = min(to_tokens, max(output_tokens, self._limit))
        at_once = (math.floor(part.charge.rate.burst / (part.charge.weight or 1.0)) for part in self._stepping)
        return min(to_tokens, paid + max(1, min(at_once)))

    def step(self, to_tokens: int) -> Sequence[Charge]:
        """Return the charges of a step to that many tokens, and of what was passed on unpaid before it."""
        return self._step(to_tokens - self._charged_tokens)

    def unpaid_step(self, to_tokens: int) -> Sequence[Charge]:
        """Return the charges of a step alone, without what was passed on unpaid before it."""
        return self._step(to_tokens - self._allowed_tokens)

    def affordable(self, refused: Taken) -> int:
        """Return the tokens that a stream may have passed if it takes what is left in the buckets that refused."""
        charges = [one.charge for one in refused.refused]
        left = (one.left / (one.charge.weight or 1.0) for one in refused.balances if one.charge in charges)
        return self._charged_tokens + math.floor(min(left, default=0))

    def next_lease(self, lasts_us: int) -> Lease:
        """Return the lease for the next taking."""
        self._takings += 1
        return Lease(lease_id(self._call_id, self._takings), lasts_us)

    def used_up(self) -> Sequence[Adjustment]:
        """Return the end of the holds that a step replaces: all that was taken before it was used."""
        return [one for part in self._stepping for one in part.ends(part.held[0][1])]

    def stepped(self, to_tokens: int, lease: Lease, taken: Mapping[str, Charge]) -> None:
        """Remember a step that was taken: its charges by bucket, without those in shadow that did not fit."""
        self._charged_tokens = self._allowed_tokens = to_tokens
        self.on_credit = False
        for part in self._stepping:
            charge = taken.get(part.charge.bucket)
            before_us = part.held[0][1]
            if charge is None:
                # Nothing is held any more, and nothing given back: an entry that is nowhere.
                part.held = [(Hold(part.charge, lease.id, 0), before_us)]
            else:
                part.held = [(Hold(charge, lease.id, charge.cost_us), before_us + charge.cost_us)]

    def may_have_stepped(self, lease: Lease, charges: Sequence[Charge]) -> None:
        """Remember a step whose answer was lost: its holds may have replaced those before."""
        costs_us = {charge.bucket: charge.cost_us for charge in charges}
        for part in self._stepping:
            cost_us = costs_us[part.charge.bucket]
            part.held.append((Hold(part.charge, lease.id, cost_us), part.held[0][1] + cost_us))
            del part.held[1:-_MAX_ALTERNATIVES]

    def let_pass(self, to_tokens: int) -> None:
        """Let a stream go on that did not pay; it does with its next step, or when it has ended."""
        self._allowed_tokens = to_tokens

    def settlement(self, used: Demand) -> Sequence[Adjustment]:
        """Return what ends all holds once it is known what was used."""
        return self._undone + [one for part in self._parts for one in part.ends(part.charge.used_us(used))]

    def _step(self, tokens: int) -> Sequence[Charge]:
        return [
            replace(part.charge, amount=min(part.charge.rate.burst, tokens * (part.charge.weight or 0.0)))
            for part in self._stepping
        ]


def lease_id(call_id: str, taking: int) -> str:
    """Return the name of the lease of a call's first taking, 0, or a later one."""
    return f"{call_id}/{taking}"


def _output_tokens(charge: Charge, input_tokens: int) -> int:
    """Return how many tokens of the answer a charge covers: fewer than were asked for where the burst is less."""
    tokens = math.floor(charge.amount / (charge.weight or 1.0) + _ROUNDING)
    return max(0, tokens - input_tokens) if charge.unit is Unit.TOTAL_TOKENS else tokens


def _steps(charge: Charge) -> bool:
    """Say whether a stream pays this charge as it goes. One of unknown cost took all there is, once."""
    return charge.unit in _COUNT_OUTPUT and bool(charge.weight) and not charge.watching


def taken_back(charge: Charge, lease: str | None = None) -> Adjustment:
    """Return what makes a charge undone, which may be held under a lease: else it comes back with that."""
    if lease is not None and charge.is_reserved:
        return Adjustment(Hold(charge, lease, charge.cost_us), -charge.cost_us, 0)
    return Adjustment(Hold(charge, "", 0), -charge.cost_us, -charge.cost_us)
