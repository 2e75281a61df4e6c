"""What a policy that only watches would have done with a call.

Rule: it never harms the call. It refuses, cuts and changes nothing; a fault in evaluating it is logged, and counts as
the 503 that it would have been had that policy acted.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from modelfence.core.bucket import SECOND_US
from modelfence.core.charge import Charge, OnStoreFailure, Taken
from modelfence.core.decision import Decision, Effect, charged
from modelfence.core.policy import Policy

log = logging.getLogger(__name__)

_COMPLAIN_EVERY_US = 10 * SECOND_US


@dataclass(frozen=True, slots=True)
class Watched:
    """What the policy says before any bucket was asked, and what it would charge: in buckets of its own."""

    policy: Policy
    decision: Decision
    charges: Sequence[Charge]


class Watching:
    """Asks a policy that only watches. `clock_us` says how long ago it was complained of."""

    def __init__(self, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        self._complained_us: int | None = None

    def look(self, policy: Policy, decide: Callable[[], Decision]) -> Watched:
        """Return what the policy says. Its own rules in shadow charge nothing: it acts no more than they do."""
        decision = self._safely(policy, decide)
        charges = decision.charges if decision.admitted else ()
        return Watched(policy, decision, [one.as_watched for one in charges if not one.shadow])

    def after(self, watched: Watched, taken: Taken | None) -> Decision:
        """Return what it says after the store was asked for its charges; `taken` is None when it did not answer."""
        if taken is not None:
            return self._safely(watched.policy, lambda: charged(watched.decision, taken, watched.policy))
        refusing = [one.throttle for one in watched.charges if one.on_store_failure is OnStoreFailure.DENY]
        return replace(watched.decision, effect=Effect.ERROR, rules=tuple(refusing)) if refusing else watched.decision

    def _safely(self, policy: Policy, decide: Callable[[], Decision]) -> Decision:
        try:
            return decide()
        except Exception:
            now_us = self._clock_us()
            if self._complained_us is None or now_us - self._complained_us >= _COMPLAIN_EVERY_US:
                self._complained_us = now_us
                log.exception("the policy %s, which only watches, failed; calls go on without it", policy.hash)
            return Decision(Effect.ERROR, policy.hash)
