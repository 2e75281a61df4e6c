from dataclasses import replace

import pytest

from modelfence.core.account import Account, Key
from modelfence.core.account_review import Due, Finding, Horizon, Shared, due, review, shared, unknown_countries
from modelfence.core.dates import DAY_US

NOW_US = 20_786 * DAY_US + 1  # in the first moments of 2026-11-29
TODAY_US = 20_786 * DAY_US


def days(number: int) -> int:
    return TODAY_US + number * DAY_US


FINE = Account(
    "acme", "active", "verified", verified_us=days(-100), expires_us=days(265), screening="clear",
    screened_us=days(-10), ownership={},
)  # fmt: skip
KEYS = (Key("sha256:aa"), Key("sha256:bb", days(1), is_revoked=True), Key("sha256:cc", days(-1)))
SOON = Key("sha256:dd", days(30), name="ci")

FOUND = {
    "ran out": ({"expires_us": days(-1)}, "verification-expired", "expires",
                "the verification of `acme` ran out 2026-11-28, yesterday: its tier counts as the lowest"),
    "ran out today": ({"expires_us": TODAY_US}, "verification-expired", "expires",
                      "the verification of `acme` ran out 2026-11-29, today: its tier counts as the lowest"),
    "runs out": ({"expires_us": days(30)}, "verification-expiring", "expires",
                 "the verification of `acme` runs out 2026-12-29, in 30 days"),
    "runs out later": ({"expires_us": days(31)}, None, None, None),
    "never runs out": ({"expires_us": None}, None, None, None),
    "hit": ({"screening": "hit"}, "screening-hit", "screening", "`acme` is active though its screening was a hit"),
    "pending": ({"screening": "pending"}, None, None, None),
    "never screened": ({"screening": None, "screened_us": None}, "never-screened", "verified",
                       "`acme` was verified and never screened"),
    "never verified": ({"screening": None, "screened_us": None, "verified_us": None}, None, None, None),
    "owners not stated": ({"ownership": None}, "owners-unstated", "verified",
                          "`acme` was verified and its owners are not stated: that counts against it where a rule asks"),
    "owners not stated by an account that was never verified": ({"ownership": None, "verified_us": None}, None, None, None),
    "undated": ({"screened_us": None}, "screening-undated", "screening",
                "`acme` was screened against lists of an unknown date: `screened` is missing"),
    "old lists": ({"screened_us": days(-90)}, "screening-old", "screened",
                  "`acme` was screened against lists of 2026-08-31, 90 days ago"),
    "verified in a year to come": ({"verified_us": days(365)}, "date-ahead", "verified",
                                   "`acme` was verified on a day to come, 2027-11-29, in 365 days"),
    "lists of a year to come": ({"screened_us": days(365)}, "date-ahead", "screened",
                                "`acme` was screened by lists of a day to come, 2027-11-29, in 365 days"),
    "lists of tomorrow, which is today further east": ({"screened_us": days(1)}, None, None, None),
    "lists of the last days": ({"screened_us": days(-89)}, None, None, None),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code", "field", "message"), FOUND.values(), ids=FOUND)
def test_what_is_to_be_looked_at_is_found_and_said(change, code, field, message):
    expected = [] if code is None else [Finding(code, message, field)]
    assert list(review(replace(FINE, **change), KEYS, NOW_US, Horizon())) == expected


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_accounts_that_nobody_calls_as_are_left_alone(status):
    account = replace(FINE, status=status, expires_us=days(-1), screening="hit", payer="card")
    assert list(review(account, (), NOW_US, Horizon())) == []
    assert list(due(account, (SOON,), NOW_US, 90 * DAY_US)) == []
    assert shared([account, replace(account, id="other")]) == []


@pytest.mark.parametrize("keys", [(), KEYS[1:]])
def test_an_account_without_a_valid_key_is_found(keys):
    message = "`acme` is active and has no key that is valid"
    assert list(review(FINE, keys, NOW_US, Horizon())) == [Finding("no-key", message)]


def test_a_key_that_runs_out_soon_is_found():
    unnamed = replace(SOON, digest="sha256:ee", name="")
    later = replace(SOON, digest="sha256:ff", expires_us=days(31))
    assert list(review(FINE, (SOON, unnamed, later), NOW_US, Horizon())) == [
        Finding("key-expiring", "the key `ci` of `acme` runs out 2026-12-29, in 30 days", key=SOON),
        Finding("key-expiring", "a key of `acme` runs out 2026-12-29, in 30 days", key=unnamed),
    ]


def test_how_far_to_look_can_be_said():
    account = replace(FINE, expires_us=days(40))
    horizon = Horizon(ahead_us=40 * DAY_US, lists_us=10 * DAY_US)
    codes = [found.code for found in review(account, KEYS, NOW_US, horizon)]
    assert codes == ["verification-expiring", "screening-old"]


def test_what_is_due_is_the_verification_and_the_valid_keys():
    account = replace(FINE, expires_us=days(-3))
    unnamed = Key("sha256:0123456789abcdef", days(2))
    assert list(due(account, (*KEYS, SOON, unnamed), NOW_US, 29 * DAY_US)) == [
        Due(days(-3), "acme", "verification"),
        Due(days(2), "acme", "key 0123456789ab"),
    ]
    assert len(list(due(account, (SOON,), NOW_US, 30 * DAY_US))) == 2


def test_what_accounts_share_is_listed_with_the_most_shared_first():
    one, two, three = (replace(FINE, id=name, contact_domain="example.com") for name in ("one", "two", "three"))
    accounts = [replace(one, payer="card-7"), replace(two, payer="card-7", signup_batch="b"), three]
    assert shared(accounts) == [
        Shared("contact_domain", "example.com", ("one", "two", "three")),
        Shared("payer", "card-7", ("one", "two")),
    ]


def test_countries_that_there_are_not_are_found_in_a_record_and_behind_it():
    account = replace(FINE, country="UK", ownership={"ZZ": 0.5, "US": 0.4, "XK": 0.1})
    assert unknown_countries(account) == ["UK", "ZZ"]
    assert unknown_countries(FINE) == []
