"""Buckets on a recording's clock: they answer as those in memory do, and leave a fence's own alone."""

import random
import uuid

import pytest
from redis.crc import key_slot

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.redis.replay import ReplayBuckets
from modelfence.core.bucket import SECOND_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit
from modelfence.enforcement.ports import UnavailableError

LEASE_US = 30 * SECOND_US


class Clock:
    def __init__(self) -> None:
        self.now_us = 1_772_409_606_562_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def prefix() -> str:
    return f"fence-{uuid.uuid4()}"


@pytest.fixture(params=["redis_server", "redis_cluster"])
def servers(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
async def buckets(servers, prefix, clock):
    buckets = ReplayBuckets(servers.url, prefix=prefix, clock_us=clock, deadline_s=20)
    yield buckets
    await buckets.delete()
    await buckets.close()


def nodes(servers):
    return getattr(servers, "masters", [servers])


def keys(servers, prefix):
    return [key for node in nodes(servers) for key in node.command("KEYS", f"{prefix}:*")]


def rate(per_day: int, *, burst: float) -> Rate:
    return Rate(per_day, 86_400 * SECOND_US, burst)


async def test_a_bucket_fills_by_the_clock_and_not_by_the_servers_time(buckets, clock):
    charge = Charge("calls", "acme", rate(24, burst=1))
    assert (await buckets.take([charge])).allowed
    assert (await buckets.take([charge])).longest.wait_us == 3_600 * SECOND_US
    clock.now_us += 3_600 * SECOND_US - 1
    assert (await buckets.take([charge])).longest.wait_us == 1
    clock.now_us += 1
    assert (await buckets.take([charge])).allowed


async def test_a_bucket_is_kept_however_slow_the_replay_is(buckets, servers, prefix):
    charge = Charge("tokens", "acme", Rate(1_000_000, SECOND_US, 10), 1.0, Unit.OUTPUT_TOKENS)
    assert (await buckets.take([charge], lease=Lease("1/0", 1_000))).allowed
    lives_ms = [node.command("PTTL", key) for node in nodes(servers) for key in node.command("KEYS", f"{prefix}:*")]
    assert len(lives_ms) == 2
    assert min(lives_ms) > 3_600_000


async def test_nothing_is_left_in_the_end_and_nothing_else_is_touched(buckets, servers, prefix):
    own = f"{prefix}:bucket:{{acme}}:calls"
    node = servers.owner(key_slot(own.encode())) if hasattr(servers, "owner") else servers
    node.command("SET", own, 7)
    charges = [Charge("calls", f"account-{n}", rate(24, burst=1)) for n in range(1_200)]
    for charge in [*charges, Charge("calls", "acme", rate(24, burst=1))]:
        assert (await buckets.take([charge])).allowed
    assert len(keys(servers, prefix)) == 1_202
    await buckets.delete()
    assert keys(servers, prefix) == [own]
    assert node.command("GET", own) == "7"


async def test_two_replays_at_once_know_nothing_of_each_other(buckets, servers, prefix, clock):
    other = ReplayBuckets(servers.url, prefix=prefix, clock_us=clock, deadline_s=20)
    charge = Charge("calls", "acme", rate(24, burst=1))
    try:
        assert (await buckets.take([charge])).allowed
        assert (await other.take([charge])).allowed
        await other.delete()
        assert not (await buckets.take([charge])).allowed
    finally:
        await other.close()


async def test_a_server_that_is_not_there_is_unavailable(prefix, clock):
    buckets = ReplayBuckets("redis://127.0.0.1:1", prefix=prefix, clock_us=clock, deadline_s=20)
    with pytest.raises(UnavailableError):
        await buckets.take([Charge("calls", "acme", rate(24, burst=1))])
    await buckets.close()


@pytest.mark.parametrize("seed", range(3))
async def test_redis_answers_as_memory_does(buckets, clock, seed):
    """Random charges, settled, left to lapse or renewed, at random times: each answer is the same."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    memory = MemoryBuckets(clock)
    throttles = [("calls", Unit.REQUESTS, 50.0), ("in", Unit.INPUT_TOKENS, 800.0), ("out", Unit.OUTPUT_TOKENS, 300.5)]
    open_holds: list[Hold] = []
    refused = 0
    for n in range(300):
        clock.now_us += dice.choice([0, 1, 999, SECOND_US, 20 * SECOND_US])
        charges = [
            Charge(name, key, rate(86_400, burst=burst), dice.uniform(0, burst), unit, shadow=dice.random() < 0.2)
            for key in [f"account-{dice.randrange(3)}"]
            for name, unit, burst in dice.sample(throttles, dice.randint(1, 3))
        ]
        lease = Lease(f"{n}/0", LEASE_US)
        taken = await buckets.take(charges, lease=lease)
        assert taken == await memory.take(charges, lease=lease)
        refused += not taken.allowed
        if taken.allowed:
            not_taken = {one.charge for one in taken.shadow_refused}
            open_holds += [Hold(c, lease.id, c.cost_us) for c in charges if c.is_reserved and c not in not_taken]
        if open_holds and dice.random() < 0.7:
            hold = open_holds.pop(dice.randrange(len(open_holds)))
            owed_us = dice.randint(-hold.held_us, 2 * hold.held_us)
            ended = [Adjustment(hold, owed_us, owed_us + hold.held_us)]
            await buckets.settle(ended)
            await memory.settle(ended)
        elif open_holds:
            renewed = dice.sample(open_holds, 1)
            await buckets.renew(renewed, LEASE_US)
            await memory.renew(renewed, LEASE_US)
    assert 30 < refused < 270
