"""Evidence in a real Redis that is paused, killed, flushed and demoted, and what stands in it."""

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import redis
from tests.adapters.redis.calls import DEADLINE_S, PATIENCE_S, once_back, wait_for_scripts

from modelfence.adapters.redis.circuit_breaker import Circuit
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.core.extraction import Fingerprint
from modelfence.core.unavailable import UnavailableError
from modelfence.extraction.evidence import DAY_S, HOUR_S, Bounds, Sighting

NOW_S = 20_520 * DAY_S
TEMPLATE = tuple(range(100, 106))
FIVE = [f"account-{number}" for number in range(5)]


SMALL = Bounds(accounts=20, shingles=100, cohorts=2)


def call(caller: str = "acme", last: tuple[int, ...] = TEMPLATE, *, history: int = 0) -> Sighting:
    print_ = Fingerprint(last=last, item=7, history=history)
    return Sighting(NOW_S, caller, "basic", is_verified=False, country="NO", fingerprint=print_)


@pytest.fixture
def server(start_redis):
    return start_redis()


@pytest.fixture
async def evidence(server):
    store = RedisEvidence(server.url, deadline_s=DEADLINE_S)
    yield store
    await store.close()


@pytest.fixture
async def patient(server):
    """Another worker on the same server, which waits as long as it takes."""
    store = RedisEvidence(server.url, deadline_s=PATIENCE_S)
    yield store
    await store.close()


def bytes_of(server):
    """Return a connection that takes no key for text."""
    return redis.Redis(port=server.port)


def everything(server):
    """Return all keys with what they hold."""
    with bytes_of(server) as client:
        return {key: client.dump(key) for key in client.scan_iter(count=1_000)}


async def test_workers_see_the_same_cohorts(evidence, patient):
    for caller in FIVE[:3]:
        await evidence.see(call(caller))
    for caller in FIVE[3:]:
        seen = await patient.see(call(caller))
    assert seen.matched == (f"{TEMPLATE[0]:012x}",)
    assert await evidence.cohorts() == await patient.cohorts()


async def test_a_call_that_is_seen_after_its_caller_gave_up_changes_nothing(server, evidence, patient):
    for caller in FIVE:
        await evidence.see(call(caller))
    before = everything(server)
    server.command("CONFIG", "RESETSTAT")
    server.pause()
    for asked in (evidence.see(call("late")), evidence.answered(FIVE[0], f"{TEMPLATE[0]:012x}", 300)):
        with pytest.raises(UnavailableError):
            await asked
    server.go_on()
    wait_for_scripts(server, 2)
    assert everything(server) == before
    assert (await patient.see(call("late"))).tally.calls == 1


async def test_the_first_call_of_a_worker_is_not_seen_late_either(server, evidence, patient):
    await patient.see(call("warm"))
    server.command("CONFIG", "RESETSTAT")
    server.pause()
    with pytest.raises(UnavailableError):
        await evidence.see(call())
    server.go_on()
    wait_for_scripts(server, 1)
    assert (await patient.see(call())).tally.calls == 1


async def test_a_killed_server_is_unavailable_and_a_restarted_one_begins_again(server, evidence):
    await evidence.see(call())
    assert evidence.circuit is Circuit.CLOSED
    server.kill()
    for _ in range(2):
        with pytest.raises(UnavailableError):
            await evidence.see(call())
        with pytest.raises(UnavailableError):
            await evidence.answered("acme", "", 300)
        with pytest.raises(UnavailableError):
            await evidence.cohorts()
    server.start()
    assert (await once_back(lambda: evidence.see(call()))).tally.calls == 1


async def test_a_record_from_before_countries_were_kept_goes_on(server, evidence):
    await evidence.see(call())
    with bytes_of(server) as client:
        [name] = client.keys("*:account:*")
        client.set(name, client.get(name)[: -len(b"............NO")])
    seen = await evidence.see(call())
    assert (seen.tally.calls, seen.countries) == (2, ("NO",))


async def test_a_cohort_from_before_it_was_counted_who_is_behind_its_accounts_goes_on(server, evidence):
    sightings = [replace(call(caller), control=("payer acme",)) for caller in (*FIVE, *FIVE, "new")]
    for sighting in sightings[:-1]:
        await evidence.see(sighting)
    with bytes_of(server) as client:
        [name] = client.keys("*:cohort:*")
        client.set(name, client.get(name)[: -len(b"acme....")])
    assert [cohort.controlled for cohort in await evidence.cohorts()] == [0]
    [(cohort, _)] = (await evidence.see(sightings[-1])).cohorts
    assert (cohort.accounts, cohort.controlled) == (6, 1)


