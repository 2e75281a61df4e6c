"""What a policy, as a page has it, decides about a made-up call: the decision and its trace."""

from collections.abc import Mapping
from typing import Any

from modelfence.core.charge import Charge, Demand
from modelfence.core.decision import Decision, Effect, decide
from modelfence.core.facts import Facts, FactValue
from modelfence.core.policy import Policy, Reshaping
from modelfence.policy.explain import explain
from modelfence.settings import Limits
from modelfence.workbench.studio.checking import compiled_of
from modelfence.workbench.studio.form import facts_of
from modelfence.workbench.studio.tracing import traced
from modelfence.workbench.studio.workspace import Workspace

_STATUS = {Effect.DENY: 403, Effect.THROTTLE: 429}


class Deciding:
    """Decides for a page's form."""

    def __init__(self, workspace: Workspace, limits: Limits) -> None:
        self._workspace = workspace
        self._limits = limits

    def decide(self, asked: Mapping[str, Any]) -> Mapping[str, object]:
        """Return the decision for the form's facts; null while the policy has errors."""
        compiled = compiled_of(self._workspace, self._workspace.texts_of(asked))
        if compiled.policy is None:
            return {"decision": None}
        facts = facts_of(asked, compiled.policy)
        decision = decide(compiled.policy, facts, demand(facts, self._limits))
        return {
            "decision": as_json(decision),
            "trace": traced(explain(compiled.policy, facts), compiled, self._workspace),
            "reads": sorted(compiled.policy.names),
        }


def effect_of(policy: Policy, facts: Facts) -> Decision:
    """Return what becomes of a call, whatever it may use."""
    return decide(policy, facts, Demand())


def demand(facts: Mapping[str, FactValue], limits: Limits) -> Demand:
    """Return what the loop would reserve for such a call: see `modelfence.enforcement.gather.demand_of`."""
    stated = _whole(facts, "request.output_tokens")
    if facts.get("request.stream") is True:
        output = limits.step_tokens if stated is None else min(limits.step_tokens, stated)
    else:
        choices = max(1, _whole(facts, "request.choices") or 1)
        output = limits.assumed_tokens * choices if stated is None else stated
    return Demand(_whole(facts, "request.input_tokens") or 0, output)


def _whole(facts: Mapping[str, FactValue], name: str) -> int | None:
    value = facts.get(name)
    return max(0, value) if isinstance(value, int) else None


def as_json(decision: Decision) -> dict[str, object]:
    """Return a decision as the page shows it."""
    return {
        "effect": decision.effect,
        "status": _STATUS.get(decision.effect, 200),
        "rules": list(decision.rules),
        "unknown": list(decision.unknown),
        "would": decision.would,
        "shadow_rules": list(decision.shadow_rules),
        "message": decision.message,
        "help_url": decision.help_url,
        "reshaping": reshaping_as_json(decision.reshaping),
        "charges": [_charge(charge) for charge in decision.charges],
    }


def reshaping_as_json(reshaping: Reshaping) -> dict[str, object]:
    """Return what is changed in a call, in a settled order."""
    return {"remove": sorted(reshaping.remove), "cap": dict(reshaping.cap), "hide": sorted(reshaping.hide)}


def _charge(charge: Charge) -> dict[str, object]:
    period_s = charge.rate.period_us / 1_000_000
    return {
        "throttle": charge.throttle,
        "key": charge.key,
        "amount": charge.amount,
        "unit": charge.unit,
        "burst": charge.rate.burst,
        "rate": charge.rate.amount,
        "period_s": period_s,
        "shadow": charge.shadow,
    }
