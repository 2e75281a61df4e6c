"""All that is asked of the bucket stores: admitting a call, the steps of its stream, its settlement, its leases.

A store that does not answer never opens the fence: each throttle says what then becomes of a call. A stream under way
may pass one more step unpaid (the step by which a budget may be overdrawn anyway), so that a store which is away for a
moment cuts nobody; then it is cut. A settlement that could not be made is kept and tried again; while it waits, the
lease of what it ends is renewed, so that it is made exactly once as long as the store comes back within a lease.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakSet

from modelfence.core.bucket import SECOND_US, Rate
from modelfence.core.call import Call
from modelfence.core.charge import Adjustment, Charge, Demand, Lease, OnStoreFailure, Refused, Taken
from modelfence.core.decision import Decision, Effect
from modelfence.core.quick import quick
from modelfence.enforcement.ports import BucketStore, Observer, UnavailableError
from modelfence.enforcement.reservation import Reservation, lease_id, taken_back

log = logging.getLogger(__name__)

STORE_RETRY_AFTER_US = SECOND_US
MAX_LATE_SETTLEMENTS = 10_000
"""Kept while the store is away; beyond it the oldest is lost, and what it had reserved stays charged or lapses."""
_LATE_AT_MOST_US = 3_600 * SECOND_US
_COMPLAIN_EVERY_US = 10 * SECOND_US
KEEP_EVERY_S = 0.5
_LEAST_PART_OF_A_STEP = 8
"""Where a step does not fit, what is left is taken if it is an eighth of a step at least."""
_RENEWALS_PER_LEASE = 3
_HOLDS_AT_ONCE = 500


@quick
@dataclass(frozen=True, slots=True)
class Admission:
    """What came of a call's charges. What a refusal of the store makes of the decision is for `charged`."""

    decision: Decision
    """Another one than before when the store has failed."""
    taken: Taken
    reservation: Reservation
    watched: Taken | None = None
    """What the store said to a policy that only watches; None when it did not answer."""


@dataclass(slots=True)
class _Late:
    """A settlement that is still to be made."""

    reservation: Reservation
    adjustments: Sequence[Adjustment]
    until_us: int
    """When it is given up, by the loop's clock."""

    def made_or_not(self) -> "_Late":
        """Return what to do when it may have been made: a hold that is still there says that it was not."""
        return replace(self, adjustments=[replace(one, lapsed_owed_us=0) for one in self.adjustments])


