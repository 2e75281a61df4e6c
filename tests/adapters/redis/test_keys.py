"""What buckets are in Redis: which keys, for how long, by which commands, and what comes back when a call was lost."""

import asyncio
import time
from dataclasses import replace

import pytest
from tests.adapters.bucket_model import step
from tests.adapters.redis.calls import DAY_US, DEADLINE_S, PATIENCE_S, charge, owes, scripts_run, tokens

from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.core.charge import Adjustment, Hold, Lease
from modelfence.enforcement.ports import UnavailableError

INSIDE = {"time", "get", "set", "del", "zadd", "zrem", "zscore", "zrangebyscore", "pttl", "pexpire"}
"""The commands that the scripts use."""


@pytest.fixture
def server(start_redis):
    return start_redis()


@pytest.fixture
async def buckets(server):
    store = RedisBuckets(server.url, deadline_s=DEADLINE_S)
    yield store
    await store.close()


@pytest.fixture
async def patient(server):
    """Another worker on the same server, which waits as long as it takes."""
    store = RedisBuckets(server.url, deadline_s=PATIENCE_S)
    yield store
    await store.close()


async def test_a_call_is_one_round_trip_and_so_are_each_step_and_its_settlement(server, patient):
    charges = [charge("calls"), *(tokens(1, 5, throttle=f"tokens-{number}") for number in range(16))]

    def held(lease: str) -> list[Hold]:
        return [Hold(one, lease, one.cost_us) for one in charges]

    async def call() -> None:
        await patient.take(charges, lease=Lease("0", DAY_US))
        await patient.take(charges[1:], lease=Lease("1", DAY_US), after=[Adjustment(one, 0, 0) for one in held("0")])
        await patient.renew(held("1"), DAY_US)
        await patient.settle([Adjustment(one, -one.held_us, 0) for one in held("1")])

    await call()  # the scripts are known now
    with server.client() as client:
        client.config_resetstat()
        await call()
        calls = {name: stat["calls"] for name, stat in client.info("commandstats").items()}
    assert calls.pop("cmdstat_evalsha") == 4
    inside = {f"cmdstat_{name}" for name in INSIDE}
    assert calls.keys() - inside <= {"cmdstat_config", "cmdstat_config|resetstat"}


async def test_a_user_needs_its_prefix_and_the_commands_inside_the_scripts_only(server):
    server.command(
        *["ACL", "SETUSER", "fence", "on", ">hunter2", "resetkeys", "~mine:*", "-@all", "+evalsha", "+eval"],
        *(f"+{name}" for name in INSIDE),
    )
    url = server.url.replace("//", "//fence:hunter2@")
    mine = RedisBuckets(url, prefix="mine", deadline_s=PATIENCE_S)
    held = tokens(3, burst=10)
    hold = Hold(held, "call", held.cost_us)
    for _ in range(2):  # the first time with EVAL
        assert (await mine.take([charge(burst=5), held], lease=Lease("call", DAY_US))).allowed
        await mine.renew([hold], DAY_US)
        await mine.settle([Adjustment(hold, -held.cost_us, 0)])
    await mine.reset([charge(), held])
    assert await mine.ready()
    await mine.close()
    others = RedisBuckets(url, prefix="others", deadline_s=PATIENCE_S)
    with pytest.raises(UnavailableError, match="Redis: "):
        await others.take([charge()])
    assert not await others.ready()
    await others.close()


async def test_a_full_bucket_leaves_nothing_behind(server, buckets):
    held = tokens(1, burst=1)
    await buckets.take([charge(), held], lease=Lease("call", DAY_US))
    assert sorted(server.command("KEYS", "*")) == [
        "modelfence:bucket:{acme}:calls",
        "modelfence:bucket:{acme}:tokens",
        "modelfence:lease:{acme}:tokens",
    ]
    assert server.command("ZRANGE", "modelfence:lease:{acme}:tokens", 0, -1) == [f"call:{DAY_US}"]
    await buckets.settle([owes(charge(), -DAY_US), Adjustment(Hold(held, "call", DAY_US), -DAY_US, 0)])
    assert server.command("KEYS", "*") == []


