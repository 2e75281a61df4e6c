"""What every bucket store does. A new store is one more name in STORES and one more fixture."""

import asyncio
import uuid

import pytest

from modelfence.adapters.memory_buckets import MemoryBuckets
from modelfence.adapters.redis_buckets import RedisBuckets
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Adjustment, Charge

STORES = ["memory", "redis"]
DAY_US = PERIODS_US["day"]
SLACK_US = PERIODS_US["minute"]
"""What may flow back while a test runs; far less than a unit a day."""


@pytest.fixture(params=STORES)
def buckets(request):
    return request.getfixturevalue(f"{request.param}_buckets")


@pytest.fixture
def memory_buckets():
    return MemoryBuckets(lambda: 1_772_409_606_562_000)


@pytest.fixture
async def redis_buckets(redis_server):
    store = RedisBuckets(redis_server.url, prefix=f"test-{uuid.uuid4()}", deadline_s=10)
    yield store
    await store.close()


def a_day(amount: float, burst: float) -> Rate:
    return Rate(amount, DAY_US, burst)


def charge(throttle: str, burst: float = 1, *, amount: float = 1, key: str = "acme", shadow: bool = False) -> Charge:
    """Return a charge to a bucket of which one unit flows back in a day: nothing, for the time of a test."""
    return Charge(throttle, key, a_day(1, burst), amount, shadow=shadow)


def left(taken) -> list[int]:
    """Return the units left in each bucket, rounded: a test takes less than a thousandth of a day."""
    return [round(balance.charge.rate.units(balance.left_us), 3) for balance in taken.balances]


async def test_a_full_bucket_admits_its_burst_and_not_one_more(buckets):
    calls = [await buckets.take([charge("calls", burst=3)]) for _ in range(4)]
    assert [call.allowed for call in calls] == [True, True, True, False]
    assert [left(call) for call in calls] == [[2], [1], [0], [0]]


async def test_nothing_is_taken_when_one_of_several_buckets_is_empty(buckets):
    small, large = charge("small", burst=1), charge("large", burst=2)
    await buckets.take([small, large])
    assert (await buckets.take([large, small])).refused_by == small
    assert (await buckets.take([large])).allowed  # the refused attempt cost `large` nothing


async def test_every_charge_that_does_not_fit_is_reported_with_its_wait(buckets):
    one, two, plenty = charge("one", burst=1), charge("two", burst=2, amount=2), charge("plenty", burst=9)
    await buckets.take([one, two, plenty])
    taken = await buckets.take([one, plenty, two])
    assert [refused.charge for refused in taken.refused] == [one, two]
    assert taken.refused[0].wait_us == pytest.approx(DAY_US, abs=SLACK_US)
    assert taken.refused[1].wait_us == pytest.approx(2 * DAY_US, abs=SLACK_US)
    assert taken.refused_by == two


async def test_a_refused_call_is_told_what_the_buckets_hold_now(buckets):
    empty, fuller = charge("empty", burst=1), charge("fuller", burst=5)
    await buckets.take([empty, fuller])
    assert left(await buckets.take([fuller, empty])) == [4, 0]


async def test_there_is_one_balance_for_each_charge_in_its_order(buckets):
    charges = [charge("b", 5), charge("a", 3, shadow=True), charge("c", 7, amount=2), charge("b", 5)]
    taken = await buckets.take(charges)
    assert [balance.charge for balance in taken.balances] == charges
    assert left(taken) == [3, 2, 5, 3]


async def test_charges_of_one_call_to_the_same_bucket_see_each_other(buckets):
    twice = [charge("same", burst=3), charge("same", burst=3)]
    assert left(await buckets.take(twice)) == [1, 1]
    refused = await buckets.take(twice)
    assert [one.wait_us for one in refused.refused] == [pytest.approx(DAY_US, abs=SLACK_US)]
    assert left(refused) == [1, 1]


