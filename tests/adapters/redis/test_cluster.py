"""A real cluster of three masters, whose slots move and whose masters fail while they are asked."""

import asyncio

import pytest
from redis.exceptions import ResponseError
from tests.redis_load import Load, eventually

from modelfence.adapters.redis.servers import Circuit, NotSentError, RedisServers

DEADLINE_S = 0.2
PATIENCE_S = 20


@pytest.fixture
async def servers(redis_cluster):
    servers = RedisServers(redis_cluster.url, deadline_s=PATIENCE_S)
    yield servers
    await servers.close()


def counters(cluster, keys) -> dict[str, int]:
    """Return what the masters hold, each key from the one that has it."""
    found = {}
    for node in cluster.masters + cluster.replicas:
        if node.is_alive and node.command("ROLE")[0] == "master":
            for key in node.command("KEYS", "*"):
                assert key not in found, "a key is in two masters"
                found[key] = int(node.command("GET", key))
    return {key: found.get(key, 0) for key in keys}


async def test_each_key_goes_to_the_server_that_holds_its_slot(redis_cluster, servers):
    keys = [redis_cluster.key_in(number, "placed") for number in range(3)]
    assert [await servers.ask(key, "INCR", key) for key in keys] == [1, 1, 1]
    for node, key in zip(redis_cluster.masters, keys, strict=True):
        assert node.command("GET", key) == "1"


@pytest.mark.parametrize(
    ("key", "slot"), [("123456789", 12739), ("{acme}:calls", 0), ("a{acme}b", 0), ("{}x", None), ("{x", None)]
)
async def test_slots_are_those_of_the_part_in_braces(servers, key, slot):
    # 12739 is 0x31C3, the example of the specification's appendix.
    assert servers.slot(key) == (servers.slot("acme") if slot == 0 else slot or servers.slot(key))
    assert 0 <= servers.slot(key) < 16384
    assert servers.slot("{a}1") == servers.slot("{a}2") == servers.slot("a") != servers.slot("{}a")


async def test_one_node_of_the_url_is_enough(redis_cluster, start_redis):
    dead = start_redis()
    dead.kill()
    url = f"redis+cluster://127.0.0.1:{dead.port},127.0.0.1:{redis_cluster.masters[2].port}"
    servers = RedisServers(url, deadline_s=PATIENCE_S)
    assert await servers.ask("some", "GET", "some") is None
    await servers.close()


async def test_a_cluster_of_which_nobody_answers_is_unavailable_at_once(start_redis):
    dead, alone = start_redis(), start_redis()
    dead.kill()
    for server in (dead, alone):  # the other one belongs to no cluster
        servers = RedisServers(f"redis+cluster://127.0.0.1:{server.port}", deadline_s=PATIENCE_S)
        for _ in range(3):
            with pytest.raises(NotSentError):
                await servers.ask("some", "GET", "some")
        assert servers.circuit is Circuit.OPEN
        await servers.close()


async def test_a_moved_slot_is_followed(start_cluster):
    cluster = start_cluster()
    source, target = cluster.masters[0], cluster.masters[1]
    servers = RedisServers(cluster.url, deadline_s=PATIENCE_S)
    key = cluster.key_in(0)
    await servers.ask(key, "INCR", key)
    cluster.migrate(servers.slot(key), source, target)
    assert [await servers.ask(key, "INCR", key) for _ in range(20)] == [*range(2, 22)]
    assert source.command("INFO", "errorstats")["errorstat_MOVED"] == {"count": 1}  # once is enough to know
    assert await asyncio.gather(*(servers.ask(key, "INCR", key) for _ in range(50))) == [*range(22, 72)]
    assert counters(cluster, [key]) == {key: 71}
    await servers.close()


