"""What a token with a good signature has to say, and what is taken from it."""

from dataclasses import replace

import pytest

from modelfence.core.account import Account, Check
from modelfence.core.token import Terms, expires_us, judged, of_both, proved

NOW_S = 1_780_000_000
TERMS = Terms("https://login.example.com/", frozenset({"modelfence", "other-name"}))
CLAIMS = {"iss": TERMS.issuer, "aud": "modelfence", "sub": "acme", "exp": NOW_S + 300, "iat": NOW_S - 5}


def check(at_s=NOW_S, **changes):
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...}
    return judged(claims, TERMS, int(at_s * 1_000_000))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Check.VALID),
        ({"aud": ["billing", "other-name"]}, Check.VALID),
        ({"aud": "billing"}, Check.UNKNOWN),
        ({"aud": []}, Check.UNKNOWN),
        ({"aud": [["modelfence"]]}, Check.UNKNOWN),
        ({"aud": {"modelfence": 1}}, Check.UNKNOWN),
        ({"aud": ...}, Check.UNKNOWN),
        ({"aud": "MODELFENCE"}, Check.UNKNOWN),
        ({"iss": "https://login.example.com"}, Check.UNKNOWN),
        ({"iss": "https://evil.example.com/"}, Check.UNKNOWN),
        ({"iss": [TERMS.issuer]}, Check.UNKNOWN),
        ({"iss": ...}, Check.UNKNOWN),
        ({"exp": ...}, Check.UNKNOWN),
        ({"exp": None}, Check.UNKNOWN),
        ({"exp": str(NOW_S + 300)}, Check.UNKNOWN),
        ({"exp": True}, Check.UNKNOWN),
        ({"exp": float("nan")}, Check.UNKNOWN),
        ({"exp": float("inf")}, Check.UNKNOWN),
        ({"exp": 10**400}, Check.UNKNOWN),
        ({"exp": -1}, Check.UNKNOWN),
        ({"exp": NOW_S + 0.5}, Check.VALID),
        ({"exp": NOW_S - 29}, Check.VALID),
        ({"exp": NOW_S - 30}, Check.EXPIRED),
        ({"exp": 0}, Check.EXPIRED),
        ({"nbf": NOW_S + 30}, Check.VALID),
        ({"nbf": NOW_S + 31}, Check.UNKNOWN),
        ({"nbf": "soon"}, Check.UNKNOWN),
        ({"iat": NOW_S + 31}, Check.UNKNOWN),
        ({"iat": ...}, Check.VALID),
        ({"exp": NOW_S - 300, "aud": "billing"}, Check.UNKNOWN),
    ],
)
def test_a_token_is_valid_for_its_audience_from_its_issuer_within_its_time_alone(changes, expected):
    assert check(**changes) is expected


def test_a_token_says_when_it_expires():
    assert expires_us(CLAIMS) == (NOW_S + 300) * 1_000_000


@pytest.mark.parametrize("subject", [..., None, "", 7, ["acme"], "a" * 257, "acme\n", "ac\x00me"])
def test_a_token_that_names_no_account_is_unknown(subject):
    claims = {name: value for name, value in {**CLAIMS, "sub": subject}.items() if value is not ...}
    assert proved(claims, TERMS).check is Check.UNKNOWN


def test_the_account_is_named_by_the_claim_that_the_terms_say():
    terms = Terms("", frozenset(), account="https://example.com/org")
    assert proved({**CLAIMS, "https://example.com/org": "globex"}, terms).account_id == "globex"


FACTS = {
    "tier": "kyc_tier", "status": "kyc_status", "country": "org_country", "verified": "kyc_date", "expires": "kyc_until",
    "screening": "screening", "screened": "lists_of", "purpose": "use", "verified_by": "by", "payer": "payer",
    "contact_domain": "domain", "signup_batch": "batch",
}  # fmt: skip
SAID = {
    "kyc_tier": "verified", "kyc_status": "active", "org_country": "NO", "kyc_date": "2026-01-10", "kyc_until": NOW_S,
    "screening": "clear", "lists_of": 1_767_225_600.0, "use": "support", "by": "someone", "payer": "p-1",
    "domain": "Example.COM", "batch": "b",
}  # fmt: skip


def stated(facts=FACTS, **changes):
    claims = {name: value for name, value in {**CLAIMS, **SAID, **changes}.items() if value is not ...}
    return proved(claims, Terms(TERMS.issuer, TERMS.audiences, facts=facts))


def test_the_record_is_made_of_the_claims_that_the_terms_name():
    account = stated().stated
    assert account == Account(
        "acme", "active", "verified", "NO", verified_us=1_768_003_200_000_000, expires_us=NOW_S * 1_000_000,
        screening="clear", screened_us=1_767_225_600_000_000, purpose="support", verified_by="someone", payer="p-1",
        contact_domain="example.com", signup_batch="b",
    )  # fmt: skip
    assert account.version
    assert account.version != stated(use="sales").stated.version


def test_what_no_claim_says_is_unknown_and_the_account_active_of_no_tier():
    assert stated({"country": "org_country"}, org_country=...).stated == Account("acme", "active", "")
    assert stated({"country": "org_country"}, org_country=None).stated == Account("acme", "active", "")
    assert stated({"tier": "kyc_tier"}).stated == Account("acme", "active", "verified")


@pytest.mark.parametrize(
    "changes",
    [
        {"org_country": "no"}, {"org_country": "NOR"}, {"org_country": 47}, {"kyc_status": "ACTIVE"}, {"kyc_status": ...},
        {"kyc_status": ["active"]}, {"kyc_tier": 3}, {"kyc_tier": "t" * 257}, {"kyc_date": "yesterday"},
        {"kyc_date": "2026-02-30"}, {"kyc_until": "never"}, {"kyc_until": -1}, {"kyc_until": False},
        {"screening": "fine"}, {"use": {}}, {"domain": ""},
    ],
)  # fmt: skip
def test_a_claim_that_cannot_be_read_makes_the_token_unknown(changes):
    assert stated(**changes).check is Check.UNKNOWN


@pytest.mark.parametrize(
    ("stated", "recorded", "expected"),
    [
        ("active", "suspended", "suspended"), ("active", "closed", "closed"), ("active", "active", "active"),
        ("suspended", "active", "suspended"), ("active", None, "active"), ("closed", "suspended", "suspended"),
    ],
)  # fmt: skip
def test_an_account_is_active_where_neither_token_nor_directory_says_otherwise(stated, recorded, expected):
    record = None if recorded is None else Account("acme", recorded, "enhanced", "KP")
    both = of_both(Account("acme", stated, "basic", "NO"), record)
    assert (both.status, both.tier, both.country) == (expected, "basic", "NO")


def test_what_the_token_does_not_state_the_directory_does():
    record = Account("acme", "active", "basic", "KP", screening="clear", ownership={"US": 1.0}, labels={"plan": "gold"})
    both = of_both(Account("acme", "active", "", screening="hit"), record)
    assert both == replace(record, screening="hit")
    assert both.version not in {"", record.version}


@pytest.mark.parametrize("epoch", [0, "1970-01-01"])
def test_a_day_that_counts_as_zero_is_stated_all_the_same(epoch):
    record = Account("acme", "active", "verified")
    both = of_both(stated(kyc_until=epoch).stated, record)
    assert both.expired(NOW_S * 1_000_000)
