"""The master that real sentinels name, before and after it is another one."""

import asyncio

import pytest
from tests.redis_load import Load, eventually

from modelfence.adapters.redis.servers import Circuit, NotSentError, RedisServers

DEADLINE_S = 0.2
PATIENCE_S = 20


@pytest.fixture
async def servers(sentinels):
    servers = RedisServers(sentinels.url, deadline_s=DEADLINE_S)
    yield servers
    await servers.close()


@pytest.fixture
def load(servers):
    return Load(servers, ["counter"], deadline_s=DEADLINE_S)


async def test_calls_go_to_the_master(sentinels, servers):
    assert await servers.ask("counter", "INCR", "counter") == 1
    assert sentinels.master.command("GET", "counter") == "1"
    assert servers.slot("any") == 0


async def test_after_a_switch_calls_go_to_the_new_master_and_each_was_counted_once(sentinels, load, servers):
    async with load:
        await load.serves()
        sentinels.fail_over()
        await eventually(lambda: sentinels.master_port() == sentinels.replica.port)
        await load.serves(within_s=2)
    served = load.served["counter"]
    assert served > 0
    assert int(sentinels.replica.command("GET", "counter")) <= served + load.unknown["counter"]
    assert servers.circuit is Circuit.CLOSED


async def test_a_killed_master_is_replaced_under_load(sentinels, load, servers):
    async with load:
        await load.serves()
        sentinels.master.kill()
        await eventually(lambda: servers.circuit is Circuit.OPEN)
        await eventually(lambda: sentinels.master_port() == sentinels.replica.port)
        await load.serves(within_s=2)
    assert int(sentinels.replica.command("GET", "counter")) <= load.served["counter"] + load.unknown["counter"]
    assert str(servers.circuit) == "closed"  # the dead one counts no more


async def test_who_hangs_up_on_the_first_look_does_not_end_it_for_others(servers):
    first, second = (asyncio.create_task(servers.ask("", "PING")) for _ in range(2))
    for _ in range(2):
        await asyncio.sleep(0)
    first.cancel()
    assert await second == b"PONG"


async def test_sentinels_that_are_down_are_passed_over(sentinels, start_redis):
    dead, alive = start_redis(), sentinels.url.removeprefix("redis+sentinel://")
    dead.kill()
    servers = RedisServers(f"redis+sentinel://127.0.0.1:{dead.port},{alive}", deadline_s=PATIENCE_S)
    assert await servers.ask("", "PING") == b"PONG"
    await servers.close()


async def test_most_of_the_sentinels_are_believed_and_not_the_first_to_answer(sentinels):
    answered = asyncio.Event()

    async def name_another(reader, writer):  # as a sentinel does that was cut off
        await reader.readuntil(b"buckets\r\n")
        writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n")
        answered.set()
        await reader.read()
        writer.close()

    right = [sentinels.sentinel, sentinels.another()]
    for sentinel in right:
        sentinel.pause()
    async with await asyncio.start_server(name_another, "127.0.0.1", 0) as mistaken:
        ports = [mistaken.sockets[0].getsockname()[1], *(sentinel.port for sentinel in right)]
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        servers = RedisServers(f"redis+sentinel://{hosts}/{sentinels.NAME}", deadline_s=PATIENCE_S)
        asked = asyncio.create_task(servers.ask("", "SET", "here", "1"))
        async with asyncio.timeout(PATIENCE_S):
            await answered.wait()
            for sentinel in right:
                sentinel.go_on()
            await asked
        await servers.close()
    assert sentinels.master.command("GET", "here") == "1"


async def test_no_sentinel_at_all_is_no_server(start_redis):
    dead = start_redis()
    dead.kill()
    servers = RedisServers(f"redis+sentinel://127.0.0.1:{dead.port}/buckets", deadline_s=PATIENCE_S)
    assert servers.circuit is Circuit.CLOSED
    for _ in range(3):
        with pytest.raises(NotSentError):
            await servers.ask("", "PING")
    assert str(servers.circuit) == "open"
    await servers.close()


async def test_a_master_that_nobody_knows_is_no_server(sentinels):
    servers = RedisServers(sentinels.url + "s", deadline_s=PATIENCE_S)
    with pytest.raises(NotSentError, match="no master of that name"):
        await servers.ask("", "PING")
    await servers.close()


async def test_sentinels_and_servers_may_want_different_passwords(sentinels):
    for server in (sentinels.master, sentinels.replica):
        server.command("CONFIG", "SET", "masterauth", "of-servers")
        server.command("CONFIG", "SET", "requirepass", "of-servers")
    sentinels.sentinel.command("ACL", "SETUSER", "fence", "on", ">of-sentinels", "+@all")
    sentinels.sentinel.command("ACL", "SETUSER", "default", "-@all", "+auth", "+hello", "+client")
    url = sentinels.url.replace("//", "//:of-servers@")
    servers = RedisServers(f"{url}?sentinel_username=fence&sentinel_password=of-sentinels", deadline_s=PATIENCE_S)
    assert await servers.ask("", "PING") == b"PONG"
    await servers.close()
    servers = RedisServers(url, deadline_s=PATIENCE_S)
    with pytest.raises(NotSentError):
        await servers.ask("", "PING")
    await servers.close()
