"""What can go wrong between here and Redis, with a real server that is paused, killed, flushed and demoted."""

import asyncio
import time

import pytest
from tests.adapters.redis.calls import (
    DAY_US,
    DEADLINE_S,
    PATIENCE_S,
    charge,
    once_back,
    owes,
    tokens,
    wait_for_scripts,
)

from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.core.charge import Lease
from modelfence.enforcement.ports import UnavailableError


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


async def test_a_paused_server_is_given_up_at_the_deadline(server, buckets):
    await buckets.take([charge()])
    server.pause()
    started = time.monotonic()
    with pytest.raises(UnavailableError, match="did not answer within"):
        await buckets.take([charge()])
    assert DEADLINE_S * 0.9 < time.monotonic() - started < DEADLINE_S * 4
    server.go_on()


async def test_a_script_that_runs_after_its_caller_gave_up_takes_nothing(server, buckets, patient):
    await buckets.take([charge("warm")])
    server.command("CONFIG", "RESETSTAT")
    server.pause()
    with pytest.raises(UnavailableError):
        await buckets.take([charge()])
    server.go_on()
    wait_for_scripts(server, 1)
    assert (await patient.take([charge()])).allowed


async def test_a_settlement_that_runs_after_its_caller_gave_up_changes_nothing(server, buckets, patient):
    await patient.take([charge()])
    await buckets.settle([owes(charge("warm"), 1)])
    server.command("CONFIG", "RESETSTAT")
    server.pause()
    with pytest.raises(UnavailableError):
        await buckets.settle([owes(charge(), -charge().cost_us)])
    server.go_on()
    wait_for_scripts(server, 1)
    assert not (await patient.take([charge()])).allowed


async def test_the_first_call_of_a_worker_takes_nothing_late_either(server, buckets, patient):
    await patient.take([charge("warm")])
    server.command("CONFIG", "RESETSTAT")
    server.pause()
    with pytest.raises(UnavailableError):
        await buckets.take([charge()])
    server.go_on()
    wait_for_scripts(server, 1)
    assert (await patient.take([charge()])).allowed


async def test_no_answer_reaches_another_call_after_some_were_given_up(server):
    buckets = RedisBuckets(server.url, deadline_s=DEADLINE_S, connections=2)
    await buckets.take([charge("warm")])
    server.pause()
    given_up = await asyncio.gather(
        *(buckets.take([charge(f"lost-{number}")]) for number in range(10)), return_exceptions=True
    )
    assert {type(answer) for answer in given_up} == {UnavailableError}
    server.go_on()
    await once_back(lambda: buckets.take([charge("warm")]))
    for number in range(2, 40):
        taken = await buckets.take([charge(f"of-{number}", burst=number)])
        assert [balance.left for balance in taken.balances] == [number - 1]
    await buckets.close()


