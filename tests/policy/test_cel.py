"""What conditions come to: values, and what is unknown about them."""

from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelfence.core.facts import FACTS, Facts, FactType, FactValue
from modelfence.core.policy import Unknown
from modelfence.policy.cel import NUMBER, TEXT, TRUTH, CelExpression, Language, Result

LANGUAGE = Language({"embargoed": ["CU", "NO"], "models": ["o3"]}, ["none", "basic", "verified"])

SAMPLES: dict[FactType, FactValue] = {
    FactType.STRING: "text",
    FactType.INT: 7,
    FactType.DOUBLE: 0.5,
    FactType.BOOL: True,
    FactType.TIMESTAMP: datetime(2026, 3, 1, tzinfo=UTC),
    FactType.STRINGS: ["a"],
    FactType.TEXT_BY_NAME: {"plan": "gold"},
    FactType.SHARE_BY_COUNTRY: {"NO": 0.5},
}


def evaluated[T](source: str, facts: Facts, result: Result[T]) -> T | Unknown:
    expression = LANGUAGE.compile(source, result)
    assert isinstance(expression, CelExpression), expression
    return expression.evaluate(LANGUAGE.binder(expression.names, expression.constants)(facts))


@pytest.mark.parametrize(
    ("source", "facts", "value"),
    [
        ("true", {}, True),
        ('client.country == "NO"', {"client.country": "NO"}, True),
        ("client.country in lists.embargoed", {"client.country": "CU"}, True),
        ("kyc.tier < tier.verified", {"kyc.tier": 1}, True),
        ("kyc.owned_by.embargoed > 0.5", {"kyc.owned_by.embargoed": 0.5}, False),
        ('account.labels["plan"] == "gold"', {"account.labels": {"plan": "gold"}}, True),
        ('account.labels.plan == "gold"', {"account.labels": MappingProxyType({"plan": "gold"})}, True),
        ("has(account.labels.plan)", {"account.labels": {}}, False),
        ('kyc.ownership["CN"] > 0.5', {"kyc.ownership": {"CN": 0.6}}, True),
        ('extraction.signals.exists(s, s == "a")', {"extraction.signals": ("a", "b")}, True),
        ('now < timestamp("2027-01-01T00:00:00Z")', {"now": datetime(2026, 3, 1, tzinfo=UTC)}, True),
        ('.client.country == "NO"', {"client.country": "NO"}, True),
        ('client . `country` == "NO" // a comment', {"client.country": "NO"}, True),
        ('"client.network" == "a" || kyc.expired', {"kyc.expired": True}, True),
        ('[{"client": 1}][0].client == 1', {}, True),
        ("request.path.size() + request.bytes > 3", {"request.path": "/v1", "request.bytes": 1}, True),
    ],
)
def test_a_condition_is_true_or_false(source, facts, value):
    assert evaluated(source, facts, TRUTH) is value


@pytest.mark.parametrize(
    ("source", "facts", "value"),
    [
        ("false && kyc.expired", {}, False),
        ("kyc.expired && false", {}, False),
        ("true || kyc.expired", {}, True),
        ("kyc.expired || true", {}, True),
        ('false && account.labels.plan == "gold"', {"account.labels": {}}, False),
    ],
)
def test_what_is_unknown_does_not_matter_where_logic_settles_it(source, facts, value):
    assert evaluated(source, facts, TRUTH) is value


@pytest.mark.parametrize(
    ("source", "facts", "blamed", "reason"),
    [
        ("kyc.expired", {}, ["kyc.expired"], "`kyc.expired` is unknown"),
        (
            'kyc.expired || client.country == "NO" || client.hosting',
            {"client.hosting": False},
            ["client.country", "kyc.expired"],
            "`client.country` and `kyc.expired` are unknown",
        ),
        (
            'account.labels.plan == "gold" || client.hosting',
            {"account.labels": {}, "client.hosting": False},
            ["account.labels"],
            "a map lacks the key that is asked for",
        ),
        (
            'account.labels.plan == "gold" || client.hosting',
            {"account.labels": {}},
            ["account.labels", "client.hosting"],
            "a map lacks the key that is asked for",
        ),
        (
            "request.bytes / request.choices > 1",
            {"request.bytes": 1, "request.choices": 0},
            ["request.bytes", "request.choices"],
            "a division by zero",
        ),
        ("request.bytes + 9223372036854775807 > 1", {"request.bytes": 1}, ["request.bytes"], "a number is too large"),
        (
            "request.path.matches(request.model)",
            {"request.path": "/", "request.model": "("},
            ["request.model", "request.path"],
            "a pattern is not a regular expression",
        ),
        (
            "int(request.model) > 1",
            {"request.model": "o3"},
            ["request.model"],
            "a text can't be read as a number or a time",
        ),
        (
            'extraction.signals[3] == "a"',
            {"extraction.signals": []},
            ["extraction.signals"],
            "a list lacks the item that is asked for",
        ),
        (
            "now.getHours(kyc.purpose) > 1",
            {"now": datetime(2026, 3, 1, tzinfo=UTC), "kyc.purpose": "Atlantis"},
            ["kyc.purpose", "now"],
            "there is no such time zone",
        ),
        (
            "extraction.signals.all(a, extraction.signals.all(b, a == b))",
            {"extraction.signals": ["a"] * 1000},
            ["extraction.signals"],
            "it takes too many steps",
        ),
        ('request.model == "\\u00e9"', {"request.model": "\ud800"}, ["request.model"], "it can't be evaluated"),
    ],
)
def test_what_can_not_be_found_out_is_unknown_with_the_facts_to_blame(source, facts, blamed, reason):
    assert evaluated(source, facts, TRUTH) == Unknown(tuple(blamed), reason)


