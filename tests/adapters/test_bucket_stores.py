"""What every bucket store does. A new store is one more name in STORES and one more fixture."""

import asyncio
import uuid
from dataclasses import replace

import pytest

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit

STORES = ["memory", "redis", "redis_cluster"]
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


@pytest.fixture
async def redis_cluster_buckets(redis_cluster):
    store = RedisBuckets(redis_cluster.url, prefix=f"test-{uuid.uuid4()}", deadline_s=10)
    yield store
    await store.close()


def a_day(amount: float, burst: float) -> Rate:
    return Rate(amount, DAY_US, burst)


def charge(throttle: str, burst: float = 1, *, amount: float = 1, key: str = "acme", shadow: bool = False) -> Charge:
    """Return a charge to a bucket of which one unit flows back in a day: nothing, for the time of a test."""
    return Charge(throttle, key, a_day(1, burst), amount, shadow=shadow)


def tokens(amount: float, burst: float, *, key: str = "acme", throttle: str = "tokens", shadow: bool = False) -> Charge:
    """Return a charge that is held under a lease."""
    return Charge(throttle, key, a_day(1, burst), amount, Unit.OUTPUT_TOKENS, shadow=shadow)


def lease(name: str, lasts_us: int = DAY_US) -> Lease:
    return Lease(name, lasts_us)


def end(charge: Charge, name: str, *, used: float) -> Adjustment:
    """Return the end of what is held under that lease, when so much of it was used."""
    used_us = int(used * DAY_US)
    return Adjustment(Hold(charge, name, charge.cost_us), used_us - charge.cost_us, used_us)


def at_once(charge: Charge, owed_days: float) -> Adjustment:
    """Return an adjustment of what is not held."""
    owed_us = int(owed_days * DAY_US)
    return Adjustment(Hold(charge, "none", 0), owed_us, owed_us)


async def level(buckets, charge: Charge) -> float:
    """Return what a bucket holds, by a charge of nothing."""
    return left(await buckets.take([replace(charge, amount=0, shadow=True)]))[0]


def left(taken) -> list[float]:
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


async def test_refusals_are_told_in_the_order_of_the_charges_also_under_several_keys(buckets):
    charges = [charge(f"throttle-{number}", key=f"key-{number % 3}") for number in range(9)]
    await buckets.take(charges)
    assert [one.charge for one in (await buckets.take(charges)).refused] == charges


async def test_a_refused_call_is_told_what_the_buckets_hold_now(buckets):
    empty, fuller = charge("empty", burst=1), charge("fuller", burst=5)
    await buckets.take([empty, fuller])
    assert left(await buckets.take([fuller, empty])) == [4, 0]


async def test_there_is_one_balance_for_each_charge_in_its_order(buckets):
    charges = [charge("b", 5), charge("a", 3, shadow=True), charge("c", 7, amount=2), charge("b", 5)]
    taken = await buckets.take(charges)
    assert [balance.charge for balance in taken.balances] == charges
    assert left(taken) == [3, 2, 5, 3]


async def test_charges_with_different_keys_are_all_taken_or_none_of_them(buckets):
    plenty = [charge("calls", burst=5, key=f"key-{number}") for number in range(20)]
    watched = charge("watched", burst=5, key="watched", shadow=True)
    spent = charge("spent", key="key-1", shadow=True)
    strict = [charge("strict", key=f"strict-{number}") for number in range(3)]
    assert left(await buckets.take([watched, *plenty, spent, *strict])) == [4] + [4] * 20 + [0] + [0] * 3
    refused = await buckets.take([strict[0], *plenty, watched, spent, *strict[1:]])
    assert [one.charge for one in refused.refused] == strict
    assert refused.shadow_refused == ()
    assert left(refused) == [0] + [4] * 20 + [4, 0, 0, 0]
    assert left(await buckets.take([watched, *plenty, spent])) == [3] * 21 + [0]


