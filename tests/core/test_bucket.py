import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.bucket import MOST_US, PERIODS_US, Rate, left_us, settle, take

NOW_US = 1_772_409_606_562_000
FULL = 0


def per(period: str, amount: float, burst: float | None = None) -> Rate:
    return Rate(amount, PERIODS_US[period], amount if burst is None else burst)


@pytest.mark.parametrize(
    ("rate", "units", "time_us"),
    [
        (per("second", 1), 1, 1_000_000),
        (per("second", 100_000), 1, 10),
        (per("second", 3), 1, 333_333),  # rounded down, so that three fit into a second
        (per("second", 3), 3, 1_000_000),
        (per("minute", 60), 0.5, 500_000),
        (per("day", 1), 1, 86_400_000_000),
        (per("day", 200_000), 1, 432_000),
        (per("second", 0.1), 1, 10_000_000),
        (per("second", 1), 0, 0),
        (per("second", 1), -1, 0),
        (per("second", 1), 1e-12, 1),  # nothing but zero is free
        (per("second", 3_000_000), 1, 1),
        (per("second", 3_000_000), 3_000_000, 1_000_000),
        (per("day", 1), 1e18, MOST_US),
        (per("day", 1), math.inf, MOST_US),
        (per("day", 1), math.nan, MOST_US),  # doubt counts against the caller
    ],
)
def test_units_are_turned_into_whole_microseconds(rate, units, time_us):
    assert rate.time_us(units) == time_us


@pytest.mark.parametrize(
    ("rate", "burst_us"),
    [
        (per("minute", 60), 60_000_000),
        (per("minute", 60, burst=120), 120_000_000),
        (per("second", 10_000_000, burst=1), 1),
        (per("day", 1, burst=10**9), MOST_US),
    ],
)
def test_a_burst_is_the_time_an_empty_bucket_takes_to_fill(rate, burst_us):
    assert rate.burst_us == burst_us


@pytest.mark.parametrize(
    ("full_at_us", "cost_us", "state_us", "wait_us"),
    [
        (FULL, 4, NOW_US + 4, 0),  # a bucket never touched is full
        (NOW_US, 4, NOW_US + 4, 0),
        (NOW_US - 9, 4, NOW_US + 4, 0),  # being full for longer saves nothing up
        (NOW_US + 6, 4, NOW_US + 10, 0),  # the last that fits
        (NOW_US + 7, 4, NOW_US + 7, 1),
        (NOW_US + 10, 10, NOW_US + 10, 10),
        (NOW_US + 10, 0, NOW_US + 10, 0),
        (NOW_US + 15, 0, NOW_US + 15, 5),  # in debt even what costs nothing waits
        (NOW_US + 100, 10, NOW_US + 100, 100),
    ],
)
def test_take(full_at_us, cost_us, state_us, wait_us):
    assert take(full_at_us, now_us=NOW_US, cost_us=cost_us, burst_us=10) == (state_us, wait_us)


@pytest.mark.parametrize(
    ("full_at_us", "owed_us", "state_us"),
    [
        (FULL, 4, NOW_US + 4),
        (NOW_US + 6, 40, NOW_US + 46),
        (NOW_US + 6, -4, NOW_US + 2),
        (NOW_US + 6, -6, NOW_US),
        (NOW_US + 6, MOST_US, NOW_US + MOST_US),
        (NOW_US + MOST_US, MOST_US, NOW_US + MOST_US),
    ],
)
def test_settle(full_at_us, owed_us, state_us):
    assert settle(full_at_us, now_us=NOW_US, owed_us=owed_us) == state_us


@pytest.mark.parametrize(
    ("full_at_us", "left"),
    [(FULL, 10), (NOW_US, 10), (NOW_US - 5, 10), (NOW_US + 4, 6), (NOW_US + 10, 0), (NOW_US + 25, -15)],
)
def test_what_is_left(full_at_us, left):
    assert left_us(full_at_us, now_us=NOW_US, burst_us=10) == left


amounts = st.integers(1, 1_000)
periods = st.sampled_from(sorted(PERIODS_US.values()))
rates = st.builds(Rate, amount=amounts, period_us=periods, burst=amounts)
extreme_rates = st.one_of(
    rates,
    st.just(per("day", 1)),
    st.just(per("second", 100_000)),
    st.builds(Rate, st.floats(0.01, 1e7), periods, st.floats(0.01, 1e9)),
)
states = st.integers(NOW_US - 10**12, NOW_US + 10**12)