async def test_keys_that_are_in_two_servers_while_their_slot_moves_are_waited_for(start_cluster):
    cluster = start_cluster()
    source, target = cluster.masters[0], cluster.masters[1]
    servers = RedisServers(cluster.url, deadline_s=PATIENCE_S)
    tag = cluster.key_in(0)
    keys = [f"{{{tag}}}:{n}" for n in range(2)]
    script = "return {redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2])}"
    assert await servers.ask(tag, "EVAL", script, 2, *keys) == [1, 1]
    slot = servers.slot(tag)
    cluster.begin_migration(slot, source, target)
    source.command("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5_000)
    asked = asyncio.create_task(servers.ask(tag, "EVAL", script, 2, *keys))
    with pytest.raises(TimeoutError):  # the caller's own deadline, while neither server has both keys
        async with asyncio.timeout(0.05):
            await servers.ask(tag, "EVAL", script, 2, *keys)
    assert not asked.done()
    cluster.move_keys(slot, source, target)
    async with asyncio.timeout(PATIENCE_S):
        assert await asked == [2, 2]  # asked of the target, though the slot is still the source's
    cluster.end_migration(slot, target)
    assert counters(cluster, keys) == dict.fromkeys(keys, 2)
    assert servers.circuit is Circuit.CLOSED
    await servers.close()


async def test_slots_that_move_under_load_lose_nothing_and_double_nothing(start_cluster):
    cluster = start_cluster()
    servers = RedisServers(cluster.url, deadline_s=PATIENCE_S)
    keys = [cluster.key_in(number, f"load-{n}") for n in range(4) for number in range(3)]
    async with Load(servers, keys, deadline_s=PATIENCE_S) as load:
        for n in range(4):
            for number in range(3):
                await load.serves()
                source, target = cluster.masters[number], cluster.masters[(number + 1) % 3]
                slot = servers.slot(keys[3 * n + number])
                await asyncio.to_thread(cluster.migrate, slot, source, target)
        await load.serves()
    assert not load.unknown
    assert not load.failed
    assert counters(cluster, keys) == load.served
    await servers.close()


async def test_a_master_that_hands_over_under_load_loses_nothing_and_doubles_nothing(start_cluster):
    cluster = start_cluster(replicas=1)
    servers = RedisServers(cluster.url, deadline_s=DEADLINE_S)
    keys = [cluster.key_in(number) for number in range(3)]
    async with Load(servers, keys, deadline_s=DEADLINE_S) as load:
        await load.serves()
        cluster.hand_over()
        await load.serves(within_s=2)
    held = counters(cluster, keys)
    assert all(load.served[key] <= held[key] <= load.served[key] + load.unknown[key] for key in keys)
    await servers.close()


async def test_a_master_that_dies_under_load_is_replaced_and_does_not_stop_the_others(start_cluster):
    cluster = start_cluster(replicas=1)
    servers = RedisServers(cluster.url, deadline_s=DEADLINE_S)
    keys = [cluster.key_in(number) for number in range(3)]
    async with (
        Load(servers, keys[:1], deadline_s=DEADLINE_S) as of_the_dead,
        Load(servers, keys[1:], deadline_s=DEADLINE_S) as of_others,
    ):
        await of_the_dead.serves()
        await of_others.serves()
        cluster.masters[0].kill()
        await eventually(lambda: servers.circuit is Circuit.OPEN)
        await of_others.serves()
        await eventually(lambda: cluster.replicas[0].command("ROLE")[0] == "master")
        await of_the_dead.serves(within_s=2)
    assert not of_others.failed
    assert not of_others.unknown
    held = counters(cluster, keys)
    assert held[keys[0]] <= of_the_dead.served[keys[0]] + of_the_dead.unknown[keys[0]]
    assert [held[key] for key in keys[1:]] == [of_others.served[key] for key in keys[1:]]
    assert servers.circuit is Circuit.CLOSED
    await servers.close()


async def test_slots_without_a_server_are_unavailable_and_the_others_are_not(start_cluster):
    cluster = start_cluster()
    servers = RedisServers(cluster.url, deadline_s=PATIENCE_S)
    keys = [cluster.key_in(number) for number in range(3)]
    for node in cluster.masters:
        node.command("CLUSTER", "DELSLOTS", servers.slot(keys[0]))
    for _ in range(8):
        with pytest.raises((ResponseError, NotSentError)):
            await servers.ask(keys[0], "INCR", keys[0])
    assert await servers.ask(keys[1], "INCR", keys[1]) == 1
    await servers.close()


async def test_nothing_is_left_after_closing(redis_cluster):
    servers = RedisServers(redis_cluster.url, deadline_s=PATIENCE_S)
    asks = [asyncio.create_task(servers.ask(f"left-{n}", "GET", f"left-{n}")) for n in range(50)]
    await asyncio.sleep(0)
    await servers.close()
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {NotSentError}
    assert asyncio.all_tasks() == {asyncio.current_task()}
