"""The shipped cases hold the shipped policies: whatever is changed in a rule, some case fails.

Each rule is dropped, turned round, put into shadow or out of it, and loses its message; in each condition every
operator, number, tier and text is changed in turn; each throttle gets another rate, burst, unit, key and cost. A change
that no case notices is a case that is missing.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelfence.core.charge import Unit
from modelfence.core.policy import AccessRule, DenyGroup, Policy, ReshapeRule, RuleKind, ThrottleRule
from modelfence.policy.cel import CelExpression
from modelfence.policy.tokens import tokens
from modelfence.workbench.cases import read_cases, run

FOLDER = Path(__file__).parents[2] / "policies"
FILES = [read_cases(path) for path in sorted(FOLDER.rglob("*.cases.yaml"))]
POLICIES = {file.policy_path: file.compiled.policy for file in FILES}
OPERATORS = {
    "&&": "||", "||": "&&", "==": "!=", "!=": "==", ">": ">=", ">=": ">", "<": "<=", "<=": "<", "+": "-", "*": "+",
    "!": "",
}  # fmt: skip

UNNOTICED = {
    # Every policy that is shipped with this pack has `no-logits` as well, which takes out the same of more callers.
    "no-logits-below-verified": {
        "dropped", "other mode", "leaves logprobs", "leaves logit_bias", "< at 9 -> <=", "verified at 16 -> basic",
        "verified at 16 -> enhanced",
    },
}  # fmt: skip
"""Changes that no case can notice, by rule, each with the reason."""


def changed_texts(source: str, tiers) -> Iterator[tuple[str, str]]:
    """Yield each change of an expression: what is changed, and the whole text after it."""
    parts = tokens(source)
    for at, token in enumerate(parts):
        others = []
        if token.text in OPERATORS:
            others = [OPERATORS[token.text]]
        elif token.kind == "string":
            others = [f'"x{token.text[1:-1]}"']
        elif token.kind == "number":
            step = 0.01 if "." in token.text else 1
            others = [
                str(round(float(token.text) + by, 3)) if step < 1 else str(int(token.text) + by) for by in (step, -step)
            ]
        elif token.text in tiers and at >= 2 and parts[at - 2].text == "tier":
            place = tiers.index(token.text)
            others = [tiers[other] for other in (place - 1, place + 1) if 0 <= other < len(tiers)]
        for other in others:
            yield f"{token.text} at {token.start} -> {other}", source[: token.start] + other + source[token.end :]


def expressions(expression: Any, tiers) -> Iterator[tuple[str, Any]]:
    """Yield each expression that differs in one thing."""
    for name, text in changed_texts(expression.source, tiers):
        compiled = expression.language.compile(text, expression.result)
        if isinstance(compiled, CelExpression):  # what can't be compiled is not shipped
            yield name, compiled


def conditions(expression: Any, tiers) -> Iterator[tuple[str, Any]]:
    yield "negated", expression.language.compile(f"!({expression.source})", expression.result)
    yield from expressions(expression, tiers)


def changed_rules(entry) -> Iterator[tuple[str, Any]]:
    """Yield what every rule can be changed in."""
    yield "dropped", None
    yield "other mode", replace(entry, rule=replace(entry.rule, shadow=not entry.rule.shadow))
    if entry.rule.message:
        yield "other message", replace(entry, rule=replace(entry.rule, message="something else"))


def changed_access(entry: Any, tiers) -> Iterator[tuple[str, Any]]:
    other = RuleKind.ALLOW if entry.rule.kind is RuleKind.DENY else RuleKind.DENY
    yield "turned round", replace(entry, rule=replace(entry.rule, kind=other))
    for name, condition in conditions(entry.condition, tiers):
        yield name, replace(entry, condition=condition)


def changed_reshape(entry: Any, tiers) -> Iterator[tuple[str, Any]]:
    for name, when in conditions(entry.when, tiers) if entry.when else ():
        yield name, replace(entry, when=when)
    reshaping = entry.reshaping
    for word in reshaping.remove:
        yield f"leaves {word}", replace(entry, reshaping=replace(reshaping, remove=reshaping.remove - {word}))
    for word in reshaping.hide:
        yield f"shows {word}", replace(entry, reshaping=replace(reshaping, hide=reshaping.hide - {word}))
    for word, most in reshaping.cap.items():
        yield f"caps {word}", replace(entry, reshaping=replace(reshaping, cap={**reshaping.cap, word: most + 1}))


def changed_throttle(entry: Any, tiers) -> Iterator[tuple[str, Any]]:
    for name, when in conditions(entry.when, tiers) if entry.when else ():
        yield f"when {name}", replace(entry, when=when)
    for name, cost in expressions(entry.cost, tiers) if entry.cost else ():
        yield f"cost {name}", replace(entry, cost=cost)
    yield "no cost", replace(entry, cost=None)
    yield "one bucket for all", replace(entry, key=entry.key.language.compile('"all"', entry.key.result))
    rate = entry.rate
    for factor in (0.5, 2):
        yield f"rate x {factor}", replace(entry, rate=replace(rate, amount=rate.amount * factor))
    for more in (-1, 1):
        yield f"burst {more:+}", replace(entry, rate=replace(rate, burst=rate.burst + more))
    for unit in set(Unit) - {entry.unit}:
        yield f"counts {unit}", replace(entry, unit=unit)


def entries(policy: Policy) -> Iterator[Any]:
    yield from (deny for group in policy.denies for deny in group.rules)
    yield from (*policy.allows, *policy.reshapes, *policy.throttles)


def changes(policy: Policy, id_: str) -> dict[str, Any]:
    """Return what a rule can be changed to, by a name for it."""
    [entry] = [one for one in entries(policy) if one.rule.id == id_]
    own: Any = {AccessRule: changed_access, ReshapeRule: changed_reshape, ThrottleRule: changed_throttle}[type(entry)]
    found = {**dict(changed_rules(entry)), **dict(own(entry, list(policy.tiers)))}
    if isinstance(entry, ThrottleRule) and entry.cost is None:
        del found["no cost"]
    return found


def with_change(policy: Policy, id_: str, new) -> Policy:
    """Return a policy with another rule in the place of one."""
    kept = [new if one.rule.id == id_ else one for one in entries(policy)]
    kept = [one for one in kept if one is not None]
    access = [one for one in kept if isinstance(one, AccessRule)]
    return replace(
        policy,
        denies=[DenyGroup(one.condition, [one]) for one in access if one.rule.kind is RuleKind.DENY],
        allows=[one for one in access if one.rule.kind is RuleKind.ALLOW],
        reshapes=[one for one in kept if isinstance(one, ReshapeRule)],
        throttles=[one for one in kept if isinstance(one, ThrottleRule)],
    )


def is_noticed(id_: str, change: str) -> bool:
    """Say whether some case fails when a rule is changed, in every policy that has it."""
    for path, policy in POLICIES.items():
        if not any(rule.id == id_ for rule in policy.rules()):
            continue
        mutant = with_change(policy, id_, changes(policy, id_)[change])
        if any(run(file, policy=mutant).failed for file in FILES if file.policy_path == path):
            return True
    return False


def test_nothing_fails_that_was_not_changed():
    assert [one.case.title for file in FILES for one in run(file).failed] == []


RULES = sorted({rule.id for policy in POLICIES.values() for rule in policy.rules()})


@pytest.mark.parametrize("id_", RULES)
def test_some_shipped_case_fails_whatever_is_changed_in_a_rule(id_):
    policy = next(one for one in POLICIES.values() if any(rule.id == id_ for rule in one.rules()))
    unnoticed = {change for change in changes(policy, id_) if not is_noticed(id_, change)}
    assert unnoticed == UNNOTICED.get(id_, set())
