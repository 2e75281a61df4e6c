"""Calls to a real server that fails and comes back: what they are told, how long they wait, and who is let in."""

import asyncio
import contextlib
import time

import pytest
from redis.exceptions import RedisError, ResponseError
from tests.redis_load import Load, eventually
from tests.redis_servers import until

from modelfence.adapters.redis.patience import Patience, Turns
from modelfence.adapters.redis.servers import Circuit, NotSentError, RedisServers

DEADLINE_S = 0.05
PATIENCE_S = 20
RECOVERS_WITHIN_S = 2


@pytest.fixture
def server(start_redis):
    return start_redis()


@pytest.fixture
async def servers(server):
    servers = RedisServers(server.url, deadline_s=DEADLINE_S)
    yield servers
    await servers.close()


@pytest.fixture
def load(servers):
    return Load(servers, ["counter"], deadline_s=DEADLINE_S)


def stat_of(server, command: str) -> int:
    return server.command("INFO", "commandstats").get(f"cmdstat_{command}", {}).get("rejected_calls", 0)


async def give_up(servers, *, after_s: float) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s):
            await servers.ask("", "PING")


async def open_circuit(servers, server) -> None:
    await servers.ask("", "PING")
    server.pause()
    while servers.circuit is not Circuit.OPEN:
        await give_up(servers, after_s=DEADLINE_S)


async def test_a_paused_server_is_left_alone_after_five_calls_in_vain(server, servers):
    await servers.ask("", "PING")
    server.pause()
    for _ in range(5):
        assert servers.circuit is Circuit.CLOSED
        with pytest.raises(TimeoutError), Patience(Turns(DEADLINE_S)):
            await servers.ask("", "PING")
    assert servers.circuit is Circuit.OPEN
    started = time.monotonic()
    for _ in range(50):
        with pytest.raises(NotSentError, match="left alone"):
            await servers.ask("", "INCR", "counter")
    assert time.monotonic() - started < DEADLINE_S
    server.go_on()
    assert server.command("GET", "counter") is None


async def test_a_server_that_halts_for_a_moment_is_asked_again_as_soon_as_it_answers(server, servers, monkeypatch):
    monkeypatch.setattr("modelfence.adapters.redis.circuit_breaker.OPEN_S", 1_000)
    await open_circuit(servers, server)
    server.go_on()
    async with asyncio.timeout(PATIENCE_S):
        while servers.circuit is Circuit.OPEN:
            with contextlib.suppress(NotSentError):
                await servers.ask("", "PING")
            await asyncio.sleep(0)
    assert await servers.ask("", "PING") == b"PONG"


async def test_late_errors_of_a_server_that_cannot_serve_do_not_count_as_answers(server, servers, monkeypatch):
    monkeypatch.setattr("modelfence.adapters.redis.circuit_breaker.OPEN_S", 1_000)
    await servers.ask("", "PING")
    server.command("REPLICAOF", "127.0.0.1", "1")
    server.pause()
    while servers.circuit is not Circuit.OPEN:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(DEADLINE_S):
                await servers.ask("", "INCR", "counter")
    server.go_on()
    await asyncio.to_thread(until, lambda: stat_of(server, "incr") >= 5, "the commands to be answered")
    for _ in range(20):
        with pytest.raises(NotSentError):
            await servers.ask("", "PING")
        await asyncio.sleep(0.005)


async def test_callers_that_hang_up_do_not_open_the_circuit(server, servers):
    await servers.ask("", "PING")
    server.pause()
    for _ in range(50):
        await give_up(servers, after_s=0)
    assert servers.circuit is Circuit.CLOSED
    server.go_on()


async def test_a_probe_that_hangs_up_leaves_its_place_to_the_next_call(server, servers):
    await open_circuit(servers, server)
    probe = asyncio.create_task(servers.ask("", "PING"))
    while servers.circuit is not Circuit.HALF_OPEN:
        with pytest.raises(NotSentError):
            await probe
        await asyncio.sleep(0)
        probe = asyncio.create_task(servers.ask("", "PING"))
        await asyncio.sleep(0)
    with pytest.raises(NotSentError):  # there is one probe at a time
        await servers.ask("", "PING")
    probe.cancel()
    await asyncio.wait([probe])
    server.go_on()
    async with asyncio.timeout(PATIENCE_S):
        assert await servers.ask("", "PING") == b"PONG"
    assert str(servers.circuit) == "closed"


