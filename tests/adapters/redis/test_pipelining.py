"""Many calls share few connections to a real server: in few writes, in order, and whatever becomes of the callers."""

import asyncio
import contextlib
import time

import pytest
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004
from tests.redis_load import eventually

from modelfence.adapters.redis.servers import Circuit, NotSentError, RedisServers

WITHIN_S = 20
MOST_WAITING = 1024


@pytest.fixture
def server(start_redis):
    return start_redis()


@pytest.fixture
async def servers(server):
    servers = RedisServers(server.url, deadline_s=WITHIN_S)
    yield servers
    await servers.close()


@pytest.fixture
async def silent():
    """A port that takes connections and never says anything, and the connections."""
    connections = []
    listener = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1], connections
    for writer in connections:
        writer.transport.abort()
    listener.close()


@pytest.fixture
async def odd():
    """The port of a server that greets like Redis, and answers what it is asked as no Redis does."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        while asked := await reader.read(65_536):
            writer.write(b"?what\r\n" if b"ECHO" in asked else b"+OK\r\n" * asked.count(b"*"))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    for writer in connections:
        writer.transport.abort()
    listener.close()


def stat(server, name: str) -> int:
    return server.command("INFO")[name]


async def asking(asks):
    """Return tasks that have sent what they ask."""
    tasks = [asyncio.create_task(ask) for ask in asks]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def eventually_asked(servers, *, until) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not until():
            await asyncio.gather(*(servers.ask("", "PING") for _ in range(1_000)))


async def writes(server, servers) -> int:
    """Return how many times the server had to read to get 200 commands."""
    first, before = stat(server, "total_reads_processed"), stat(server, "total_reads_processed")
    await asyncio.gather(*(servers.ask("", "ECHO", n) for n in range(200)))
    of_looking = before - first
    return stat(server, "total_reads_processed") - before - of_looking


async def test_commands_of_the_same_turn_leave_in_one_write(server, servers):
    await servers.ask("", "PING")
    assert await writes(server, servers) == 1


async def test_a_command_that_comes_alone_leaves_at_once(server, servers):
    await servers.ask("", "PING")
    asking = asyncio.Task(servers.ask("", "INCR", "counter"), loop=asyncio.get_running_loop(), eager_start=True)
    give_up_s = time.monotonic() + WITHIN_S
    while server.command("GET", "counter") is None:  # and this process's event loop does nothing meanwhile
        assert time.monotonic() < give_up_s
    assert await asking == 1


async def test_each_call_gets_its_own_answer(servers):
    answers = await asyncio.gather(*(servers.ask("", "ECHO", "x" * n) for n in range(1, 2_000, 7)))
    assert [len(answer) for answer in answers] == [*range(1, 2_000, 7)]


async def test_an_error_is_the_answer_of_its_call_alone(servers):
    asks = [servers.ask("", *("ECHO", n) if n % 3 else ("HGET", "nothing")) for n in range(30)]
    answers = await asyncio.gather(*asks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [bytes if n % 3 else ResponseError for n in range(30)]
    assert servers.circuit is Circuit.CLOSED


@pytest.mark.parametrize("turns", range(12))
async def test_answers_stay_matched_when_callers_give_up_at_any_moment(servers, turns):
    tasks = [asyncio.create_task(servers.ask("", "ECHO", f"given-up-{n}")) for n in range(20)]
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    kept = await asyncio.gather(*(servers.ask("", "ECHO", n) for n in range(20)))
    assert kept == [str(n).encode() for n in range(20)]
    assert await asyncio.gather(*tasks[1::2]) == [f"given-up-{n}".encode() for n in range(1, 20, 2)]
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_was_given_up_before_it_was_written_does_not_run(servers):
    await servers.ask("", "PING")
    tasks = [asyncio.create_task(servers.ask("", "INCR", "counter")) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    assert await servers.ask("", "GET", "counter") is None


async def test_callers_that_come_while_it_connects_share_the_connection(server, servers):
    before = stat(server, "total_connections_received")
    await asyncio.gather(*(servers.ask("", "PING") for _ in range(200)))
    assert stat(server, "total_connections_received") - before == 2  # one is this test's own


async def test_a_busy_server_gets_more_connections_but_not_more_than_allowed(server):
    servers = RedisServers(server.url, connections=3, deadline_s=WITHIN_S)
    await eventually_asked(servers, until=lambda: stat(server, "connected_clients") == 3 + 1)  # one is this test's own
    before = stat(server, "total_connections_received")
    for _ in range(20):
        await asyncio.gather(*(servers.ask("", "PING") for _ in range(1_000)))
    assert stat(server, "total_connections_received") - before == 1
    assert await writes(server, servers) == 1  # commands of one turn still leave together
    await servers.close()


async def test_no_more_calls_wait_on_a_connection_than_it_may_have(server):
    servers = RedisServers(server.url, connections=1, deadline_s=WITHIN_S)
    await servers.ask("", "PING")
    server.pause()
    waiting = await asking([servers.ask("", "ECHO", n) for n in range(MOST_WAITING)])
    for _ in range(20):
        with pytest.raises(NotSentError, match="too many"):
            await servers.ask("", "PING")
    assert servers.circuit is Circuit.CLOSED  # that is no fault of the server's
    server.go_on()
    assert await asyncio.gather(*waiting) == [str(n).encode() for n in range(MOST_WAITING)]
    assert await servers.ask("", "PING") == b"PONG"
    await servers.close()


async def test_a_lost_connection_fails_all_who_wait_and_is_replaced(server, servers):
    await servers.ask("", "PING")
    server.pause()
    waiting = await asking([servers.ask("", "INCR", "counter") for _ in range(4)])
    server.kill()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] * 4
    server.start()
    assert await servers.ask("", "PING") == b"PONG"


async def test_what_waits_behind_more_than_the_server_takes_was_surely_not_sent(server, servers):
    await servers.ask("", "PING")
    server.pause()
    much = await asking([servers.ask("", "ECHO", "x" * 20_000_000)])
    behind = await asking([servers.ask("", "INCR", "counter") for _ in range(4)])
    server.kill()
    answers = await asyncio.gather(*much, *behind, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError] + [NotSentError] * 4


async def test_a_connection_that_was_closed_while_idle_fails_nobody(server, servers):
    await servers.ask("", "PING")
    server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    for _ in range(3):
        await asyncio.sleep(0)  # turns of the loop, in which it hears of that
    assert await asyncio.gather(*(servers.ask("", "PING") for _ in range(10))) == [b"PONG"] * 10


async def test_commands_on_a_connection_that_never_came_about_were_surely_not_sent(server, servers):
    server.kill()
    answers = await asyncio.gather(*(servers.ask("", "PING") for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [NotSentError] * 4


async def test_what_is_no_answer_ends_the_connection_at_once_and_is_no_proof_that_nothing_ran(odd):
    servers = RedisServers(f"redis://127.0.0.1:{odd}", deadline_s=WITHIN_S)
    async with asyncio.timeout(WITHIN_S / 2):  # a server that is silent is waited for twice the deadline
        with pytest.raises(ConnectionError):
            await servers.ask("", "ECHO", 1)
    await servers.close()


async def test_a_server_that_is_silent_to_a_newcomer_is_given_up(silent):
    port, _ = silent
    servers = RedisServers(f"redis://:secret@127.0.0.1:{port}", deadline_s=0.05)  # it waits for AUTH to be answered
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(NotSentError, match="connecting took longer"):
            await servers.ask("", "PING")
    await servers.close()


async def test_a_connection_that_owes_answers_for_long_is_given_up(silent):
    port, connections = silent
    servers = RedisServers(f"redis://127.0.0.1:{port}", deadline_s=0.05)
    async with asyncio.timeout(WITHIN_S):
        for tries in range(1, 4):
            with pytest.raises(ConnectionError):
                await servers.ask("", "PING")
            assert len(connections) == tries
    await servers.close()


@pytest.mark.parametrize("turns", range(8))
async def test_nothing_is_left_after_closing(server, turns):
    servers = RedisServers(server.url, deadline_s=WITHIN_S)
    server.pause()
    waiting = [asyncio.create_task(servers.ask("", "SET", "k", "x" * 100_000)) for _ in range(100)]
    for _ in range(turns):
        await asyncio.sleep(0)
    started = time.monotonic()
    await servers.close()
    assert time.monotonic() - started < WITHIN_S / 2  # though not all could be written
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} <= {ConnectionError, NotSentError}
    with pytest.raises(NotSentError):
        await servers.ask("", "PING")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    server.go_on()
    await eventually(lambda: stat(server, "connected_clients") == 1)


async def test_closing_what_was_never_used_does_nothing():
    servers = RedisServers("redis://127.0.0.1:1", deadline_s=WITHIN_S)
    with contextlib.suppress(NotSentError):
        await servers.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_database_is_asked_for(server):
    servers = RedisServers(f"{server.url}/3", deadline_s=WITHIN_S)
    await servers.ask("", "SET", "here", "1")
    assert server.command("INFO", "keyspace").keys() == {"db3"}
    await servers.close()


async def test_a_socket_is_asked_like_a_server(tmp_path, start_redis):
    server = start_redis("--unixsocket", str(tmp_path / "socket"))
    servers = RedisServers(f"unix://{tmp_path}/socket", deadline_s=WITHIN_S)
    await servers.ask("", "SET", "here", "1")
    assert server.command("GET", "here") == "1"
    await servers.close()
