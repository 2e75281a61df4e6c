"""Each fact has an example, which is a condition without problems that tells two calls apart."""

import json
from datetime import UTC, date, datetime

import pytest
import yaml

from modelfence.core.charge import Demand
from modelfence.core.decision import Decision, decide
from modelfence.core.facts import FACTS, Facts
from modelfence.core.policy import Policy
from modelfence.policy import compile_text
from modelfence.policy.lint import lint
from modelfence.workbench.reference import FACT_EXAMPLES, FACT_GROUPS, LISTS, NAMED, FactExample

EXAMPLES = {one.fact: one for one in FACT_EXAMPLES}
ALWAYS = {fact.name for fact in (*FACTS, *NAMED) if fact.always}
APPLIES_AND_DIFFERS: dict[str, tuple[Facts, Facts]] = {
    "client.ip": ({"client.ip": "203.0.113.9"}, {"client.ip": "198.51.100.7"}),
    "client.country": ({"client.country": "IR"}, {"client.country": "NO"}),
    "client.registered_country": ({"client.registered_country": "IR"}, {"client.registered_country": "DE"}),
    "client.region": ({"client.country": "UA", "client.region": "UA-43"}, {"client.region": "UA-30"}),
    "client.continent": ({"client.continent": "EU", "kyc.status": "active"}, {"client.continent": "SA"}),
    "client.eu": ({"client.eu": True, "kyc.status": "active"}, {"client.eu": False}),
    "client.asn": ({"client.asn": 64511}, {"client.asn": 64500}),
    "client.network": ({"client.network": "Example Hosting Ltd"}, {"client.network": "Telenor Norge AS"}),
    "client.anonymous": ({"client.anonymous": True, "kyc.tier": 1}, {"client.anonymous": False}),
    "client.vpn": ({"client.vpn": True, "kyc.tier": 2}, {"client.vpn": False}),
    "client.proxy": ({"client.proxy": True, "kyc.status": "unknown"}, {"client.proxy": False}),
    "client.residential_proxy": ({"client.residential_proxy": True}, {"client.residential_proxy": False}),
    "client.tor": ({"client.tor": True}, {"client.tor": False}),
    "client.hosting": ({"client.hosting": True, "kyc.tier": 1}, {"client.hosting": False}),
    "geo.database_age_days": ({"geo.database_age_days": 45, "kyc.tier": 1}, {"geo.database_age_days": 3}),
    "account.id": ({"account.id": "acme-old"}, {"account.id": "acme"}),
    "account.labels": (
        {"account.labels": {"plan": "gold"}, "kyc.status": "active"},
        {"account.labels": {"plan": "trial"}},
    ),
    "account.payer": ({"account.payer": "card-4711", "kyc.tier": 1}, {"account.payer": "invoice-1042"}),
    "account.contact_domain": (
        {"account.contact_domain": "yopmail.com", "kyc.tier": 1},
        {"account.contact_domain": "acme.example"},
    ),
    "account.signup_batch": ({"account.signup_batch": "2026-01"}, {"account.signup_batch": "2025-11"}),
    "account.recent_countries": (
        {"account.recent_countries": ["BR", "DE", "US", "VN"]},
        {"account.recent_countries": ["DE", "NO"]},
    ),
    "kyc.tier": ({"kyc.tier": 1, "kyc.status": "active"}, {"kyc.tier": 0}),
    "kyc.status": ({"kyc.status": "active"}, {"kyc.status": "suspended"}),
    "kyc.country": ({"kyc.tier": 2, "kyc.country": "KP"}, {"kyc.country": "SE"}),
    "kyc.ownership": (
        {"kyc.tier": 2, "kyc.ownership": {"IR": 0.3, "NO": 0.7}},
        {"kyc.ownership": {"IR": 0.1, "NO": 0.9}},
    ),
    "kyc.owned_by.LIST": ({"kyc.tier": 2, "kyc.owned_by.embargoed": 0.6}, {"kyc.owned_by.embargoed": 0.5}),
    "kyc.screening": ({"kyc.tier": 1, "kyc.screening": "pending"}, {"kyc.screening": "clear"}),
    "kyc.expired": ({"kyc.status": "active", "kyc.expired": True}, {"kyc.expired": False}),
    "kyc.purpose": ({"request.operation": "batch", "kyc.purpose": "customer-support"}, {"kyc.purpose": "evaluation"}),
    "kyc.verified_by": ({"kyc.tier": 2, "kyc.verified_by": "reseller-7"}, {"kyc.verified_by": "onboarding-desk"}),
    "kyc.days_since_verified": ({"kyc.tier": 2, "kyc.days_since_verified": 400}, {"kyc.days_since_verified": 30}),
    "kyc.days_since_screened": ({"kyc.tier": 2, "kyc.days_since_screened": 45}, {"kyc.days_since_screened": 2}),
    "request.provider": ({"request.provider": "anthropic", "kyc.tier": 1}, {"request.provider": "openai"}),
    "request.operation": ({"request.operation": "batch", "kyc.tier": 1}, {"request.operation": "chat"}),
    "request.model": ({"request.model": "o3-deep-research-2025-06-26", "kyc.tier": 1}, {"request.model": "gpt-4o"}),
    "request.stream": ({"request.output_tokens": 32000, "request.stream": False}, {"request.stream": True}),
    "request.logprobs": ({"request.logprobs": True, "kyc.tier": 2}, {"request.logprobs": False}),
    "request.logit_bias": ({"request.logprobs": True, "request.logit_bias": 100}, {"request.logit_bias": 0}),
    "request.choices": ({"request.choices": 128}, {"request.choices": 1}),
    "request.tools": ({"request.tools": 3, "kyc.tier": 0}, {"request.tools": 0}),
    "request.reasoning": ({"request.reasoning": True, "kyc.tier": 1}, {"request.reasoning": False}),
    "request.input_tokens": ({"request.input_tokens": 150000, "kyc.tier": 1}, {"request.input_tokens": 800}),
    "request.output_tokens": ({"request.output_tokens": 64000, "kyc.tier": 1}, {"request.output_tokens": 1000}),
    "request.path": ({"request.path": "/v1/fine_tuning/jobs"}, {"request.path": "/v1/chat/completions"}),
    "request.method": ({"request.method": "DELETE", "kyc.tier": 2}, {"request.method": "POST"}),
    "request.bytes": ({"request.bytes": 5000000, "kyc.status": "unknown"}, {"request.bytes": 2000}),
    "extraction.score": ({"extraction.score": 0.95, "kyc.tier": 1}, {"extraction.score": 0.4}),
    "extraction.signals": (
        {"kyc.tier": 1, "extraction.signals": ["logit_probing", "long_answers"]},
        {"extraction.signals": ["long_answers"]},
    ),
    "extraction.cohort": ({"extraction.cohort": "c-81f3", "extraction.score": 0.7}, {"extraction.cohort": ""}),
    "extraction.cohort_accounts": (
        {"extraction.cohort_accounts": 40, "extraction.score": 0.7},
        {"extraction.cohort_accounts": 6},
    ),
    "now": (
        {"account.labels": {"plan": "trial"}, "now": datetime(2026, 12, 31, 23, 0, tzinfo=UTC)},
        {"now": datetime(2027, 1, 1, 0, 0, tzinfo=UTC)},
    ),
    "lists.NAME": ({"request.model": "o3-deep-research", "kyc.tier": 1}, {"request.model": "gpt-4o"}),
    "tier.NAME": ({"kyc.tier": 3, "kyc.status": "active"}, {"kyc.tier": 2}),
}
"""Facts of a call to which the rule applies, and what is otherwise in a call to which it does not."""


