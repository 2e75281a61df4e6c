"""Which part each rule had in the effect, and what those lacked that nearly applied."""

from collections.abc import Mapping, Sequence

from modelfence.core.decision import Decision, Effect
from modelfence.core.explanation import RuleExplained
from modelfence.core.policy import Evaluated, Policy, RuleKind, Unknown
from modelfence.policy.keys import CONDITIONS
from modelfence.workbench.explaining.audit_lines import LoggedLine
from modelfence.workbench.explaining.desk import Desk
from modelfence.workbench.explaining.explanation import Role, RuleRole
from modelfence.workbench.explaining.values import NOT_LOGGED

_CONSEQUENCES = (RuleKind.RESHAPE, RuleKind.THROTTLE)


def roles_of(rules: Sequence[RuleExplained], decision: Decision, desk: Desk) -> tuple[RuleRole, ...]:
    """Return every rule with its part in the decision, those that matter most first."""
    found = [
        RuleRole(one, _role(one, decision), desk.place_of_rule(one.rule.id), () if one.applies else missing_in(one))
        for one in rules
    ]
    return in_order(found)


def logged_roles_of(rules: Sequence[RuleExplained], line: LoggedLine, desk: Desk) -> tuple[RuleRole, ...]:
    """Return every rule of today with its part in a decision of a log, those that matter most first."""
    found = []
    for one in rules:
        missing = () if one.applies or is_untold(one) else missing_in(one)
        then = one.rule.id in (*line.texts("rules"), *line.texts("shadow_rules"))
        found.append(RuleRole(one, _logged_role(one, line), desk.place_of_rule(one.rule.id), missing, then))
    return in_order(found)


def is_untold(explained: RuleExplained) -> bool:
    """Say whether a rule depends on what an audit log does not hold."""
    deciding = [explained.expressions[key] for key in (*CONDITIONS, "key") if key in explained.expressions]
    if any(one.value is False or one.value == "" for one in deciding):
        return False
    return any(isinstance(one.value, Unknown) and one.value.reason == NOT_LOGGED for one in deciding)


def readers_of(policy: Policy) -> Mapping[str, tuple[str, ...]]:
    """Return for each fact that some rule reads the ids of these rules."""
    expressions = [
        *(
            (one.rule.id, one.condition)
            for one in (*(deny for group in policy.denies for deny in group.rules), *policy.allows)
        ),
        *((one.rule.id, one.when) for one in policy.reshapes),
        *((one.rule.id, part) for one in policy.throttles for part in (one.when, one.key, one.cost)),
    ]
    readers: dict[str, dict[str, None]] = {}
    for rule, expression in expressions:
        for name in expression.names if expression is not None else ():
            readers.setdefault(name, {})[rule] = None
    return {name: tuple(rules) for name, rules in readers.items()}


def in_order(rules: Sequence[RuleRole]) -> tuple[RuleRole, ...]:
    """Return the rules that matter most first; those alike stay as they were."""
    order = list(Role)
    return tuple(sorted(rules, key=lambda one: order.index(one.role)))


def missing_in(explained: RuleExplained) -> tuple[str, ...]:
    """Return the parts without which a rule that did not apply would have."""
    key = explained.expressions.get("key")
    if key is not None and key.value == "":
        return (f"{key.source} is empty",)
    condition = condition_of(explained)
    return tuple(" ".join(part.source.split()) for part in _missing(condition)) if condition else ()


def condition_of(explained: RuleExplained) -> Evaluated | None:
    """Return what decides whether a rule applies; None for one that always does."""
    return next((explained.expressions[key] for key in CONDITIONS if key in explained.expressions), None)


def is_near(explained: RuleExplained) -> bool:
    """Say whether one part kept a rule from applying, and all others held."""
    condition = condition_of(explained)
    if explained.applies or condition is None or condition.kind != "and":
        return False
    return sum(part.value is not True for part in condition.parts) == 1


def _role(explained: RuleExplained, decision: Decision) -> Role:
    rule = explained.rule
    if explained.applies:
        if not decision.admitted and rule.kind in _CONSEQUENCES and rule.id not in decision.rules:
            return Role.IDLE
        if rule.shadow:
            return Role.SHADOW
        return Role.DECIDED if rule.id in decision.rules else Role.APPLIED
    if rule.kind is RuleKind.ALLOW and decision.effect is Effect.DENY and not decision.rules and not rule.shadow:
        return Role.LACKED
    return Role.NEARLY if is_near(explained) else Role.NOT


def _logged_role(explained: RuleExplained, line: LoggedLine) -> Role:  # noqa: PLR0911 - one for each role
    rule, effect, decided = explained.rule, line.text("effect"), line.texts("rules")
    if rule.id in decided:
        return Role.DECIDED
    if rule.id in line.texts("shadow_rules"):
        return Role.SHADOW
    if is_untold(explained):
        return Role.UNTOLD
    if explained.applies:
        if effect != Effect.ALLOW and rule.kind in _CONSEQUENCES:
            return Role.IDLE
        return Role.SHADOW if rule.shadow else Role.APPLIED
    if rule.kind is RuleKind.ALLOW and effect == Effect.DENY and not decided and not rule.shadow:
        return Role.LACKED
    return Role.NEARLY if is_near(explained) else Role.NOT


def _missing(part: Evaluated) -> list[Evaluated]:
    """Return the parts that would have to come out otherwise for this one to be true: as few as there are."""
    if part.value is True:
        return []
    match part.kind:
        case "and":
            return [one for inner in part.parts for one in _missing(inner)]
        case "or":
            return min((_missing(inner) for inner in part.parts), key=len)
        case _:
            return [part]
