"""Why each rule applied or not, part by part."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.charge import Demand
from modelfence.core.decision import decide
from modelfence.core.facts import Facts
from modelfence.core.policy import Evaluated, Policy, Unknown
from modelfence.policy.cel import TRUTH, CelExpression, Language
from modelfence.policy.compile import compile_text
from modelfence.policy.explain import explain

LANGUAGE = Language({"embargoed": ["CU", "NO"]}, ["none", "basic", "verified"])

POLICY = """\
version: 1
lists: {embargoed: [CU, IR]}
access:
  - id: owned
    deny: kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5
  - id: embargoed
    deny: client.country in lists.embargoed
  - id: customers
    allow: kyc.status == "active" && !kyc.expired
reshape:
  - id: no-logits
    when: kyc.tier < tier.enhanced
    remove: [logprobs]
  - id: short
    cap: {choices: 1}
throttle:
  - id: campaign
    key: extraction.cohort
    rate: 10 per day
    cost: 1.0 + 9.0 * extraction.score
  - id: large
    when: request.input_tokens > 1000
    key: account.id
    rate: 10 per day
"""
FACTS: Facts = {
    "kyc.tier": 2, "kyc.owned_by.embargoed": 0.25, "client.country": "NO", "kyc.status": "active", "kyc.expired": False,
    "extraction.cohort": "", "extraction.score": 0.5, "request.input_tokens": 2000, "account.id": "acme",
}  # fmt: skip


def policy() -> Policy:
    compiled = compile_text(POLICY)
    assert compiled.policy is not None, compiled.problems
    return compiled.policy


def values(evaluated: Evaluated) -> Mapping[str, object]:
    return {part.source: part.value for part in evaluated.all()}


def test_every_rule_is_explained_whether_it_applies_or_not():
    explained = explain(policy(), FACTS)
    assert {one.rule.id: one.applies for one in explained} == {
        "owned": False, "embargoed": False, "customers": True, "no-logits": True, "short": True, "campaign": False,
        "large": True,
    }  # fmt: skip
    assert [list(one.expressions) for one in explained[-2:]] == [["key", "cost"], ["when", "key"]]


def test_each_part_has_its_value():
    owned, embargoed, customers, *_, campaign, _large = explain(policy(), FACTS)
    assert values(owned.expressions["deny"]) == {
        "kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5": False,
        "kyc.tier >= tier.verified": True, "kyc.tier": 2, "tier.verified": 2,
        "kyc.owned_by.embargoed > 0.5": False, "kyc.owned_by.embargoed": 0.25, "0.5": 0.5,
    }  # fmt: skip
    assert values(embargoed.expressions["deny"])["lists.embargoed"] == ["CU", "IR"]
    assert values(customers.expressions["allow"])["!kyc.expired"] is True
    assert values(campaign.expressions["cost"]) == {"1.0 + 9.0 * extraction.score": 5.5, "extraction.score": 0.5}


def test_what_is_unknown_says_what_it_lacked():
    facts = {name: value for name, value in FACTS.items() if name not in ("kyc.owned_by.embargoed", "kyc.expired")}
    owned, embargoed, customers, *_ = explain(policy(), facts)
    assert owned.applies
    assert owned.unknown == Unknown(("kyc.owned_by.embargoed",), "`kyc.owned_by.embargoed` is unknown")
    assert not customers.applies
    assert customers.unknown == Unknown(("kyc.expired",), "`kyc.expired` is unknown")
    assert embargoed.unknown is None
    tier, owners = owned.expressions["deny"].parts
    assert tier.value is True
    assert isinstance(owners.value, Unknown)


def test_a_rule_that_its_known_parts_settle_lacks_nothing():
    owned = explain(policy(), {"kyc.tier": 1})[0]
    assert (owned.applies, owned.unknown) == (False, None)


@given(st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in FACTS.items()}))
def test_it_agrees_with_the_decision(facts):
    compiled = policy()
    explained = explain(compiled, facts)
    decision = decide(compiled, facts, Demand())
    steps = {step.rule.id: step for step in decision.trace}
    for one in explained:
        if one.rule.id in steps:
            step = steps[one.rule.id]
            assert (one.applies, one.unknown and set(one.unknown.facts)) == (
                step.applied,
                step.unknown and set(step.unknown.facts),
            )
        elif decision.admitted or one.rule.kind in ("deny", "allow"):
            assert not one.applies


ATOMS = (
    "kyc.expired", "client.eu", "true", "kyc.tier > 1", "client.country in lists.embargoed", 'client.country == "NO"',
    "lists.embargoed.exists(c, c == client.country || client.eu)", "has(account.labels.plan)", "kyc.tier + 1 <= -kyc.tier",
)  # fmt: skip


def conditions() -> st.SearchStrategy[str]:
    def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + " || ".join(parts) + ")"),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: "(" + " && ".join(parts) + ")"),
            inner.map(lambda part: f"!({part})"),
            st.tuples(inner, inner).map(lambda two: f"(({two[0]}) == ({two[1]}))"),
            st.tuples(inner, inner, inner).map(lambda three: f"(({three[0]}) ? {three[1]} : {three[2]})"),
        )

    return st.recursive(st.sampled_from(ATOMS), larger, max_leaves=8)


def recomputed(one: Evaluated) -> object:
    """Return what the values of its parts make of an expression, by CEL's logic: doubt yields to what settles it."""
    parts = [recomputed(part) for part in one.parts]
    match one.kind:
        case "or":
            return True if True in parts else None if None in parts else False
        case "and":
            return False if False in parts else None if None in parts else True
        case "not":
            return None if parts[0] is None else not parts[0]
        case "choice":
            return None if parts[0] is None else parts[1] if parts[0] else parts[2]
        case "relation" if all(isinstance(part.value, bool) for part in one.parts) and "==" in one.source:
            return parts[0] == parts[1]
        case _:
            return None if isinstance(one.value, Unknown) else one.value


@given(
    conditions(),
    st.fixed_dictionaries(
        {},
        optional={
            "kyc.expired": st.booleans(), "client.eu": st.booleans(), "kyc.tier": st.integers(0, 2),
            "client.country": st.sampled_from(["NO", "SE"]), "account.labels": st.sampled_from([{}, {"plan": "x"}]),
        },
    ),
)  # fmt: skip
def test_the_parts_make_up_the_whole(source, facts):
    expression = LANGUAGE.compile(source, TRUTH)
    assert isinstance(expression, CelExpression), expression
    bound = LANGUAGE.binder(expression.names, expression.constants)(facts)
    explained = expression.explain(bound)
    whole = expression.evaluate(bound)
    assert explained.value == whole
    assert recomputed(explained) == (None if isinstance(whole, Unknown) else whole)
    for part in explained.all():
        assert source[part.start : part.end] == part.source
