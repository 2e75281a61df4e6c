import pytest

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.dialects.anthropic.limits import limits


def balance(unit, *, left, burst=120, per="hour", shadow=False):
    """Return a bucket that gets 60 units back in a period and holds so many now."""
    rate = Rate(60, PERIODS_US[per], burst)
    charge = Charge("throttle-of-acme", "acme", rate, unit=unit, shadow=shadow)
    return Balance(charge, int(left * rate.burst_us / burst))


REQUESTS = {"anthropic-ratelimit-requests-limit": "120", "anthropic-ratelimit-requests-remaining": "30"}
LIMITS = {
    "no bucket": ([], {}),
    "one kind": ([balance(Unit.REQUESTS, left=30)], REQUESTS),
    "every kind, one of them in debt": (
        [
            balance(Unit.INPUT_TOKENS, left=1),
            balance(Unit.OUTPUT_TOKENS, left=-60),
            balance(Unit.TOTAL_TOKENS, left=2),
            balance(Unit.REQUESTS, left=30),
        ],
        REQUESTS
        | {
            "anthropic-ratelimit-input-tokens-limit": "120",
            "anthropic-ratelimit-input-tokens-remaining": "1",
            "anthropic-ratelimit-output-tokens-limit": "120",
            "anthropic-ratelimit-output-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-limit": "120",
            "anthropic-ratelimit-tokens-remaining": "2",
        },
    ),
    "the smallest share of a burst, though another has less left": (
        [balance(Unit.REQUESTS, left=3, burst=4), balance(Unit.REQUESTS, left=30)],
        REQUESTS,
    ),
    "of equal shares the one that takes longest to fill": (
        [balance(Unit.REQUESTS, left=15, burst=60), balance(Unit.REQUESTS, left=30)],
        REQUESTS,
    ),
    "a bucket in shadow is none": (
        [balance(Unit.REQUESTS, left=0, shadow=True), balance(Unit.REQUESTS, left=30)],
        REQUESTS,
    ),
}


@pytest.mark.parametrize(("balances", "headers"), LIMITS.values(), ids=LIMITS)
def test_of_each_kind_the_tightest_bucket_is_shown(balances, headers):
    for given in (balances, balances[::-1]):
        shown = limits(given)
        assert dict(shown) == headers
        assert len(shown) == len(headers)
