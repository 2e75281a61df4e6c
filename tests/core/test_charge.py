import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Balance, Charge, Demand, Refused, Taken, Unit

SIXTY_A_MINUTE = Rate(60, PERIODS_US["minute"], 120)


def charge(throttle: str = "calls", key: str = "acme", amount: float = 1.0, unit: Unit = Unit.REQUESTS) -> Charge:
    return Charge(throttle, key, SIXTY_A_MINUTE, amount, unit)


@pytest.mark.parametrize(
    ("unit", "amount"),
    [(Unit.REQUESTS, 1), (Unit.INPUT_TOKENS, 30), (Unit.OUTPUT_TOKENS, 12), (Unit.TOTAL_TOKENS, 42)],
)
def test_a_demand_is_counted_in_the_unit_of_the_throttle(unit, amount):
    assert Demand(input_tokens=30, output_tokens=12).amount(unit) == amount


@pytest.mark.parametrize(
    ("amount", "cost_us"),
    [
        (1.0, 1_000_000),
        (0.0, 0),
        (1.9, 1_900_000),
        (120, 120_000_000),
        (121, 120_000_000),
        (math.inf, 120_000_000),
        (math.nan, 120_000_000),
    ],
)
def test_a_charge_costs_its_amount_and_at_most_the_burst(amount, cost_us):
    assert charge(amount=amount).cost_us == cost_us


@pytest.mark.parametrize("key", ["acme", "org_1.a-b@c:d/e+f", "(unknown)", "2001:db8::1", "x" * 128])
def test_a_plain_key_stands_in_the_name_of_its_bucket(key):
    assert charge("calls", key).bucket == f"{{{key}}}:calls"


@pytest.mark.parametrize("key", ["{", "}", "a}b", "#", "a b", "a\n", "\0", "é", "\udcff", "x" * 129, ""])
def test_any_other_key_is_named_by_its_hash(key):
    name = charge("calls", key).bucket
    assert name.startswith("{#")
    assert name.endswith("}:calls")
    assert len(name) == len("{#}:calls") + 64


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_different_keys_never_share_a_bucket(one, other):
    assert (charge(*one).bucket == charge(*other).bucket) == (one == other)


def test_a_caller_cannot_name_the_hash_of_another():
    hashed = charge("calls", "x" * 129).bucket
    assert charge("calls", hashed.removesuffix(":calls").strip("{}")).bucket != hashed


@pytest.mark.parametrize(
    ("unit", "reserved", "used", "owed_us"),
    [
        (Unit.OUTPUT_TOKENS, 100, Demand(7, 150), 50_000_000),
        (Unit.OUTPUT_TOKENS, 100, Demand(7, 40), -60_000_000),
        (Unit.OUTPUT_TOKENS, 100, Demand(7, 100), 0),
        (Unit.OUTPUT_TOKENS, 100, Demand(), -100_000_000),
        (Unit.OUTPUT_TOKENS, 500, Demand(0, 500), 380_000_000),  # only the burst was reserved
        (Unit.TOTAL_TOKENS, 10, Demand(7, 5), 2_000_000),
        (Unit.REQUESTS, 1, Demand(7, 5), 0),  # a request was made, whatever came of it
    ],
)
def test_what_settling_still_costs(unit, reserved, used, owed_us):
    held = charge(amount=reserved, unit=unit)
    assert held.used_us(used) - held.cost_us == owed_us


def test_settling_weighs_tokens_as_reserving_did():
    weighed = Charge("tokens", "acme", SIXTY_A_MINUTE, amount=50, unit=Unit.OUTPUT_TOKENS, weight=2.5)
    assert weighed.used_us(Demand(output_tokens=20)) == weighed.cost_us
    assert weighed.used_us(Demand(output_tokens=24)) == weighed.cost_us + 10_000_000


@pytest.mark.parametrize(
    ("left_us", "left", "full_in_us"),
    [(120_000_000, 120, 0), (119_999_999, 119, 1), (999_999, 0, 119_000_001), (-5_000_000, 0, 125_000_000)],
)
def test_a_balance_tells_whole_units_and_when_the_bucket_is_full(left_us, left, full_in_us):
    balance = Balance(charge(), left_us)
    assert (balance.left, balance.full_in_us) == (left, full_in_us)


def test_charges_that_were_taken_are_refused_by_none():
    taken = Taken(shadow_refused=[Refused(charge(), 5)])
    assert taken.allowed
    assert taken.longest is None
    assert taken.refused_by is None


def test_the_refusal_with_the_longest_wait_is_the_one_that_counts():
    short, long = Refused(charge("short"), 5), Refused(charge("long"), 7)
    taken = Taken(refused=[short, long, short])
    assert not taken.allowed
    assert taken.longest == long
    assert taken.refused_by == long.charge


def test_what_is_only_watched_is_charged_to_a_bucket_of_its_own():
    watched = charge("calls", "acme").as_watched
    assert (watched.bucket, watched.shadow) == ("{acme}:watching:calls", True)


def test_an_answer_is_parted_between_the_policy_that_acts_and_the_one_that_watches():
    own, trial = charge("own"), replace(charge("trial"), shadow=True)
    other = charge("own").as_watched
    balances = [Balance(one, 5) for one in (own, trial, other)]
    acting, watching = Taken((), (Refused(trial, 1), Refused(other, 2)), balances).parted()
    assert acting == Taken((), (Refused(trial, 1),), tuple(balances[:2]))
    assert watching == Taken((Refused(other, 2),))