async def test_every_key_has_a_lifetime(server, buckets):
    held = tokens(1, burst=100)
    hold = Hold(held, "call/1", held.cost_us)
    await buckets.take([held, charge()], lease=Lease("call/0", 1_000_000))
    await buckets.take([held], lease=Lease("call/1", 1_000_000), after=[Adjustment(Hold(held, "call/0", DAY_US), 0, 0)])
    await buckets.renew([hold], 2_000_000)
    await buckets.settle([owes(held, DAY_US)])
    for key in server.command("KEYS", "*"):
        assert 0 < server.command("PTTL", key) < 10 * DAY_US / 1000


async def test_what_an_answer_that_was_lost_holds_comes_back(server, buckets, patient):
    await patient.take([charge("warm")])
    await buckets.take([charge("warm")])
    held = tokens(8, burst=10)
    server.command("CONFIG", "RESETSTAT")
    asking = asyncio.create_task(buckets.take([held], lease=Lease("lost", 3_600_000_000)))
    give_up_at_s = time.monotonic() + PATIENCE_S
    while not scripts_run(server) and time.monotonic() < give_up_at_s:  # noqa: ASYNC110 - written in one turn, answered in the next
        await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    look = tokens(0, burst=10, shadow=True)
    assert (await patient.take([look])).balances[0].left == 2
    step(server, "modelfence", by_ms=3_599_000)
    assert (await patient.take([look])).balances[0].left == 2
    step(server, "modelfence", by_ms=1_000)
    assert (await patient.take([look])).balances[0].left == 10


async def test_what_lapsed_comes_back_however_long_the_bucket_is_in_debt(server, buckets):
    held = tokens(8, burst=10)
    await buckets.take([held], lease=Lease("lost", 1_000_000))
    await buckets.settle([owes(held, 400 * DAY_US)])
    step(server, "modelfence", by_ms=399 * DAY_US // 1_000)
    assert (await buckets.take([replace(held, amount=0, shadow=True)])).balances[0].left_us // DAY_US == 9


async def test_a_hold_is_there_until_its_lease_ends_also_when_its_bucket_has_long_been_full(server, buckets):
    held = tokens(1, burst=1)
    hold = Hold(held, "call", held.cost_us)
    await buckets.take([held], lease=Lease("call", 9 * DAY_US))
    step(server, "modelfence", by_ms=8 * DAY_US // 1_000)
    await buckets.renew([hold], 90 * DAY_US)
    step(server, "modelfence", by_ms=89 * DAY_US // 1_000)
    await buckets.settle([Adjustment(hold, 0, DAY_US)])
    assert (await buckets.take([held])).allowed


async def test_a_bucket_that_is_reset_is_full_and_holds_nothing(server, buckets):
    held, calls, other = tokens(8, burst=10), charge(), charge("other")
    await buckets.take([held, calls, other], lease=Lease("call", DAY_US))
    await buckets.reset([held, calls])
    assert server.command("KEYS", "*") == ["modelfence:bucket:{acme}:other"]
    await buckets.settle([Adjustment(Hold(held, "call", held.cost_us), -held.cost_us, 0)])
    assert (await buckets.take([held, calls])).allowed
    await buckets.reset([])


async def test_looking_writes_nothing(server, buckets):
    held, calls = tokens(8, burst=10), charge()
    await buckets.take([held, calls], lease=Lease("call", DAY_US))
    server.command("CONFIG", "SET", "min-replicas-to-write", "1")
    taken = await buckets.take([replace(one, amount=0, shadow=True) for one in (held, calls, charge("new"))])
    assert [balance.left for balance in taken.balances] == [2, 0, 1]


async def test_what_may_have_run_is_told_from_what_surely_did_not(server, buckets):
    await buckets.take([charge("warm")])
    server.pause()
    with pytest.raises(UnavailableError) as paused:
        await buckets.take([charge()])
    assert paused.value.may_have_run
    server.go_on()
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(UnavailableError) as refused:
        await buckets.take([charge()])
    assert not refused.value.may_have_run
    server.kill()
    for _ in range(2):  # the first may still be written to the connection that is lost
        with pytest.raises(UnavailableError) as gone:
            await buckets.take([charge()])
    assert not gone.value.may_have_run