async def test_a_step_that_is_refused_ends_nothing_under_any_key(buckets):
    held = [tokens(2, burst=10, key=f"key-{number}") for number in range(8)]
    lapsed = tokens(2, burst=10, key="lapsed")
    strict = charge("strict", key="strict")
    await buckets.take([strict, lapsed], lease=lease("call/0", lasts_us=0))
    await buckets.take(held, lease=lease("call/0"))
    after = [end(one, "call/0", used=used) for used, one in enumerate([*held, lapsed])]
    for _ in range(2):
        taken = await buckets.take([*held, lapsed, strict], lease=lease("call/1"), after=after)
        assert taken.refused_by == strict
        assert left(taken) == [8] * 8 + [10, 0]
    await buckets.settle(after)
    assert [await level(buckets, one) for one in [*held, lapsed]] == [10, 9, 8, 7, 6, 5, 4, 3, 2]


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


async def test_what_is_only_watched_has_a_bucket_beside_the_real_one_and_stays_taken_without_a_lease(buckets):
    real, watched = tokens(3, 9), tokens(3, 9).as_watched
    elsewhere = tokens(3, 9, key="other").as_watched
    assert left(await buckets.take([real, watched, elsewhere], lease=lease("c1"))) == [6, 6, 6]
    assert left(await buckets.take([watched, elsewhere])) == [3, 3]
    await buckets.settle([Adjustment(Hold(watched, "c1", watched.cost_us), -watched.cost_us, 0)])
    assert [await level(buckets, one) for one in (real, watched, elsewhere)] == [6, 6, 3]


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
    await buckets.settle([at_once(one, 12)])
    taken = await buckets.take([one])
    assert taken.refused[0].wait_us == pytest.approx(4 * DAY_US, abs=SLACK_US)
    assert left(taken) == [-3]


async def test_what_was_not_used_is_given_back(buckets):
    reserved = charge("tokens", burst=10, amount=8)
    await buckets.take([reserved])
    await buckets.settle([at_once(reserved, -5)])
    assert left(await buckets.take([charge("tokens", burst=10)])) == [6]


async def test_giving_back_never_fills_a_bucket_beyond_its_burst(buckets):
    one = charge("tokens", burst=2)
    await buckets.take([one])
    await buckets.settle([at_once(one, -50)])
    calls = [await buckets.take([one]) for _ in range(3)]
    assert [call.allowed for call in calls] == [True, True, False]


async def test_adjustments_of_one_call_to_the_same_bucket_add_up(buckets):
    one, other = charge("tokens", burst=10), charge("other", burst=10)
    await buckets.settle([at_once(one, 2), at_once(other, 5), at_once(one, 3)])
    assert left(await buckets.take([one, other])) == [4, 4]


async def test_debt_has_a_bottom_so_that_states_stay_exact(buckets):
    one = charge("tokens", burst=1)
    for _ in range(3):
        await buckets.settle([Adjustment(Hold(one, "none", 0), 2**51, 2**51)])
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


async def test_what_is_held_under_a_lease_comes_back_when_it_has_run_out(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("lost", lasts_us=0))
    assert left(await buckets.take([tokens(3, burst=10)])) == [7]


async def test_it_does_not_come_back_before(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("under way"))
    assert await level(buckets, held) == 2


async def test_what_lapsed_comes_back_also_when_the_call_is_refused(buckets):
    held, strict = tokens(8, burst=10), charge("strict")
    await buckets.take([strict])
    await buckets.take([held], lease=lease("lost", lasts_us=0))
    assert left(await buckets.take([held, strict])) == [10, 0]


async def test_requests_never_come_back(buckets):
    one = charge("calls", burst=2)
    await buckets.take([one], lease=lease("lost", lasts_us=0))
    assert left(await buckets.take([one])) == [0]


async def test_a_settled_hold_costs_what_was_used(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("call"))
    await buckets.settle([end(held, "call", used=3)])
    assert await level(buckets, held) == 7


async def test_a_hold_that_lapsed_before_it_is_settled_costs_what_was_used_too(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("call", lasts_us=0))
    assert await level(buckets, held) == 10
    await buckets.settle([end(held, "call", used=3)])
    assert await level(buckets, held) == 7


async def test_a_settlement_is_the_first_to_find_that_the_lease_ran_out(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("call", lasts_us=0))
    await buckets.settle([end(held, "call", used=3)])
    assert await level(buckets, held) == 7


async def test_a_settlement_made_twice_charges_once_when_a_lapsed_hold_owes_nothing(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("call"))
    for _ in range(2):
        await buckets.settle([replace(end(held, "call", used=9), lapsed_owed_us=0)])
    assert await level(buckets, held) == 1


