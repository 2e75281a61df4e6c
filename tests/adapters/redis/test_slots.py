"""Charges of one call in several slots of a cluster, when one of its masters does not answer."""

import asyncio
import time

import pytest

from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit
from modelfence.enforcement.ports import UnavailableError

DEADLINE_S = 0.5
PATIENCE_S = 20
DAY_US = PERIODS_US["day"]


@pytest.fixture
def cluster(start_cluster):
    return start_cluster()


@pytest.fixture
async def buckets(cluster):
    store = RedisBuckets(cluster.url, deadline_s=DEADLINE_S)
    for number in range(3):
        await store.take([charge("warm", cluster.key_in(number))])
    yield store
    await store.close()


def charge(throttle: str, key: str, *, shadow: bool = False) -> Charge:
    return Charge(throttle, key, Rate(1, DAY_US, 5), shadow=shadow)


def tokens(key: str, amount: float = 2, *, shadow: bool = False) -> Charge:
    return Charge("tokens", key, Rate(1, DAY_US, 10), amount, Unit.OUTPUT_TOKENS, shadow=shadow)


def end(charge: Charge, lease: str) -> Adjustment:
    """Return the end of a hold of which nothing was used."""
    return Adjustment(Hold(charge, lease, charge.cost_us), -charge.cost_us, 0)


async def levels(buckets, key: str) -> list[float]:
    looks = [charge("calls", key), charge("watched", key), tokens(key)]
    looks = [Charge(one.throttle, key, one.rate, 0, one.unit, shadow=True) for one in looks]
    taken = await buckets.take(looks)
    return [round(one.charge.rate.units(one.left_us), 3) for one in taken.balances]


async def once_back(buckets, key: str) -> None:
    """Return when a master answers again that was left alone for a moment by its circuit breaker."""
    give_up_at_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            await levels(buckets, key)
        except UnavailableError:
            assert time.monotonic() < give_up_at_s
            await asyncio.sleep(0.01)
        else:
            return


async def test_what_one_slot_took_is_given_back_when_the_master_of_another_is_gone(cluster, buckets):
    here, gone = cluster.key_in(0), cluster.key_in(1)
    await buckets.take([tokens(here)], lease=Lease("call/0", DAY_US))
    cluster.masters[1].kill()
    charges = [charge("calls", here), charge("watched", here, shadow=True), tokens(here), charge("calls", gone)]
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await buckets.take(charges, lease=Lease("call/1", DAY_US), after=[end(tokens(here), "call/0")])
    assert await levels(buckets, here) == [5, 5, 8]
    await buckets.settle([end(tokens(here), "call/1"), end(tokens(here), "call/0")])
    assert await levels(buckets, here) == [5, 5, 10]


async def test_a_refusal_is_not_told_when_another_slot_does_not_answer(cluster, buckets):
    strict, gone = charge("warm", cluster.key_in(0)), charge("calls", cluster.key_in(1))
    strict = Charge("strict", strict.key, Rate(1, DAY_US, 1))
    await buckets.take([strict])
    cluster.masters[1].kill()
    with pytest.raises(UnavailableError):
        await buckets.take([strict, gone])


async def test_a_settlement_is_made_in_the_slots_that_answer_and_may_be_tried_again(cluster, buckets):
    here, away = tokens(cluster.key_in(0)), tokens(cluster.key_in(1))
    await buckets.take([here, away], lease=Lease("call", DAY_US))
    cluster.masters[1].pause()
    with pytest.raises(UnavailableError) as failed:
        await buckets.settle([end(here, "call"), end(away, "call")])
    assert failed.value.may_have_run
    assert await levels(buckets, here.key) == [5, 5, 10]
    cluster.masters[1].go_on()
    await once_back(buckets, away.key)
    await buckets.settle([end(here, "call"), end(away, "call")])
    assert [await levels(buckets, one.key) for one in (here, away)] == [[5, 5, 10]] * 2


async def test_what_was_settled_in_part_may_have_run(cluster, buckets):
    here, gone = tokens(cluster.key_in(0)), tokens(cluster.key_in(1))
    await buckets.take([here, gone], lease=Lease("call", DAY_US))
    cluster.masters[1].kill()
    for _ in range(2):  # the first may still be written to the connection that is lost
        with pytest.raises(UnavailableError) as failed:
            await buckets.settle([end(gone, "call")])
    assert not failed.value.may_have_run
    with pytest.raises(UnavailableError) as failed:
        await buckets.settle([end(here, "call"), end(gone, "call")])
    assert failed.value.may_have_run


async def test_giving_back_is_bounded_too(cluster, buckets):
    here, away = cluster.key_in(0), cluster.key_in(1)
    took, stuck = cluster.masters[:2]
    stuck.pause()
    took.command("CONFIG", "RESETSTAT")
    started = time.monotonic()
    asking = asyncio.create_task(buckets.take([charge("calls", here), charge("calls", away)]))
    while not took.command("INFO", "commandstats").get("cmdstat_evalsha"):
        assert time.monotonic() < started + PATIENCE_S
        await asyncio.sleep(0)  # a turn of the loop: it is written in one, and answered in the next
    took.pause()
    with pytest.raises(UnavailableError) as failed:
        await asking
    assert failed.value.may_have_run
    assert time.monotonic() - started < 4 * DEADLINE_S
