"""Property: whatever the store does, a call that was admitted is charged what it used, once, and holds nothing in the end.

The store answers, or does not hear, or does what it is asked and loses the answer, as the search likes it.
"""

from enum import Enum

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.enforcement.outside import Clock, Watcher, call

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.bucket import Rate
from modelfence.core.call import Reading
from modelfence.core.charge import Charge, Demand, OnStoreFailure, Unit
from modelfence.core.decision import Decision, Effect
from modelfence.enforcement.charging import Charging
from modelfence.enforcement.ports import UnavailableError
from modelfence.policy.compile import compile_text

A_SECOND_EACH = Rate(1, 1_000_000, 10**6)
PERMISSIVE = compile_text("version: 1\naccess:\n  - {id: all, allow: 'true'}\n").policy


class Fate(Enum):
    """What becomes of one thing the store is asked."""

    ANSWERED = 0
    NOT_SENT = 1
    NOT_HEARD = 2
    ANSWER_LOST = 3


class Fickle:
    """Buckets that meet one fate after the other, and answer when these have run out."""

    def __init__(self, clock, fates) -> None:
        self.buckets = MemoryBuckets(clock)
        self._fates = iter(fates)

    async def take(self, charges, *, lease=None, after=()):
        return await self._meet(lambda: self.buckets.take(charges, lease=lease, after=after))

    async def settle(self, adjustments):
        return await self._meet(lambda: self.buckets.settle(adjustments))

    async def renew(self, holds, lasts_us):
        return await self._meet(lambda: self.buckets.renew(holds, lasts_us))

    async def _meet(self, ask):
        fate = next(self._fates, Fate.ANSWERED)
        if fate in {Fate.NOT_SENT, Fate.NOT_HEARD}:
            raise UnavailableError(may_have_run=fate is Fate.NOT_HEARD)
        answer = await ask()
        if fate is Fate.ANSWER_LOST:
            raise UnavailableError
        return answer


charges = st.builds(
    lambda number, unit, weight, shadow, mode: Charge(
        f"t{number}",
        "acme",
        A_SECOND_EACH,
        weight * Demand(50, 256).amount(unit),
        unit,
        weight,
        shadow=shadow,
        on_store_failure=mode,
    ),
    number=st.integers(0, 10**6),
    unit=st.sampled_from([Unit.OUTPUT_TOKENS, Unit.TOTAL_TOKENS, Unit.INPUT_TOKENS]),
    weight=st.sampled_from([1.0, 0.5, 3.0]),
    shadow=st.booleans(),
    mode=st.sampled_from([OnStoreFailure.DENY, OnStoreFailure.ALLOW]),
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(
    charges=st.lists(charges, min_size=1, max_size=3, unique_by=lambda charge: charge.throttle),
    steps=st.lists(st.sampled_from([1, 30, 255, 257, 900]), max_size=8),
    fates=st.lists(st.sampled_from(Fate), max_size=12),
    limit=st.sampled_from([None, 256, 400, 5_000]),
)
async def test_a_call_is_charged_what_it_used_once(charges, steps, fates, limit):
    clock = Clock()
    store = Fickle(clock, [Fate.ANSWERED, *fates])  # it is admitted
    charging = Charging(
        store=store,
        local=MemoryBuckets(clock),
        observers=[Watcher()],
        clock_us=clock,
        workers=1,
        lease_s=30,
        step_tokens=256,
    )
    given_call = call(reading=Reading("chat", stream=True, input_tokens=50, output_tokens=limit))
    decision = Decision(Effect.ALLOW, charges=tuple(charges))
    admission = await charging.admit(given_call, decision, Demand(50, 256))
    taken, reservation = admission.taken, admission.reservation
    passed = 0
    for step in steps:
        passed += step
        if await charging.extend(reservation, passed) is not None:
            break
        await charging.renew()
    used = Demand(40, passed)
    await charging.settle(reservation, used)
    for _ in fates:
        await charging.settle_late()
    clock.now_us += 30_000_000  # what is in nobody's books comes back
    left = await store.buckets.take([_nothing(charge) for charge in charges])
    for charge, balance, first in zip(charges, left.balances, taken.balances, strict=True):
        # Each bucket was full before, and a unit flows back in each of the thirty seconds.
        used_units = charge.weight * used.amount(charge.unit)
        assert balance.left_us == A_SECOND_EACH.burst_us - max(0, int(used_units * 1_000_000) - 30_000_000)
        assert first.charge == charge


def _nothing(charge: Charge) -> Charge:
    return Charge(charge.throttle, charge.key, charge.rate, 0.0, charge.unit, charge.weight, shadow=True)