async def test_a_server_that_forgot_its_scripts_counts_once(server, evidence):
    for calls in range(1, 4):
        assert (await evidence.see(call())).tally.calls == calls
        server.command("SCRIPT", "FLUSH")
    await evidence.answered("acme", "", 300)
    server.command("SCRIPT", "FLUSH")
    assert await evidence.cohorts() == []
    assert (await evidence.see(call())).tally.answers == 1


@pytest.mark.parametrize(
    ("harm", "repair"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ],
    ids=["read-only replica", "out of memory", "too few replicas"],
)
async def test_a_server_that_cannot_write_is_unavailable_until_it_can(server, evidence, harm, repair):
    for caller in FIVE:
        await evidence.see(call(caller))
    before = everything(server)
    server.command(*harm)
    with pytest.raises(UnavailableError):
        await evidence.see(call("new"))
    assert everything(server) == before
    server.command(*repair)
    assert (await once_back(lambda: evidence.see(call("new")))).tally.calls == 1


@pytest.mark.parametrize("part", ["cohort:", "items:", "cohorts", "shingles:"])
async def test_a_key_of_another_kind_stops_the_script_before_it_writes(server, evidence, part):
    for caller in FIVE:
        await evidence.see(call(caller))
    name = next(key for key in everything(server) if f"{{extraction}}:{part}".encode() in key)
    server.command("DEL", name)
    server.command("XADD", name, "*", "a", "b")
    before = everything(server)
    with pytest.raises(UnavailableError):
        await evidence.see(call("new"))
    assert everything(server) == before


async def test_all_keys_lie_in_one_slot_and_expire_an_hour_or_more_after_what_they_hold(server, patient):
    for caller in FIVE * 2:
        await patient.see(call(caller))
    for caller in FIVE * 2:
        await patient.see(call(caller, tuple(range(200, 206))))
    await patient.answered(FIVE[0], f"{TEMPLATE[0]:012x}", 300)
    kept_ms = (Bounds().expires_s + HOUR_S) * 1_000
    with bytes_of(server) as client:
        keys = client.keys()
        kinds = {key.split(b":")[2] for key in keys}
        assert kinds == {b"account", b"accounts", b"cohort", b"items", b"cohorts", b"taken", b"shingles"}
        for key in keys:
            assert key.startswith(b"modelfence:{extraction}:")
            assert client.pttl(key) > kept_ms - PATIENCE_S * 1_000, key


async def test_the_index_is_kept_in_lists_without_pointers(server):
    store = RedisEvidence(server.url, deadline_s=PATIENCE_S, bounds=Bounds(shingles=1_000))
    for number in range(100):
        await store.see(call(f"account-{number}", tuple(range(number * 40, number * 40 + 60))))
    with server.client() as client:
        shards = client.keys("*:shingles:*")
        assert {client.object("ENCODING", shard) for shard in shards} <= {"ziplist", "listpack"}
        assert sum(client.hlen(shard) for shard in shards) <= 1_000
    await store.close()


async def test_the_user_that_the_manual_describes_may_do_all_it_takes(server, patient):
    manual = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
    line = next(line for line in manual.splitlines() if line.startswith("ACL SETUSER fence"))
    server.command(*line.replace("PASSWORD", "hunter2").split())
    fence = RedisEvidence(server.url.replace("//", "//fence:hunter2@"), deadline_s=PATIENCE_S, bounds=SMALL)
    for number in range(30):
        for caller in (*FIVE, *FIVE, f"other-{number}"):
            await fence.see(call(caller, tuple(range(number * 100, number * 100 + 12)), history=number))
            await fence.answered(caller, f"{number * 100:012x}", 300)
    assert await fence.cohorts() == await patient.cohorts() != []
    used = server.command("INFO", "commandstats")
    assert {"cmdstat_bitop", "cmdstat_hdel", "cmdstat_zpopmin", "cmdstat_getbit", "cmdstat_setrange"} <= used.keys()
    await fence.close()


async def test_stores_of_different_prefixes_know_nothing_of_each_other(redis_server):
    stores = [RedisEvidence(redis_server.url, prefix=f"apart-{uuid.uuid4()}", deadline_s=PATIENCE_S) for _ in range(2)]
    for store in stores:
        assert (await store.see(call())).tally.calls == 1
        await store.close()


async def test_calls_at_the_same_time_are_all_counted(patient):
    seen = await asyncio.gather(*(patient.see(call()) for _ in range(60)))
    assert sorted(one.tally.calls for one in seen) == list(range(1, 61))


def test_only_urls_of_a_redis_server_are_taken():
    with pytest.raises(ValueError, match="redis://"):
        RedisEvidence("memcached://127.0.0.1")
