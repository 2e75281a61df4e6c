"""What the live policy and the candidate say of the same calls, counted side by side, whichever of them acted.

Rules in shadow are left out: they act in neither.
"""

from itertools import product

from prometheus_client import CollectorRegistry

from modelfence.adapters.metrics.counters import Counters
from modelfence.core.decision import Decision, Effect
from modelfence.core.policy import Policy, RuleKind
from modelfence.enforcement.ports import Judged

LIVE, CANDIDATE = "live", "candidate"
_SAID = (Effect.ALLOW, Effect.DENY, Effect.THROTTLE, Effect.ERROR)
_EFFECT_OF_KIND = {RuleKind.DENY: Effect.DENY, RuleKind.THROTTLE: Effect.THROTTLE}


class Comparison:
    """Counts of calls of which both were asked."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counters(
            registry,
            "candidate_requests",
            "Calls by what the live policy and the candidate said of them, and which of the two acted.",
            LIVE,
            CANDIDATE,
            "acted",
        )
        self._rules = Counters(
            registry,
            "candidate_rule_matches",
            "Rules that applied to a call of which the live policy and the candidate were asked.",
            "policy",
            "rule",
            "effect",
        )

    def begin_at_zero(self, live: Policy, candidate: Policy) -> None:
        """Show all counts there may be."""
        for labels in product(_SAID, _SAID, (LIVE, CANDIDATE)):
            self._requests.at(*labels)
        for name, policy in ((LIVE, live), (CANDIDATE, candidate)):
            for rule in policy.rules():
                if not rule.shadow:
                    self._rules.at(name, rule.id, _EFFECT_OF_KIND.get(rule.kind, Effect.ALLOW))

    def judged(self, judged: Judged) -> None:
        """Count a call, if both were asked."""
        said = judged.live_and_candidate
        if said is None:
            return
        self._requests.at(said[0].effect, said[1].effect, CANDIDATE if judged.candidate_acted else LIVE).inc(1)
        self._count(LIVE, said[0])
        self._count(CANDIDATE, said[1])

    def _count(self, name: str, decision: Decision) -> None:
        for step in decision.trace:
            if step.applied and not step.rule.shadow and step.rule.kind is not RuleKind.THROTTLE:
                self._rules.at(name, step.rule.id, _EFFECT_OF_KIND.get(step.rule.kind, Effect.ALLOW)).inc(1)
        if decision.effect is Effect.THROTTLE:
            for rule in decision.rules:
                self._rules.at(name, rule, Effect.THROTTLE).inc(1)