async def test_after_a_pause_calls_are_served_again_soon_and_each_was_counted_once(server, load):
    async with load:
        await load.serves()
        server.pause()
        await eventually(lambda: any("left alone" in message for message in load.failed))
        server.go_on()
        await load.serves(within_s=RECOVERS_WITHIN_S)
    served = load.served["counter"]
    assert served <= int(server.command("GET", "counter")) <= served + load.unknown["counter"]


async def test_after_a_restart_calls_are_served_again_soon(server, load):
    async with load:
        await load.serves()
        server.kill()
        await eventually(lambda: any("left alone" in message for message in load.failed))
        server.start()
        await load.serves(within_s=RECOVERS_WITHIN_S)


@pytest.mark.parametrize(
    ("harm", "repair", "says"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "read only replica"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "maxmemory"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "NOREPLICAS",
        ),
    ],
    ids=["read-only", "out of memory", "too few replicas"],
)
async def test_a_server_that_cannot_write_is_left_alone_until_it_can(server, load, servers, harm, repair, says):
    async with load:
        await load.serves()
        server.command(*harm)
        await eventually(lambda: servers.circuit is Circuit.OPEN)
        await eventually(lambda: any("left alone" in message for message in load.failed))
        server.command(*repair)
        await load.serves(within_s=RECOVERS_WITHIN_S)
    assert any(says in message for message in load.failed)
    assert int(server.command("GET", "counter")) == load.served["counter"]


@pytest.mark.parametrize(
    "script", ["return redis.call('SET', 'k', 1)", "redis.call('GET', 'k') redis.call('INCR', 'k')"]
)
async def test_a_script_that_cannot_write_counts_as_well(server, servers, script):
    server.command("REPLICAOF", "127.0.0.1", "1")
    for _ in range(5):
        with pytest.raises(ResponseError, match="read only replica"):
            await servers.ask("", "EVAL", script, 0)
    assert servers.circuit is Circuit.OPEN


async def test_errors_that_are_the_commands_own_do_not_open_the_circuit(servers):
    for command in [("EVALSHA", "0" * 40, 0), ("EVAL", "return redis.call('HGET', 'READONLY')", 0), ("READONLY",)] * 3:
        with pytest.raises(ResponseError):
            await servers.ask("", *command)
    assert servers.circuit is Circuit.CLOSED


async def test_a_user_is_let_in_by_name_and_password_and_bound_by_what_he_may(server):
    server.command("ACL", "SETUSER", "fence", "on", ">p@ss/w:rd", "~modelfence:*", "+incr", "+ping")
    server.command("ACL", "SETUSER", "default", "off")
    host = server.url.removeprefix("redis://")
    servers = RedisServers(f"redis://fence:p%40ss%2Fw%3Ard@{host}", deadline_s=PATIENCE_S)
    assert await servers.ask("", "INCR", "modelfence:counter") == 1
    with pytest.raises(ResponseError, match="no permissions"):
        await servers.ask("", "INCR", "other")
    await servers.close()
    for who in ["", "fence:wrong@", ":p%40ss%2Fw%3Ard@"]:
        servers = RedisServers(f"redis://{who}{host}", deadline_s=PATIENCE_S)
        with pytest.raises(NotSentError):
            await servers.ask("", "INCR", "modelfence:counter")
        await servers.close()


async def test_nobody_answers_where_there_is_no_server(start_redis):
    gone = start_redis()
    gone.kill()
    servers = RedisServers(gone.url, deadline_s=PATIENCE_S)
    for _ in range(6):
        with pytest.raises(NotSentError) as raised:
            await servers.ask("", "PING")
        assert isinstance(raised.value, RedisError)
    assert servers.circuit is Circuit.OPEN
    await servers.close()


def test_a_url_is_checked_when_the_servers_are_made():
    with pytest.raises(ValueError, match="redis://"):
        RedisServers("memcached://127.0.0.1", deadline_s=1)


async def test_keys_have_no_slots_without_a_cluster(servers):
    assert {servers.slot(key) for key in ("a", "b", "{c}d")} == {0}
