import pytest

from modelfence.core.bucket import PERIODS_US, SECOND_US, Rate
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.dialects.openai.limits import duration, limits


def balance(unit, *, left, burst=120, per="hour", shadow=False):
    """Return a bucket that gets 60 units back in a period and holds so many now."""
    rate = Rate(60, PERIODS_US[per], burst)
    return Balance(
        Charge("throttle-of-acme", "acme", rate, unit=unit, shadow=shadow), int(left * rate.burst_us / burst)
    )


REQUESTS = {
    "x-ratelimit-limit-requests": "120",
    "x-ratelimit-remaining-requests": "30",
    "x-ratelimit-reset-requests": "1h30m0s",
}
LIMITS = {
    "no bucket": ([], {}),
    "one kind": ([balance(Unit.REQUESTS, left=30)], REQUESTS),
    "both kinds": (
        [balance(Unit.TOTAL_TOKENS, left=500, burst=2000, per="minute"), balance(Unit.REQUESTS, left=30)],
        REQUESTS
        | {"x-ratelimit-limit-tokens": "2000", "x-ratelimit-remaining-tokens": "500", "x-ratelimit-reset-tokens": "25m0s"},
    ),
    "the smallest share of a burst, though another has less left": (
        [balance(Unit.REQUESTS, left=3, burst=4), balance(Unit.REQUESTS, left=30)], REQUESTS,
    ),
    "of equal shares the one that takes longest to fill": (
        [balance(Unit.REQUESTS, left=30, per="minute"), balance(Unit.REQUESTS, left=30),
         balance(Unit.REQUESTS, left=15, burst=60)],
        REQUESTS,
    ),
    "every kind of tokens, one of them in debt": (
        [balance(Unit.INPUT_TOKENS, left=1), balance(Unit.OUTPUT_TOKENS, left=-60), balance(Unit.TOTAL_TOKENS, left=0)],
        {"x-ratelimit-limit-tokens": "120", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "3h0m0s"},
    ),
    "a bucket in shadow is none": (
        [balance(Unit.REQUESTS, left=0, shadow=True), balance(Unit.REQUESTS, left=30)], REQUESTS,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("balances", "headers"), LIMITS.values(), ids=LIMITS)
def test_of_each_kind_the_tightest_bucket_is_shown(balances, headers):
    for given in (balances, balances[::-1]):
        shown = limits(given)
        assert dict(shown) == headers
        assert len(shown) == len(headers)


RESETS = {
    -1: "0ms",
    0: "0ms",
    1: "1ms",
    20_000: "20ms",
    999_001: "1s",
    8_640_000: "8.64s",
    59_999_900: "1m0s",
    360 * SECOND_US: "6m0s",
    3602 * SECOND_US + 500_000: "1h0m2.5s",
    86_400 * SECOND_US: "24h0m0s",
}


@pytest.mark.parametrize(("time_us", "written"), RESETS.items())
def test_times_are_written_as_openai_writes_them(time_us, written):
    assert duration(time_us) == written
