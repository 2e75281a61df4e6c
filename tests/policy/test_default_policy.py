"""What the default policy does with whom: a table of facts, effects and the rules that caused them."""

from pathlib import Path

import pytest

from modelfence.core.charge import Demand
from modelfence.core.decision import Decision, decide
from modelfence.core.facts import Facts, FactValue
from modelfence.policy import compile_policy

POLICY = compile_policy(Path(__file__).parents[2] / "policies" / "default.yaml").policy
NONE, BASIC, VERIFIED, ENHANCED = range(4)

CUSTOMER: Facts = {
    "client.country": "NO",
    "account.id": "acme",
    "kyc.tier": VERIFIED,
    "kyc.status": "active",
    "kyc.owned_by.embargoed": 0.0,
    "request.operation": "chat",
    "request.model": "gpt-4o",
    "extraction.score": 0.0,
    "extraction.signals": [],
    "extraction.cohort": "",
    "extraction.cohort_accounts": 0,
}
STRANGER: Facts = {
    "client.country": "NO",
    "kyc.tier": NONE,
    "kyc.status": "unknown",
    "request.operation": "chat",
    "request.model": "gpt-4o",
    "extraction.score": 0.0,
    "extraction.signals": [],
    "extraction.cohort": "",
    "extraction.cohort_accounts": 0,
}


def decided(facts: Facts, **changes: FactValue | None) -> Decision:
    """Return the decision on these facts with changes; a changed fact that is None is unknown."""
    known: dict[str, FactValue | None] = {
        **facts,
        **{name.replace("__", "."): value for name, value in changes.items()},
    }
    assert POLICY is not None
    return decide(POLICY, {n: v for n, v in known.items() if v is not None}, Demand(100, 200))


@pytest.mark.parametrize(
    ("facts", "changes", "effect", "rules"),
    [
        (CUSTOMER, {}, "allow", ["active-customers"]),
        (CUSTOMER, {"kyc__tier": BASIC}, "allow", ["active-customers"]),
        (CUSTOMER, {"kyc__tier": ENHANCED}, "allow", ["active-customers"]),
        (CUSTOMER, {"kyc__tier": NONE}, "deny", []),
        (CUSTOMER, {"kyc__status": "suspended"}, "deny", []),
        (CUSTOMER, {"kyc__status": "closed"}, "deny", []),
        (CUSTOMER, {"request__operation": "unknown"}, "deny", []),
        (CUSTOMER, {"request__operation": "models", "request__model": ""}, "allow", ["active-customers"]),
        (CUSTOMER, {"request__operation": "batch", "request__model": None}, "deny", ["no-batches"]),
        (CUSTOMER, {"request__operation": "files", "kyc__tier": ENHANCED}, "deny", ["no-batches"]),
        (CUSTOMER, {"request__operation": "tuning"}, "deny", ["no-batches"]),
        (STRANGER, {}, "deny", []),
        (CUSTOMER, {"client__country": "KP"}, "deny", ["embargoed-region"]),
        (CUSTOMER, {"client__country": None}, "deny", ["embargoed-region"]),
        (STRANGER, {"client__country": "CU"}, "deny", ["embargoed-region"]),
        (CUSTOMER, {"kyc__owned_by__embargoed": 0.5}, "allow", ["active-customers"]),
        (CUSTOMER, {"kyc__owned_by__embargoed": 0.51}, "deny", ["owned-from-embargoed-region"]),
        (CUSTOMER, {"kyc__owned_by__embargoed": None}, "deny", ["owned-from-embargoed-region"]),
        (CUSTOMER, {"kyc__owned_by__embargoed": None, "kyc__tier": BASIC}, "allow", ["active-customers"]),
        (CUSTOMER, {"request__model": "o3-deep-research"}, "allow", ["active-customers"]),
        (
            CUSTOMER,
            {"request__model": "o3-deep-research", "kyc__tier": BASIC},
            "deny",
            ["deep-research-needs-verification"],
        ),
        (CUSTOMER, {"request__model": None}, "allow", ["active-customers"]),
        (
            CUSTOMER,
            {"request__model": "o3-deep-research-2025-06-26", "kyc__tier": BASIC},
            "deny",
            ["deep-research-needs-verification"],
        ),
        (CUSTOMER, {"request__model": None, "kyc__tier": BASIC}, "deny", ["deep-research-needs-verification"]),
        (
            CUSTOMER,
            {"client__country": "IR", "kyc__owned_by__embargoed": 1.0},
            "deny",
            ["owned-from-embargoed-region", "embargoed-region"],
        ),
    ],
)
def test_who_is_let_in(facts, changes, effect, rules):
    decision = decided(facts, **changes)
    assert (decision.effect, sorted(decision.rules)) == (effect, sorted(rules))


@pytest.mark.parametrize(
    ("tier", "removed"),
    [(BASIC, {"logprobs", "logit_bias"}), (VERIFIED, {"logprobs", "logit_bias"}), (ENHANCED, set())],
)
def test_token_probabilities_are_for_enhanced_accounts(tier, removed):
    assert decided(CUSTOMER, kyc__tier=tier).reshaping.remove == removed


@pytest.mark.parametrize(
    ("tier", "throttles"),
    [
        (BASIC, {"requests-per-account": 1, "output-tokens-per-account": 200}),
        (VERIFIED, {"requests-per-account": 1}),
        (ENHANCED, {"requests-per-account": 1}),
    ],
)
def test_what_is_charged_to_the_account(tier, throttles):
    charges = decided(CUSTOMER, kyc__tier=tier).charges
    assert {charge.throttle: charge.amount for charge in charges} == throttles
    assert {charge.key for charge in charges} == {"acme"}


def test_a_refusal_tells_the_caller_why_in_the_words_of_the_policy():
    assert decided(CUSTOMER, client__country="KP").message == "This service is not available in your region."
    assert decided(STRANGER).message is None