class Charging:
    """The charges of calls. `local` serves throttles that fall back on this process."""

    def __init__(  # noqa: PLR0913 - two stores and what is told to whom, by keyword
        self,
        *,
        store: BucketStore,
        local: BucketStore,
        observers: Sequence[Observer],
        clock_us: Callable[[], int],
        workers: int,
        lease_s: float,
        step_tokens: int,
    ) -> None:
        self._store = store
        self._local = local
        self._observers = observers
        self._clock_us = clock_us
        self._workers = workers
        self._lasts_us = int(lease_s * SECOND_US)
        self._step_tokens = step_tokens
        # Weak: what nobody is going to settle must not be renewed for ever.
        self._open: WeakSet[Reservation] = WeakSet()
        self._late: deque[_Late] = deque()
        self._complained_us: int | None = None

    async def admit(self, call: Call, decision: Decision, demand: Demand, watching: Sequence[Charge] = ()) -> Admission:
        """Take a call's charges, and those of a policy that only watches as far as they fit."""
        started_us = self._clock_us()
        lease = Lease(lease_id(call.id, 0), self._lasts_us)
        try:
            taken = await self._store.take((*decision.charges, *watching), lease=lease)
        except UnavailableError as error:
            self._complain(error)
            return await self._admit_without_store(call, decision, demand, lease)
        for observer in self._observers:
            observer.store_answered(self._clock_us() - started_us)
        taken, watched = taken.parted() if watching else (taken, Taken())
        if not taken.allowed:
            return Admission(decision, taken, Reservation(call.id), await self.watch(watching))
        charges, watching = _fitting(decision.charges, taken.shadow_refused), _fitting(watching, watched.refused)
        if watched.refused:
            reservation = self._reserved(call, decision, demand, charges, undone=watching)
        else:
            reservation = self._reserved(call, decision, demand, charges, watching=watching)
        await self._owe_known_debt(reservation)
        return Admission(decision, taken, reservation, watched)

    async def watch(self, charges: Sequence[Charge]) -> Taken | None:
        """Take what a policy that only watches would have charged for a call that is refused; None without an answer.

        Nobody is going to know what the call would have used, so what is reserved is what it costs.
        """
        if not charges:
            return Taken()
        try:
            watched = (await self._store.take(charges)).parted()[1]
            if not watched.allowed and (taken := _fitting(charges, watched.refused)):
                await self._store.settle([taken_back(charge) for charge in taken])
        except UnavailableError as error:
            self._complain(error)
            return None
        return watched

    async def extend(self, reservation: Reservation, output_tokens: int) -> str | None:
        """Pay for the next step of a stream that passed so many tokens; return the throttle that ends it, or None."""
        while reservation.is_used_up(output_tokens):
            to_tokens = reservation.next_step(output_tokens, self._step_tokens)
            try:
                taken = await self._step(reservation, to_tokens)
                if not taken.allowed:
                    affordable = reservation.affordable(taken)
                    if affordable >= output_tokens + self._step_tokens // _LEAST_PART_OF_A_STEP:
                        taken = await self._step(reservation, affordable)
            except UnavailableError as error:
                self._complain(error)
                return await self._extend_without_store(reservation, output_tokens)
            if taken.refused_by is not None:
                return taken.refused_by.throttle
        return None

    async def _step(self, reservation: Reservation, to_tokens: int) -> Taken:
        """Take a step, if it fits. Raises UnavailableError."""
        charges, lease = reservation.step(to_tokens), reservation.next_lease(self._lasts_us)
        try:
            taken = await self._store_of(reservation).take(charges, lease=lease, after=reservation.used_up())
        except UnavailableError as error:
            if error.may_have_run:
                reservation.may_have_stepped(lease, charges)
            raise
        except asyncio.CancelledError:
            reservation.may_have_stepped(lease, charges)
            raise
        if taken.allowed:
            not_taken = {one.charge.throttle for one in taken.shadow_refused}
            reservation.stepped(to_tokens, lease, {one.bucket: one for one in charges if one.throttle not in not_taken})
        return taken

    async def settle(self, reservation: Reservation, used: Demand) -> None:
        """End what a call holds, now that it is known what it used."""
        adjustments = reservation.settlement(used)
        if not adjustments:
            return
        late = _Late(reservation, adjustments, self._clock_us() + _LATE_AT_MOST_US)
        if not await self._settle(late):
            self._tell(late, "late")

    async def settle_late(self) -> None:
        """Try again to make the settlements that could not be made, until the first that can't."""
        for _ in range(len(self._late)):
            if not await self._settle(self._late.popleft()):
                return

    async def renew(self) -> None:
        """Renew the leases of all calls under way."""
        reservations = list(self._open)
        for store in (self._store, self._local):
            holds = [hold for one in reservations if self._store_of(one) is store for hold in one.holds]
            for start in range(0, len(holds), _HOLDS_AT_ONCE):
                try:
                    await store.renew(holds[start : start + _HOLDS_AT_ONCE], self._lasts_us)
                except UnavailableError as error:
                    log.warning("leases could not be renewed: %s", error)
                    break

    async def keep(self) -> None:
        """Renew leases and make late settlements, until cancelled."""
        ticks = max(1, int(self._lasts_us / SECOND_US / _RENEWALS_PER_LEASE / KEEP_EVERY_S))
        while True:
            for tick in range(ticks):
                await asyncio.sleep(KEEP_EVERY_S)
                try:
                    await self.settle_late()
                    if tick == 0:
                        await self.renew()
                except Exception:
                    log.exception("keeping the leases failed; it is tried again")

    def lose_late(self) -> None:
        """Give up the settlements that could not be made."""
        while self._late:
            self._tell(self._late.popleft(), "unsettled")

    async def _settle(self, late: _Late) -> bool:
        """Say whether it was made; if not, it is kept to be tried again, after those that were kept before."""
        try:
            await self._store_of(late.reservation).settle(late.adjustments)
        except UnavailableError as error:
            self._complain(error)
            if self._clock_us() < late.until_us:
                self._keep_late(late.made_or_not() if error.may_have_run else late)
            else:
                self._tell(late, "unsettled")
                self._open.discard(late.reservation)
            return False
        except asyncio.CancelledError:
            self._keep_late(late.made_or_not())
            raise
        self._open.discard(late.reservation)
        return True

    def _keep_late(self, late: _Late) -> None:
        if len(self._late) >= MAX_LATE_SETTLEMENTS:
            self._tell(self._late.popleft(), "unsettled")
        self._late.append(late)

    async def _owe_known_debt(self, reservation: Reservation) -> None:
        """Put into debt what a call uses for certain beyond the burst; what can't be put there now is when it ends."""
        if adjustments := reservation.known_debt():
            try:
                await self._store_of(reservation).settle(adjustments)
            except UnavailableError as error:
                log.warning("input beyond a burst is charged when its call ends: %s", error)
            else:
                reservation.owes_known_debt(adjustments)

    def _reserved(  # noqa: PLR0913 - what is reserved for which call, by keyword
        self,
        call: Call,
        decision: Decision,
        demand: Demand,
        charges: Sequence[Charge],
        *,
        watching: Sequence[Charge] = (),
        undone: Sequence[Charge] = (),
        locally: bool = False,
    ) -> Reservation:
        cap = decision.reshaping.cap.get("output_tokens")
        limits = [limit for limit in (call.reading.output_tokens, cap) if limit is not None]
        reservation = Reservation(
            call.id,
            charges,
            watching=watching,
            undone=undone,
            input_tokens=demand.input_tokens,
            output_tokens=min((demand.output_tokens, *limits)),
            limit=min(limits, default=None),
            locally=locally,
        )
        if reservation.holds:
            self._open.add(reservation)
        return reservation

    async def _admit_without_store(self, call: Call, decision: Decision, demand: Demand, lease: Lease) -> Admission:
        """Do for each throttle what its policy says for a store that does not answer."""
        enforced = [charge for charge in decision.charges if not charge.shadow]
        for charge in enforced:
            self._store_failed(charge, charge.on_store_failure)
        refusing = [charge for charge in enforced if charge.on_store_failure is OnStoreFailure.DENY]
        local = self._shares(enforced)
        if not refusing:
            try:
                taken = await self._local.take(local, lease=lease)
            except UnavailableError:
                refusing = local
            else:
                charges = local if taken.allowed else ()
                return Admission(decision, taken, self._reserved(call, decision, demand, charges, locally=True))
        failed = replace(
            decision,
            effect=Effect.ERROR,
            rules=tuple(dict.fromkeys(charge.throttle for charge in refusing)),
            retry_after_us=STORE_RETRY_AFTER_US,
        )
        return Admission(failed, Taken(), Reservation(call.id))

    async def _extend_without_store(self, reservation: Reservation, output_tokens: int) -> str | None:
        """Let a stream pass one step unpaid where the policy says deny; otherwise do what it says."""
        to_tokens = reservation.next_unpaid_step(output_tokens, self._step_tokens)
        enforced = [charge for charge in reservation.unpaid_step(to_tokens) if not charge.shadow]
        for charge in enforced:
            self._store_failed(charge, charge.on_store_failure)
        refusing = [charge for charge in enforced if charge.on_store_failure is OnStoreFailure.DENY]
        if refusing and reservation.on_credit:
            return refusing[0].throttle
        if not refusing and enforced:
            try:
                taken = await self._local.take(self._shares(enforced))
            except UnavailableError:
                return enforced[0].throttle
            if taken.refused_by is not None:
                return taken.refused_by.throttle
        reservation.on_credit = bool(refusing)
        reservation.let_pass(to_tokens)
        return None

    def _shares(self, charges: Sequence[Charge]) -> list[Charge]:
        """Return the charges that fall back on this process, with its share of their rates."""
        local = [charge for charge in charges if charge.on_store_failure is OnStoreFailure.LOCAL]
        return [
            replace(charge, rate=Rate(rate.amount / self._workers, rate.period_us, rate.burst / self._workers))
            for charge in local
            for rate in [charge.rate]
        ]

    def _store_of(self, reservation: Reservation) -> BucketStore:
        return self._local if reservation.locally else self._store

    def _complain(self, error: UnavailableError) -> None:
        """Log what is wrong with the store, now and then: metrics count how often."""
        now_us = self._clock_us()
        if self._complained_us is None or now_us - self._complained_us >= _COMPLAIN_EVERY_US:
            self._complained_us = now_us
            log.warning("the store failed: %s", error)

    def _tell(self, late: _Late, outcome: str) -> None:
        for adjustment in late.adjustments:
            if not adjustment.hold.charge.watching:
                self._store_failed(adjustment.hold.charge, outcome)

    def _store_failed(self, charge: Charge, outcome: str) -> None:
        for observer in self._observers:
            observer.store_failed(charge.throttle, outcome)


def _fitting(charges: Sequence[Charge], refused: Sequence[Refused]) -> Sequence[Charge]:
    """Return the charges of one policy without those that were refused."""
    if not refused:
        return charges
    names = {one.charge.throttle for one in refused}
    return [charge for charge in charges if charge.throttle not in names]
