"""Denies are looked at in groups; nothing but the time it takes may show it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfence.core.charge import Demand
from modelfence.core.decision import decide
from modelfence.core.facts import Facts
from modelfence.core.policy import Policy, RuleKind
from modelfence.policy import compile_text
from modelfence.policy.conditions import GROUP

CONDITIONS = (
    'client.country == "NO"',
    "kyc.expired",
    "kyc.expired && false",
    'account.labels["plan"] == "gold"',
    "kyc.tier < tier.basic || client.hosting",
    "client.hosting && kyc.expired // || true",
    'client.country in lists.nordic\n|| client.network == "a" // the end',
    'client.country.matches("^N.$")',
    "!(client.hosting) && request.bytes / kyc.tier > 5",
)
FACTS: Facts = {
    "client.country": "NO",
    "client.hosting": False,
    "client.network": "b",
    "kyc.expired": False,
    "kyc.tier": 0,
    "account.labels": {},
    "request.bytes": 10,
}


def policy_of(conditions: list[str]) -> Policy:
    lines = ["version: 1", "lists: {nordic: [NO, SE]}", "access:"]
    for n, condition in enumerate(conditions):
        lines += [f"  - id: rule-{n}", "    deny: |", *(f"      {line}" for line in condition.split("\n"))]
    compiled = compile_text("\n".join(lines) + "\n")
    assert compiled.policy, [problem.render() for problem in compiled.problems]
    return compiled.policy


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(CONDITIONS), min_size=1, max_size=2 * GROUP + 3),
    st.sets(st.sampled_from(sorted(FACTS))),
)
def test_denies_in_groups_apply_as_they_would_one_by_one(conditions, known):
    policy = policy_of(conditions)
    facts = {name: FACTS[name] for name in known}
    bound = policy.bind(facts)
    one_by_one = [
        access.rule.id
        for group in policy.denies
        for access in group.rules
        if access.condition.evaluate(bound) is not False
    ]
    decision = decide(policy, facts, Demand())
    assert [step.rule.id for step in decision.trace if step.rule.kind is RuleKind.DENY] == one_by_one
    assert [access.rule.id for group in policy.denies for access in group.rules] == [
        f"rule-{n}" for n in range(len(conditions))
    ]


@pytest.mark.parametrize("count", [1, GROUP, GROUP + 1, 3 * GROUP])
def test_a_group_holds_no_more_than_its_share(count):
    policy = policy_of(["kyc.expired"] * count)
    sizes = [len(group.rules) for group in policy.denies]
    assert sum(sizes) == count
    assert max(sizes) <= GROUP


@pytest.mark.parametrize(
    "condition",
    [
        f'client.network == "{"a" * 60_000}"',
        "(" * 30 + "kyc.expired" + ")" * 30,
    ],
    ids=["long", "deep"],
)
def test_conditions_too_large_to_be_combined_are_looked_at_by_themselves(condition):
    policy = policy_of([condition] * 5)
    assert sum(len(group.rules) for group in policy.denies) == 5
    assert decide(policy, {"client.network": "b", "kyc.expired": False}, Demand()).rules == ()
    assert len(decide(policy, {}, Demand()).rules) == 5