@pytest.mark.parametrize("turns", range(12))
async def test_calls_cancelled_at_any_moment_cost_neither_answers_nor_connections(server, turns):
    buckets = RedisBuckets(server.url, deadline_s=PATIENCE_S, connections=3)
    tasks = [asyncio.create_task(buckets.take([charge(f"cancelled-{number}")])) for number in range(9)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    kept = await asyncio.gather(*(buckets.take([charge(f"kept-{number}", burst=number)]) for number in range(2, 30)))
    assert [taken.balances[0].left for taken in kept] == [number - 1 for number in range(2, 30)]
    await buckets.close()


async def test_the_deadline_covers_the_wait_for_a_connection(server):
    buckets = RedisBuckets(server.url, deadline_s=DEADLINE_S, connections=1)
    server.pause()
    started = time.monotonic()
    answers = await asyncio.gather(*(buckets.take([charge()]) for _ in range(5)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {UnavailableError}
    assert time.monotonic() - started < DEADLINE_S * 4
    server.go_on()
    await buckets.close()


async def test_a_killed_server_is_unavailable_and_a_restarted_one_serves_again(server, buckets):
    assert (await buckets.take([charge(burst=2)])).allowed
    server.kill()
    for _ in range(3):
        with pytest.raises(UnavailableError):
            await buckets.take([charge(burst=2)])
    assert not await buckets.ready()
    server.start()
    await once_back(lambda: buckets.take([charge("warm")]))
    calls = [await buckets.take([charge(burst=2)]) for _ in range(3)]  # it kept nothing on disk
    assert [call.allowed for call in calls] == [True, True, False]
    assert await buckets.ready()


async def test_a_restart_between_calls_fails_none_of_them(server, patient):
    await asyncio.gather(*(patient.take([charge("warm")]) for _ in range(10)))
    server.kill()
    server.start()
    for _ in range(2):
        await asyncio.sleep(0)  # a turn of the loop, in which it hears that its connections were closed
    calls = await asyncio.gather(*(patient.take([charge(burst=3)]) for _ in range(10)))
    assert sum(call.allowed for call in calls) == 3


async def test_a_server_that_forgot_its_scripts_charges_once(server, buckets):
    calls = []
    for _ in range(4):
        calls.append(await buckets.take([charge(burst=3)]))
        server.command("SCRIPT", "FLUSH")
    assert [call.allowed for call in calls] == [True, True, True, False]
    await buckets.settle([owes(charge(burst=3), -charge().cost_us)])
    assert [(await buckets.take([charge(burst=3)])).allowed for _ in range(2)] == [True, False]


async def test_a_flushed_server_starts_with_full_buckets(server, buckets):
    await buckets.take([charge()])
    server.command("FLUSHALL")
    assert (await buckets.take([charge()])).allowed


@pytest.mark.parametrize(
    ("harm", "repair"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
        (("LPUSH", "modelfence:bucket:{acme}:calls", "1"), ("DEL", "modelfence:bucket:{acme}:calls")),
        (("SET", "modelfence:bucket:{acme}:calls", "soon"), ("DEL", "modelfence:bucket:{acme}:calls")),
        (("LPUSH", "modelfence:lease:{acme}:tokens", "1"), ("DEL", "modelfence:lease:{acme}:tokens")),
    ],
    ids=["read-only replica", "out of memory", "too few replicas", "another type", "not a number", "no list of leases"],
)
async def test_a_server_that_cannot_write_is_unavailable_until_it_can(server, buckets, harm, repair):
    await buckets.take([charge("warm")])
    charges = [charge("other"), charge(), tokens(1, burst=1)]
    server.command(*harm)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await buckets.take(charges, lease=Lease("call", DAY_US))
    with pytest.raises(UnavailableError):
        await buckets.settle([owes(one, 1) for one in charges])
    assert await buckets.ready() == (harm[0] in ("LPUSH", "SET"))
    server.command(*repair)
    assert (await once_back(lambda: buckets.take(charges))).allowed


async def test_a_server_that_wants_a_password_is_unavailable_without_it(server, buckets):
    server.command("CONFIG", "SET", "requirepass", "hunter2")
    with pytest.raises(UnavailableError):
        await buckets.take([charge()])
    knowing = RedisBuckets(server.url.replace("//", "//default:hunter2@"), deadline_s=PATIENCE_S)
    assert (await knowing.take([charge()])).allowed
    await knowing.close()


@pytest.mark.parametrize("step_s", [-9, 3_600])
async def test_a_step_of_the_servers_clock_stops_nobody_and_lets_nothing_run_late(
    server, buckets, patient, monkeypatch, step_s
):
    await buckets.take([charge(burst=3)])
    loop = asyncio.get_running_loop()
    time_s = loop.time
    monkeypatch.setattr(loop, "time", lambda: time_s() - step_s)  # as if the server's clock had made that step since
    assert (await buckets.take([charge(burst=3)])).allowed
    server.command("CONFIG", "RESETSTAT")
    server.pause()
    with pytest.raises(UnavailableError):
        await buckets.take([charge(burst=3)])
    server.go_on()
    wait_for_scripts(server, 1)
    assert [(await patient.take([charge(burst=3)])).allowed for _ in range(2)] == [True, False]


async def test_a_call_is_admitted_when_its_wait_is_over_and_not_before(patient):
    await patient.take([charge(period="second")])
    refused = await patient.take([charge(period="second")])
    full_at_us = patient.last_answer_us + refused.refused[0].wait_us
    async with asyncio.timeout(PATIENCE_S):
        while not (await patient.take([charge(period="second")])).allowed:
            assert patient.last_answer_us < full_at_us
    assert patient.last_answer_us >= full_at_us


def test_only_urls_of_a_redis_server_are_taken():
    with pytest.raises(ValueError, match="redis://"):
        RedisBuckets("memcached://127.0.0.1")


async def test_a_process_that_is_held_up_does_not_take_its_own_delay_for_the_servers(server):
    buckets = RedisBuckets(server.url, deadline_s=0.04)
    await once_back(lambda: buckets.take([charge("warm")]))
    busy = asyncio.create_task(_hold_up_the_loop(0.06))
    for burst in range(2, 6):
        taken = await buckets.take([charge(f"of-{burst}", burst=burst)])
        assert taken.balances[0].left == burst - 1
        await buckets.settle([owes(charge(f"of-{burst}", burst=burst), -taken.balances[0].charge.cost_us)])
    busy.cancel()
    await buckets.close()


async def test_a_paused_server_is_given_up_by_a_process_that_is_held_up_too(server):
    buckets = RedisBuckets(server.url, deadline_s=0.1)
    await buckets.take([charge("warm")])
    server.pause()
    busy = asyncio.create_task(_hold_up_the_loop(0.15))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(UnavailableError, match="did not answer within"):
            await buckets.take([charge()])
    busy.cancel()
    server.go_on()
    await buckets.close()


async def _hold_up_the_loop(turn_s: float) -> None:
    while True:
        time.sleep(turn_s)  # noqa: ASYNC251 - that is the point
        await asyncio.sleep(0)


def test_an_option_that_no_server_has_is_found_before_the_first_call():
    with pytest.raises(ValueError, match="an option that does not exist"):
        RedisBuckets("redis://127.0.0.1/0?nonsense=1")