async def test_each_shadow_charge_is_taken_by_itself_when_it_fits(buckets):
    strict, tight, wide = charge("strict", 9), charge("tight", 1, shadow=True), charge("wide", 9, shadow=True)
    await buckets.take([tight, wide, strict])
    taken = await buckets.take([tight, wide, strict])
    assert taken.allowed
    assert [refused.charge for refused in taken.shadow_refused] == [tight]
    assert left(taken) == [0, 7, 7]


async def test_shadow_charges_are_left_alone_when_the_call_is_refused(buckets):
    strict, empty, watched = charge("strict", 1), charge("empty", 1, shadow=True), charge("watched", 5, shadow=True)
    await buckets.take([strict, empty])
    taken = await buckets.take([watched, empty, strict])
    assert not taken.allowed
    assert taken.shadow_refused == ()  # not even tried
    assert left(taken) == [5, 0, 0]


async def test_an_enforced_charge_goes_before_a_shadow_charge_to_the_same_bucket(buckets):
    taken = await buckets.take([charge("same", 1, shadow=True), charge("same", 1)])
    assert taken.allowed
    assert [refused.charge.shadow for refused in taken.shadow_refused] == [True]


async def test_a_call_without_charges_is_allowed(buckets):
    assert (await buckets.take([])).allowed
    await buckets.settle([])


async def test_debt_is_carried_and_delays_the_next_call(buckets):
    one = charge("tokens", burst=10)
    await buckets.take([one])
    await buckets.settle([Adjustment(one, 12 * DAY_US)])
    taken = await buckets.take([one])
    assert taken.refused[0].wait_us == pytest.approx(4 * DAY_US, abs=SLACK_US)
    assert left(taken) == [-3]


async def test_what_was_not_used_is_given_back(buckets):
    reserved = charge("tokens", burst=10, amount=8)
    await buckets.take([reserved])
    await buckets.settle([Adjustment(reserved, -5 * DAY_US)])
    assert left(await buckets.take([charge("tokens", burst=10)])) == [6]


async def test_giving_back_never_fills_a_bucket_beyond_its_burst(buckets):
    one = charge("tokens", burst=2)
    await buckets.take([one])
    await buckets.settle([Adjustment(one, -50 * DAY_US)])
    calls = [await buckets.take([one]) for _ in range(3)]
    assert [call.allowed for call in calls] == [True, True, False]


async def test_adjustments_of_one_call_to_the_same_bucket_add_up(buckets):
    one, other = charge("tokens", burst=10), charge("other", burst=10)
    await buckets.settle([Adjustment(one, 2 * DAY_US), Adjustment(other, 5 * DAY_US), Adjustment(one, 3 * DAY_US)])
    assert left(await buckets.take([one, other])) == [4, 4]


async def test_debt_has_a_bottom_so_that_states_stay_exact(buckets):
    one = charge("tokens", burst=1)
    for _ in range(3):
        await buckets.settle([Adjustment(one, 2**51)])
    taken = await buckets.take([one])
    assert taken.refused[0].wait_us == pytest.approx(2**51, abs=SLACK_US)


@pytest.mark.parametrize(
    "key",
    ["}", "{", "a}b", "{}", "a:b", "a b", "\0\n", "é", "\udcff", "x" * 129, "x" * 1_000_000, "(unknown)", "#"],
    ids=lambda key: f"{len(key)}-{key[:3]!a}",
)
async def test_any_key_names_a_bucket_of_its_own(buckets, key):
    assert (await buckets.take([charge("calls", key=key)])).allowed
    assert not (await buckets.take([charge("calls", key=key)])).allowed
    assert (await buckets.take([charge("calls", key=key + "x")])).allowed
    assert (await buckets.take([charge("other", key=key)])).allowed


async def test_calls_at_the_same_time_share_the_bucket(buckets):
    calls = await asyncio.gather(*(buckets.take([charge("calls", burst=10)]) for _ in range(60)))
    assert sum(call.allowed for call in calls) == 10
