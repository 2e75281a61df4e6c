"""From a call, its account and its place to facts: what is known is there, and what is not is left out."""

from datetime import UTC, datetime

import pytest

from modelfence.core.account import Account
from modelfence.core.call import Call, Credential, CredentialState, Reading
from modelfence.core.extraction import Extraction
from modelfence.core.facts import FACTS
from modelfence.enforcement.gather import gather
from modelfence.enforcement.ports import Location
from modelfence.policy.compile import compile_text

POLICY = compile_text("""
version: 1
lists:
  embargoed: [CN, KP, CN]
  allies: [GB, CA]
access:
  - {id: owned, deny: kyc.owned_by.embargoed > 0.5}
""").policy
AT_US = 1_772_409_606_562_000
BUILT_S = 1_772_400_000
BARE = Reading(
    "unknown",
    model=None,
    stream=None,
    logprobs=None,
    logit_bias=None,
    choices=None,
    tools=None,
    reasoning=None,
    input_tokens=None,
)


def call(reading: Reading, max_output_tokens: int | None = None) -> Call:
    missing = Credential(CredentialState.MISSING)
    return Call("c", AT_US, "192.0.2.1", missing, "openai", "POST", "/v1/x", 7, reading, max_output_tokens)


def test_of_a_bare_call_exactly_what_is_always_known_is_there():
    facts = gather(call(BARE), None, Location(), POLICY, extraction=Extraction(), geo_built_s=BUILT_S)
    assert set(facts) == {"account.recent_countries", *(fact.name for fact in FACTS if fact.always)}


def test_everything_known_has_its_fact():
    account = Account(
        "acme", "active", "verified", "US", ownership={"HK": 0.6, "CN": 0.54}, screening="clear", purpose="support",
        labels={"plan": "gold"},
        verified_us=AT_US - 3 * 86_400_000_000 - 1,
        screened_us=AT_US + 5,
        payer="card-7", contact_domain="acme.example", signup_batch="2026-01", verified_by="desk",
    )  # fmt: skip
    location = Location(
        "US", "NA", 15169, "Google", anonymous=False, hosting=True, registered_country="CA", region="US-CA", eu=False,
        vpn=False, proxy=False, residential_proxy=False, tor=False,
    )  # fmt: skip
    facts = gather(
        call(Reading("chat", "gpt-4o", output_tokens=10)),
        account,
        location,
        POLICY,
        extraction=Extraction(),
        geo_built_s=BUILT_S,
    )
    assert set(facts) - {"kyc.owned_by.embargoed"} == {fact.name for fact in FACTS}
    assert facts["kyc.owned_by.embargoed"] == pytest.approx(0.54)
    assert facts["kyc.tier"] == 2
    assert facts["now"] == datetime(2026, 3, 2, 0, 0, 6, 562_000, UTC)
    assert facts["account.labels"] == {"plan": "gold"}
    assert (facts["kyc.days_since_verified"], facts["kyc.days_since_screened"]) == (3, 0)
    assert facts["account.payer"] == "card-7"
    assert facts["client.hosting"] is True


@pytest.mark.parametrize(
    ("account", "seen", "fact"),
    [
        (Account("a", "active", "basic"), ("NO", "US"), ["NO", "US"]),
        (Account("a", "active", "basic"), None, None),
        # Of a stranger an address is watched, and that is used by nobody's account.
        (None, ("NO",), []),
        (None, None, []),
    ],
)
def test_the_recent_countries_are_those_of_an_account(account, seen, fact):
    facts = gather(
        call(BARE), account, Location(), POLICY, extraction=Extraction(recent_countries=seen), geo_built_s=BUILT_S
    )
    assert facts.get("account.recent_countries") == fact


def test_owners_never_stated_are_unknown_and_none_stated_are_none():
    reading = Reading("chat")
    unstated = gather(
        call(reading), Account("a", "active", "basic"), Location(), POLICY, extraction=Extraction(), geo_built_s=BUILT_S
    )
    assert "kyc.owned_by.embargoed" not in unstated
    none = gather(
        call(reading),
        Account("a", "active", "basic", ownership={}),
        Location(),
        POLICY,
        extraction=Extraction(),
        geo_built_s=BUILT_S,
    )
    assert none["kyc.owned_by.embargoed"] == 0.0


def test_a_tier_the_policy_does_not_know_is_the_lowest():
    facts = gather(
        call(Reading("chat")),
        Account("a", "active", "platinum"),
        Location(),
        POLICY,
        extraction=Extraction(),
        geo_built_s=BUILT_S,
    )
    assert facts["kyc.tier"] == 0


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        (Reading("chat", output_tokens=5), 5),
        (Reading("embeddings", output_tokens=0), 0),
        (Reading("chat"), 100),
        (Reading("chat", choices=3), 300),
        (BARE, 100),
    ],
)
def test_a_call_that_sets_no_limit_has_the_upstreams_for_each_choice(reading, expected):
    facts = gather(
        call(reading, max_output_tokens=100), None, Location(), POLICY, extraction=Extraction(), geo_built_s=BUILT_S
    )
    assert facts["request.output_tokens"] == expected


def test_without_any_limit_the_most_it_may_answer_is_unknown():
    assert "request.output_tokens" not in gather(
        call(Reading("chat")), None, Location(), POLICY, extraction=Extraction(), geo_built_s=BUILT_S
    )


@pytest.mark.parametrize(
    ("built_s", "days"),
    [
        (BUILT_S, 0),
        (AT_US // 1_000_000 - 86_400, 1),
        (AT_US // 1_000_000 - 86_399, 0),
        (AT_US // 1_000_000 - 31 * 86_400, 31),
        # A recording that is older than the database it is replayed with.
        (AT_US // 1_000_000 + 500_000, 0),
    ],
)
def test_the_age_of_the_database_is_counted_in_whole_days(built_s, days):
    facts = gather(call(BARE), None, Location(), POLICY, extraction=Extraction(), geo_built_s=built_s)
    assert facts["geo.database_age_days"] == days