@given(rate=rates)
def test_a_full_bucket_holds_exactly_its_burst_of_single_units(rate):
    state_us, taken = FULL, 0
    for _ in range(int(rate.burst) + 1):
        state_us, wait_us = take(state_us, now_us=NOW_US, cost_us=rate.time_us(1), burst_us=rate.burst_us)
        taken += wait_us == 0
    assert taken == rate.burst


@given(
    rate=extreme_rates,
    calls=st.lists(st.tuples(st.integers(0, 3_000_000), st.floats(0, 1)), min_size=1, max_size=60),
    window=st.tuples(st.integers(0, 59), st.integers(0, 59)),
)
def test_no_window_of_time_admits_more_than_the_burst_and_what_flowed_back(rate, calls, window):
    """Exact in microseconds of flow, whatever the order and size of the calls."""
    state_us, now_us, admitted = FULL, NOW_US, []
    for pause_us, share in calls:
        now_us += pause_us
        cost_us = min(rate.time_us(rate.burst * share), rate.burst_us)
        state_us, wait_us = take(state_us, now_us=now_us, cost_us=cost_us, burst_us=rate.burst_us)
        admitted.append((now_us, 0 if wait_us else cost_us))
    inside = admitted[min(window) : max(window) + 1]
    if inside:
        assert sum(cost_us for _, cost_us in inside) <= rate.burst_us + inside[-1][0] - inside[0][0]


@given(rate=extreme_rates, units=st.floats(0, 1e9))
def test_rounding_favours_the_caller_by_less_than_a_microsecond(rate, units):
    exact_us = units * rate.period_us / rate.amount
    if 1 <= exact_us < MOST_US:
        assert exact_us - 1 < rate.time_us(units) <= exact_us


@given(rate=extreme_rates, full_at_us=states, share=st.floats(0, 1))
def test_a_refusal_changes_nothing_and_its_wait_is_exact(rate, full_at_us, share):
    cost_us = min(rate.time_us(rate.burst * share), rate.burst_us)
    state_us, wait_us = take(full_at_us, now_us=NOW_US, cost_us=cost_us, burst_us=rate.burst_us)
    if wait_us:
        assert state_us == full_at_us
        early = take(full_at_us, now_us=NOW_US + wait_us - 1, cost_us=cost_us, burst_us=rate.burst_us)
        in_time = take(full_at_us, now_us=NOW_US + wait_us, cost_us=cost_us, burst_us=rate.burst_us)
        assert early == (full_at_us, 1)
        assert in_time[1] == 0


@given(full_at_us=states, owed_us=st.integers(-(10**12), 10**12), burst_us=st.integers(1, 10**12))
def test_settling_moves_what_is_left_by_what_is_owed_and_never_beyond_full(full_at_us, owed_us, burst_us):
    before_us = left_us(full_at_us, now_us=NOW_US, burst_us=burst_us)
    after_us = left_us(settle(full_at_us, now_us=NOW_US, owed_us=owed_us), now_us=NOW_US, burst_us=burst_us)
    assert after_us == min(burst_us, before_us - owed_us)


@given(rate=rates, debt_us=st.integers(1, 10**12))
def test_debt_delays_by_its_own_length(rate, debt_us):
    empty_us = NOW_US + rate.burst_us
    in_debt_us = settle(empty_us, now_us=NOW_US, owed_us=debt_us)
    _, wait_us = take(in_debt_us, now_us=NOW_US, cost_us=1, burst_us=rate.burst_us)
    assert wait_us == debt_us + 1


@given(rate=extreme_rates, full_at_us=states, owed_us=st.integers(-MOST_US, MOST_US))
def test_every_state_is_exact_in_a_double(rate, full_at_us, owed_us):
    state_us, _ = take(full_at_us, now_us=NOW_US, cost_us=rate.burst_us, burst_us=rate.burst_us)
    largest_us = max(state_us, NOW_US + MOST_US) + abs(owed_us)
    assert largest_us < 2**53
    assert settle(state_us, now_us=NOW_US, owed_us=owed_us) <= NOW_US + MOST_US