@pytest.mark.parametrize(
    ("source", "facts", "value"),
    [
        ("account.id", {"account.id": "acme"}, "acme"),
        ("account.id", {"account.id": ""}, ""),
        ("client.ip + '/' + string(client.asn)", {"client.ip": "192.0.2.1", "client.asn": 64496}, "192.0.2.1/64496"),
        ("account.id", {"account.id": "UNKNOWN: a name"}, "UNKNOWN: a name"),
        ("account.id", {}, Unknown(("account.id",), "`account.id` is unknown")),
    ],
)
def test_a_key_is_a_text(source, facts, value):
    assert evaluated(source, facts, TEXT) == value


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("request.model == 'gpt-4o'", {"request.model": "gpt-4o\0o3"}),
        ("'gold' in account.labels", {"account.labels": {"gold\0": "yes"}}),
        ("account.labels.plan == 'gold'", {"account.labels": {"plan": "gold\0"}}),
        ("'a' in extraction.signals", {"extraction.signals": ["a\0"]}),
    ],
)
def test_a_text_of_which_only_a_part_would_be_read_is_unknown(source, facts):
    [name] = facts
    assert evaluated(source, facts, TRUTH) == Unknown((name,), f"`{name}` is unknown")


@given(st.dictionaries(st.sampled_from(["account.id", "client.ip"]), st.text(st.characters(exclude_categories=()))))
@example({"account.id": "a\0b"})
def test_a_text_by_itself_is_what_cel_says_it_is(facts):
    assert evaluated("account.id", facts, TEXT) == evaluated('account.id + ""', facts, TEXT)


@pytest.mark.parametrize(
    ("source", "facts", "value"),
    [
        ("3", {}, 3.0),
        ("0.5 + 0.25", {}, 0.75),
        ("request.choices", {"request.choices": 4}, 4.0),
        ("request.choices", {}, Unknown(("request.choices",), "`request.choices` is unknown")),
    ],
)
def test_a_cost_is_a_number(source, facts, value):
    found = evaluated(source, facts, NUMBER)
    assert found == value
    assert isinstance(found, float | Unknown)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_every_fact_can_be_read_and_is_unknown_when_it_is_not_given(fact):
    source = f"dyn({fact.name}) == dyn({fact.name})"
    assert evaluated(source, {fact.name: SAMPLES[fact.type]}, TRUTH) is True
    assert evaluated(source, {}, TRUTH) == Unknown((fact.name,), f"`{fact.name}` is unknown")


@given(st.dictionaries(st.sampled_from(["client.country", "account.labels", "kyc.tier"]), st.text() | st.integers()))
def test_evaluating_never_raises_whatever_the_facts_hold(facts):
    source = 'client.country == "NO" || account.labels["a"] == "b" || kyc.tier < tier.basic'
    assert isinstance(evaluated(source, facts, TRUTH), bool | Unknown)


@pytest.mark.parametrize(
    ("source", "names", "constants"),
    [
        ("kyc.tier < tier.basic", {"kyc.tier"}, {"tier.basic"}),
        ("kyc.owned_by.models > 0.1", {"kyc.owned_by.models"}, set()),
        ('"kyc.tier" in lists.models // client.ip', set(), {"lists.models"}),
        ('has(account.labels.plan) && account . labels["a"].startsWith("b")', {"account.labels"}, set()),
    ],
)
def test_an_expression_says_what_it_reads(source, names, constants):
    expression = LANGUAGE.compile(source, TRUTH)
    assert isinstance(expression, CelExpression)
    assert (expression.names, expression.constants, expression.source) == (names, constants, source)