def policy_of(example: FactExample) -> Policy:
    """Return a policy that has the example as it would be copied, and nothing else that matters."""
    lists = {name: items for name, items in yaml.safe_load(LISTS)["lists"].items() if name in example.condition}
    rule = f"  - id: example\n    {example.key}: {example.condition}\n"
    text = f"version: 1\nlists: {json.dumps(lists)}\naccess:\n"
    if example.key == "when":
        text += f"  - id: let-in\n    allow: client.ip != 'a'\nthrottle:\n{rule}    key: client.ip\n    rate: 1 per second\n"
    else:
        text += rule
    compiled = compile_text(text)
    assert (compiled.problems, lint(compiled, today=date(2026, 11, 29))) == ((), ())
    assert compiled.policy is not None
    return compiled.policy


def applied(example: FactExample, facts: Facts) -> tuple[bool, Decision]:
    """Return whether the example's rule applied to a call."""
    decision = decide(policy_of(example), {"client.ip": "198.51.100.7", **facts}, Demand())
    return any(step.applied for step in decision.trace if step.rule.id == "example"), decision


def test_each_fact_and_each_name_of_a_policys_own_has_an_example():
    assert sorted(EXAMPLES) == sorted(fact.name for fact in (*FACTS, *NAMED))
    assert len(EXAMPLES) == len(FACT_EXAMPLES)


def test_each_fact_is_in_one_group():
    words = [word for group in FACT_GROUPS for word in group.first_words]
    assert words == [*dict.fromkeys(fact.name.partition(".")[0] for fact in FACTS), "lists", "tier"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_condition_asks_for_the_fact(name):
    policy = policy_of(EXAMPLES[name])
    asked = name.replace("LIST", "embargoed")
    if name not in ("lists.NAME", "tier.NAME"):
        assert asked in policy.names
    assert name.removesuffix("LIST").removesuffix("NAME") in EXAMPLES[name].condition


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_rule_applies_to_one_call_and_not_to_the_other(name):
    applies, differs = APPLIES_AND_DIFFERS[name]
    assert applied(EXAMPLES[name], applies)[0]
    assert not applied(EXAMPLES[name], {**applies, **differs})[0]


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ALWAYS])
def test_where_the_fact_is_unknown_a_deny_applies_and_an_allow_does_not(name):
    asked = name.replace("LIST", "embargoed")
    known = {fact: value for fact, value in APPLIES_AND_DIFFERS[name][0].items() if fact != asked}
    rule_applied, decision = applied(EXAMPLES[name], known)
    assert rule_applied == (EXAMPLES[name].key != "allow")
    assert asked in decision.unknown


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_condition_is_copied_into_yaml_as_it_is_shown(name):
    example = EXAMPLES[name]
    assert yaml.compose(f"{example.key}: {example.condition}").value[0][1].value == example.condition
