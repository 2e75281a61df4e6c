"""The calls of a case that gives facts: decided and charged one after the other, by the loop's own parts.

Facts are decided by `core.decision`, and the charges taken and settled by `enforcement.charging`, like those of a call
whose facts were gathered. Buckets are in memory, and new for each case.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.charge import Demand, Taken
from modelfence.core.decision import Decision, charged, decide
from modelfence.core.policy import Policy
from modelfence.enforcement.charging import Charging
from modelfence.replay.clock import VirtualClock
from modelfence.settings import Limits
from modelfence.workbench.cases.model import Case, Step
from modelfence.workbench.cases.ordinary import EPOCH, call_of, demand
from modelfence.workbench.cases.results import Came


def times(case: Case) -> Iterator[tuple[Step, int, int]]:
    """Yield each call of a case: its step, which of the step's it is, from one, and when, in microseconds."""
    at_us = case.start_us
    for step in case.steps:
        at_us += step.after_us
        for n in range(1, step.times + 1):
            at_us += step.every_us if n > 1 else 0
            yield step, n, at_us


async def decided(case: Case, policy: Policy) -> AsyncIterator[Came]:
    """Yield what comes of each call."""
    clock = VirtualClock()
    limits = Limits()
    charging = Charging(
        store=MemoryBuckets(clock),
        local=MemoryBuckets(clock),
        observers=(),
        clock_us=clock,
        workers=1,
        lease_s=limits.lease_s,
        step_tokens=limits.step_tokens,
    )
    for number, (step, n, at_us) in enumerate(times(case)):
        clock.move_to(at_us)
        facts = {**step.facts, "now": EPOCH + timedelta(microseconds=at_us)}
        call = call_of(facts, call_id=str(number), at_us=at_us)
        expected = demand(call)
        decision = decide(policy, facts, expected)
        taken = Taken()
        if decision.charges:
            admission = await charging.admit(call, decision, expected)
            taken = admission.taken
            decision = charged(admission.decision, taken, policy)
            if decision.admitted:
                used = step.usage.demand() if step.usage else _as_expected(expected, decision)
                await charging.settle(admission.reservation, used)
        yield Came(step, n, at_us, facts, decision, frozenset(one.charge.throttle for one in taken.shadow_refused))


def _as_expected(expected: Demand, decision: Decision) -> Demand:
    """Return what an answer costs of which nothing else is said: what was expected, within the limit that was set."""
    most = decision.reshaping.cap.get("output_tokens", expected.output_tokens)
    return replace(expected, output_tokens=min(most, expected.output_tokens))