async def test_a_step_replaces_what_was_held(buckets):
    step = tokens(2, burst=10)
    await buckets.take([step], lease=lease("call/0"))
    taken = await buckets.take([step], lease=lease("call/1"), after=[end(step, "call/0", used=2)])
    assert left(taken) == [6]
    await buckets.settle([end(step, "call/0", used=2)])  # it is there no more, so this is charged by itself
    assert await level(buckets, step) == 4
    await buckets.settle([end(step, "call/1", used=0)])
    assert await level(buckets, step) == 6


async def test_what_ends_gives_back_before_the_charges_are_taken(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("call/0"))
    taken = await buckets.take([held], lease=lease("call/1"), after=[end(held, "call/0", used=1)])
    assert taken.allowed
    assert left(taken) == [1]


async def test_a_step_that_is_refused_ends_nothing(buckets):
    held, strict = tokens(4, burst=10), charge("strict")
    await buckets.take([held, strict], lease=lease("call/0"))
    taken = await buckets.take([held, strict], lease=lease("call/1"), after=[end(held, "call/0", used=1)])
    assert left(taken) == [6, 0]
    await buckets.settle([end(held, "call/0", used=1)])
    assert await level(buckets, held) == 9


async def test_a_shadow_charge_that_does_not_fit_is_not_held(buckets):
    watched = tokens(4, burst=3 + 2, shadow=True)
    await buckets.take([watched], lease=lease("fits", lasts_us=0))
    await buckets.take([tokens(4, burst=5), watched], lease=lease("does not", lasts_us=0))
    assert await level(buckets, watched) == 5
    assert await level(buckets, watched) == 5


async def test_a_renewed_lease_runs_from_then_on(buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=lease("call"))
    await buckets.renew([Hold(held, "call", held.cost_us)], 0)
    assert await level(buckets, held) == 10
    await buckets.take([held], lease=lease("call", lasts_us=DAY_US))
    await buckets.renew([Hold(held, "call", held.cost_us)], 2 * DAY_US)
    assert await level(buckets, held) == 2


async def test_what_lapsed_or_was_settled_or_never_was_is_not_renewed(buckets):
    held = tokens(2, burst=10)
    await buckets.take([held], lease=lease("lapsed", lasts_us=0))
    holds = [Hold(held, name, held.cost_us) for name in ("lapsed", "settled", "never")]
    await buckets.renew(holds, DAY_US)
    assert await level(buckets, held) == 10
    await buckets.take([held], lease=lease("settled"))
    await buckets.settle([end(held, "settled", used=0)])
    await buckets.renew([*holds, Hold(charge("calls"), "a request", 1)], DAY_US)
    await buckets.settle([end(held, hold.lease, used=1) for hold in holds])
    assert await level(buckets, held) == 7
    await buckets.renew([], DAY_US)


async def test_many_lapsed_holds_come_back_a_hundred_at_a_time(buckets):
    held = tokens(1, burst=1000)
    for number in range(250):
        await buckets.take([held], lease=lease(f"lost-{number}", lasts_us=DAY_US))
    holds = [Hold(held, f"lost-{number}", held.cost_us) for number in range(250)]
    await buckets.renew(holds, 0)
    assert [await level(buckets, held) for _ in range(4)] == [850, 950, 1000, 1000]


async def test_a_charge_of_nothing_only_looks(buckets):
    held, calls, new = tokens(4, burst=10), charge("calls", burst=5), tokens(0, burst=7, throttle="new")
    await buckets.take([held, calls], lease=lease("call"))
    looks = [replace(one, amount=0, shadow=True) for one in (held, calls, new)]
    for _ in range(3):
        taken = await buckets.take(looks)
        assert left(taken) == [6, 4, 7]
        assert taken.shadow_refused == ()
    await buckets.settle([end(held, "call", used=14)])
    assert [await level(buckets, held) for _ in range(2)] == [-4, -4]


async def test_leases_of_one_bucket_may_last_differently_long(redis_buckets):
    held = tokens(1, burst=10)
    await redis_buckets.take([held], lease=lease("long"))
    await redis_buckets.take([held], lease=lease("short", lasts_us=0))
    await redis_buckets.settle([end(held, "long", used=0)])
    assert await level(redis_buckets, held) == 10
