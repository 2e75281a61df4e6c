"""Which accounts a candidate is tried on."""

import pytest

from modelfence.core.canary import Canary

ACCOUNTS = [f"account-{number}" for number in range(20_000)]


def held(percent: float, candidate: str = "next.yaml") -> set[str]:
    canary = Canary(percent, candidate)
    return {account for account in ACCOUNTS if canary.holds(account)}


@pytest.mark.parametrize("percent", [0.5, 1, 5, 50, 99])
def test_as_many_accounts_are_in_as_the_percentage_says(percent):
    expected = len(ACCOUNTS) * percent / 100
    assert len(held(percent)) == pytest.approx(expected, abs=4 * expected**0.5)


def test_nobody_is_in_at_nothing_and_everybody_at_all():
    assert held(0) == set()
    assert held(100) == set(ACCOUNTS)


def test_who_is_in_stays_in_while_the_share_grows():
    assert held(1) < held(5) < held(50) < held(100)


def test_another_candidate_is_tried_on_other_accounts():
    both = held(5) & held(5, "next-2.yaml")
    assert len(both) < 0.1 * len(held(5))


def test_the_same_accounts_are_in_wherever_it_is_asked():
    # Told by sha256sum alone: workers, machines and versions have to agree.
    assert sorted(held(0.01)) == ["account-18139", "account-3292"]
