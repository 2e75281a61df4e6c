"""What each rule of a policy makes of some facts, part by part."""

from collections.abc import Mapping
from typing import Any

from modelfence.core.explanation import RuleExplained
from modelfence.core.facts import Facts
from modelfence.core.policy import Evaluated, Expression, Policy, Rule, RuleKind, Unknown


def explain(policy: Policy, facts: Facts) -> tuple[RuleExplained, ...]:
    """Return every rule with the values of its expressions: denies first, as `Policy.rules` has them.

    What a rule does for the call as a whole is not looked at: a reshape is explained for a call that is refused, too.
    """
    bound = policy.bind(facts)
    access = (*(deny for group in policy.denies for deny in group.rules), *policy.allows)
    return (
        *(_explained(one.rule, {str(one.rule.kind): one.condition}, bound) for one in access),
        *(_explained(one.rule, {"when": one.when}, bound) for one in policy.reshapes),
        *(
            _explained(one.rule, {"when": one.when, "key": one.key, "cost": one.cost}, bound)
            for one in policy.throttles
        ),
    )


def _explained(rule: Rule, expressions: Mapping[str, Expression[Any] | None], bound: object) -> RuleExplained:
    evaluated = {key: one.explain(bound) for key, one in expressions.items() if one is not None}
    doubts = [one.value for one in evaluated.values() if isinstance(one.value, Unknown)]
    applies = _applies(rule.kind, evaluated)
    matters = applies or rule.kind is RuleKind.ALLOW
    return RuleExplained(rule, applies, _together(doubts) if matters and doubts else None, evaluated)


def _applies(kind: RuleKind, evaluated: Mapping[str, Evaluated]) -> bool:
    match kind:
        case RuleKind.ALLOW:
            return evaluated["allow"].value is True
        case RuleKind.DENY:
            return evaluated["deny"].value is not False
        case RuleKind.RESHAPE | RuleKind.THROTTLE:
            when, key = evaluated.get("when"), evaluated.get("key")
            return (when is None or when.value is not False) and (key is None or key.value != "")


def _together(doubts: list[Unknown]) -> Unknown:
    facts = dict.fromkeys(fact for doubt in doubts for fact in doubt.facts)
    return Unknown(tuple(facts), "; ".join(dict.fromkeys(doubt.reason for doubt in doubts)))
