"""What accounts have in common behind which there is the same."""

import pytest

from modelfence.core.account import Account
from modelfence.core.control import control_of


@pytest.mark.parametrize(
    ("stated", "control"),
    [
        ({}, ()),
        ({"payer": "card-7"}, ("payer card-7",)),
        (
            {"payer": "x", "contact_domain": "acme.example", "signup_batch": "x"},
            ("payer x", "domain acme.example", "batch x"),
        ),
        ({"contact_domain": "gmail.com"}, ()),
        ({"contact_domain": "yahoo.co.jp", "signup_batch": "7"}, ("batch 7",)),
        ({"contact_domain": "mail.acme.example"}, ("domain mail.acme.example",)),
    ],
)
def test_what_is_stated_counts_but_for_domains_where_anybody_has_an_address(stated, control):
    assert control_of(Account("acme", "active", "basic", **stated)) == control


def test_behind_a_caller_without_an_account_there_is_nobody():
    assert control_of(None) == ()
