"""A fence that drains lets everybody finish, tells everybody to leave, and ends at the deadline what is left."""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.tls_front import Authority
from tests.wire.test_realtime import KEY, Api, until
from tests.wire.test_stream_ends import Endless, events
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from modelfence.core.call import Usage
from modelfence.core.upstream import Upstream
from modelfence.enforcement.ports import UnavailableError
from modelfence.listening import listen
from modelfence.wire import runner
from modelfence.wire.tls import ServerTls

LONG_S, SOON_S = 30.0, 0.1
STREAM = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": True}
WORDS, BUDGET = 20, 600
METERED = f"""
version: 1
access:
  - {{id: active, allow: kyc.status == "active"}}
throttle:
  - {{id: tokens, key: account.id, unit: output_tokens, rate: 2 per day, burst: {BUDGET}}}
"""


class Held:
    """An answer of which the first part is sent at once, and the rest when it is let go."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self.first, self.rest = first, rest
        self.let_go = asyncio.Event()

    async def __call__(self, writer: asyncio.StreamWriter) -> None:
        writer.write(self.first)
        await self.let_go.wait()
        writer.write(self.rest)
        await writer.drain()


@pytest.fixture
async def drain():
    """A function that begins to drain a fence, and returns the task when connections are no longer accepted."""
    draining: list[asyncio.Task[None]] = []

    async def begin(fence, within_s: float = LONG_S, *, idle_s: float = LONG_S) -> asyncio.Task[None]:
        task = asyncio.create_task(fence.proxy.drain(within_s, idle_s=idle_s))
        draining.append(task)
        await asyncio.sleep(0)  # one turn, in which it begins
        return task

    yield begin
    for task in draining:
        task.cancel()
    await asyncio.gather(*draining, return_exceptions=True)


@pytest.fixture
async def over(wire) -> Callable[[Awaitable[Any]], Awaitable[Any]]:
    async def over(waited_for: Awaitable[Any]) -> Any:
        async with asyncio.timeout(wire.WITHIN_S):
            return await waited_for

    return over


async def begun_stream(fence, upstream, wire, script, *, client=None):
    """Return a client that reads a stream, of which the head has arrived."""
    upstream.answers.append(script)
    client = client or await fence.connect()
    await client.send(wire.post(STREAM))
    head = await client.head()
    assert head.status == 200
    return client, head


async def rest_of(client, wire) -> bytes:
    async with asyncio.timeout(wire.WITHIN_S):
        return b"".join([data async for data in wire.read_chunks(client.reader)])


async def balance_of(fence) -> float:
    tokens = next(one for one in fence.watcher.calls[0].decision.charges if one.throttle == "tokens")
    [balance] = (await fence.buckets.take([replace(tokens, amount=0.0)])).balances
    return balance.left


async def test_nothing_under_way_means_nothing_to_wait_for(fence, drain, over):
    await over(await drain(fence))
    with pytest.raises(ConnectionRefusedError):
        await fence.connect()


async def test_a_stream_under_way_ends_whole(fence, upstream, wire, drain, over):
    words = [wire.event(f"w{n} ") for n in range(20)]
    last = wire.chunk(b"".join(words[10:]) + b"data: [DONE]\n\n") + b"0\r\n\r\n"
    script = Held(wire.STREAM_HEAD + b"".join(map(wire.chunk, words[:10])), last)
    client, head = await begun_stream(fence, upstream, wire, script)
    draining = await drain(fence, idle_s=SOON_S)
    script.let_go.set()
    assert await rest_of(client, wire) == b"".join(words) + b"data: [DONE]\n\n"
    # Its head said that the connection stays open, so that the client may have asked for more by now.
    assert "connection" not in head
    assert await client.rest() == b""
    await over(draining)
    assert fence.watcher.settlements[0].usage == Usage(1, 20, estimated=True)
    assert fence.watcher.limits_met == []


async def test_an_answer_that_has_not_begun_comes_and_says_that_the_connection_closes(
    fence, upstream, wire, drain, over
):
    script = Held(b"", wire.answer())
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post())
    await over(upstream.arrived.wait())
    draining = await drain(fence)
    script.let_go.set()
    answer = await client.answer()
    assert (answer.status, answer.body, answer["connection"]) == (200, wire.PLAIN, "close")
    assert await client.rest() == b""
    await over(draining)


async def test_a_request_is_answered_of_which_half_has_arrived(fence, wire, drain, over):
    request = wire.post()
    halves = {"of the head": 30, "of the body": len(request) - 20}
    clients = []
    for at in halves.values():
        client = await fence.connect()
        await client.send(wire.post())  # so that it is known when the half is read: after this answer
        await client.answer()
        await client.send(request[:at])
        clients.append(client)
    slow = await fence.connect()
    await slow.send(request[:7])  # a connection that has yet to say what it wants
    await (await fence.connect()).send(b"")
    draining = await drain(fence)
    for client, at in zip(clients, halves.values(), strict=True):
        await client.send(request[at:])
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (200, "close")
    await slow.send(request[7:])
    assert (await slow.answer())["connection"] == "close"
    for client in fence._clients:
        client.close()
    await over(draining)


async def test_a_connection_that_waits_for_a_request_has_one_more_or_is_closed_after_a_grace(fence, wire, drain, over):
    busy, idle, silent = [await fence.connect() for _ in range(3)]
    for client in (busy, idle):
        await client.send(wire.post())
        assert "connection" not in await client.answer()
    draining = await drain(fence, idle_s=SOON_S)
    await busy.send(wire.post())
    assert (await busy.answer())["connection"] == "close"
    for client in (busy, idle, silent):
        assert await client.rest() == b""
    await over(draining)
    assert fence.watcher.limits_met == []


async def test_a_head_that_begins_to_arrive_within_the_grace_may_take_its_time(fence, wire, drain, over):
    slow, idle = await fence.connect(), await fence.connect()
    for client in (slow, idle):
        await client.send(wire.post())
        await client.answer()
    draining = await drain(fence, idle_s=SOON_S)
    await slow.send(wire.post()[:30])
    assert await idle.rest() == b""  # the grace is over
    await slow.send(wire.post()[30:])
    assert (await slow.answer())["connection"] == "close"
    await over(draining)


async def test_what_was_sent_ahead_does_not_cost_the_client_its_answer(fence, upstream, wire, drain, over):
    script = Held(b"", wire.answer())
    upstream.answers.append(script)
    client = await fence.connect()
    await client.send(wire.post())
    await over(upstream.arrived.wait())
    draining = await drain(fence)
    await client.send(wire.post() * 3)
    script.let_go.set()
    assert (await client.answer()).body == wire.PLAIN
    assert await client.rest() == b""
    client.close()
    await over(draining)
    assert fence.watcher.admitted == 1


async def test_a_fence_that_drains_waits_until_what_it_has_written_is_taken(start_fence, upstream, wire, drain, over):
    listening = listen("127.0.0.1", 0)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)  # of connections, too
    fence = await start_fence(listening=listening)
    body = json.dumps({"data": "x" * 50_000}).encode()
    upstream.answers.append(wire.answer(body))
    connected = socket.socket()
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connected.connect(("127.0.0.1", fence.port))
    client = wire.Client(*await asyncio.open_connection(sock=connected, limit=1_000))
    await client.send(wire.post(wire.BODY, "Connection: close"))
    await fence.watcher.settlement()
    draining = await drain(fence)
    finished, _ = await asyncio.wait([draining], timeout=SOON_S)
    assert not finished
    assert (await client.answer()).body == body
    client.close()
    await over(draining)
    assert fence.watcher.limits_met == []


async def test_a_slow_reader_gets_all_of_an_answer_that_is_under_way(fence, upstream, wire, drain, over):
    body = json.dumps({"data": "x" * 4_000_000}).encode()
    upstream.answers.append(wire.answer(body))
    client = wire.Client(*await asyncio.open_connection("127.0.0.1", fence.port, limit=1_000))
    await client.send(wire.post())
    assert (await client.head()).status == 200
    draining = await drain(fence, idle_s=SOON_S)
    await client.exactly(body)
    assert await client.rest() == b""
    client.close()
    await over(draining)
    assert fence.watcher.limits_met == []


async def test_what_waits_in_the_kernels_queue_is_served(fence, wire, drain, over):
    waiting = [socket.create_connection(("127.0.0.1", fence.port)) for _ in range(40)]
    for connected in waiting:
        connected.sendall(wire.post())
    draining = await drain(fence)
    clients = [wire.Client(*await asyncio.open_connection(sock=connected)) for connected in waiting]
    for client in clients:
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (200, "close")
        client.close()
    await over(draining)
    assert fence.watcher.admitted == len(waiting)


class Caller:
    """A client that keeps its connection while it may, and opens another when it was told that it may not."""

    def __init__(self, port: int, wire, answered: Callable[[], None]) -> None:
        self._port, self._wire, self._answered = port, wire, answered
        self._client: Any = None

    async def call(self) -> None:
        if self._client is None:
            self._client = self._wire.Client(*await asyncio.open_connection("127.0.0.1", self._port))
        await self._client.send(self._wire.post())
        answer = await self._client.answer()
        assert (answer.status, answer.body) == (200, self._wire.PLAIN)
        if answer["connection"] == "close":
            self._client.close()
            self._client = None
        self._answered()

    async def calls(self, times: int) -> None:
        for _ in range(times):
            await self.call()
        if self._client is not None:
            self._client.close()


async def test_busy_clients_see_no_failure_while_another_process_takes_over(start_fence, wire, drain, over):
    one_socket = listen("127.0.0.1", 0)
    old = await start_fence(listening=one_socket.dup())
    callers, times = 8, 40
    answered, half = 0, asyncio.Event()

    def count() -> None:
        nonlocal answered
        answered += 1
        if answered == callers * times // 2:
            half.set()

    calling = asyncio.gather(*(Caller(old.port, wire, count).calls(times) for _ in range(callers)))
    await over(half.wait())
    new = await start_fence(listening=one_socket)
    draining = await drain(old)
    await over(calling)
    assert answered == callers * times
    assert new.watcher.admitted >= callers
    await over(draining)
    assert (await new.exchange(wire.post())).status == 200  # the socket they share listens on


async def test_a_stream_that_has_not_ended_by_the_deadline_ends_in_its_apis_words(
    start_fence, upstream, wire, drain, over, monkeypatch
):
    monkeypatch.setattr(runner, "LAST_WORDS_S", LONG_S)  # its connection is closed as soon as they are said
    fence = await start_fence(policy=METERED)
    script = Endless(wire, paused_after=WORDS)
    client, _ = await begun_stream(fence, upstream, wire, script)
    pieces = wire.read_chunks(client.reader)
    body = b""
    async with asyncio.timeout(wire.WITHIN_S):
        while body.count(b"\n\n") < WORDS:
            body += await anext(pieces)
        draining = await drain(fence, SOON_S)
        body += b"".join([piece async for piece in pieces])
    *chunks, last = events(body)
    assert last["choices"][0]["finish_reason"] == "length"
    assert len(chunks) == WORDS
    assert await client.rest() == b""
    client.close()
    await over(draining)
    script.go_on.set()  # so that it finds out
    await over(upstream.closed.wait())
    assert [one.usage for one in fence.watcher.settlements] == [Usage(1, WORDS, estimated=True)]
    assert await balance_of(fence) == pytest.approx(BUDGET - WORDS, abs=1)  # of the step it had reserved


@pytest.mark.parametrize("can_pay", [True, False])
async def test_a_stream_that_pays_when_the_deadline_passes_ends_in_its_apis_words_once(
    start_fence, upstream, wire, drain, over, can_pay
):
    fence = await start_fence(policy=METERED.replace("2 per day", "1000000 per minute"))
    paying, may_pay, take = asyncio.Event(), asyncio.Event(), fence.buckets.take

    async def slowly(charges, **how):
        if fence.watcher.began:
            paying.set()
            await may_pay.wait()
            if not can_pay:
                raise UnavailableError("the store is away")
        return await take(charges, **how)

    fence.buckets.take = slowly
    client, _ = await begun_stream(fence, upstream, wire, Endless(wire))
    reading = asyncio.create_task(rest_of(client, wire))
    await over(paying.wait())
    draining = await drain(fence, 0)
    may_pay.set()
    *_, last = events(await over(reading))
    assert last["choices"][0]["finish_reason"] == "length"
    client.close()
    await over(draining)
    assert len(fence.watcher.settlements) == 1


async def test_what_is_not_answered_by_the_deadline_is_refused_in_its_apis_words(fence, upstream, wire, drain, over):
    upstream.answers.append(Held(b"", b""))
    waiting = await fence.connect()
    await waiting.send(wire.post())
    await over(upstream.arrived.wait())
    unread = await fence.connect()
    await unread.send(wire.post()[:-10])
    draining = await drain(fence, SOON_S)
    for client in (waiting, unread):
        answer = await client.answer()
        assert (answer.status, answer["connection"]) == (503, "close")
        assert answer.json["error"]["type"] == "server_error"
        assert "restarted" in answer.json["error"]["message"]
        client.close()
    await over(draining)
    assert fence.watcher.limits_met == ["drain_s", "drain_s"]
    assert len(fence.watcher.settlements) == 1


async def test_a_plain_answer_of_which_half_has_passed_is_cut_at_the_deadline(fence, upstream, wire, drain, over):
    upstream.answers.append(Held(wire.answer()[:-10], b""))
    client = await fence.connect()
    await client.send(wire.post())
    await client.head()
    await client.exactly(wire.PLAIN[:-10])
    draining = await drain(fence, SOON_S)
    assert await client.rest() == b""
    await over(draining)
    assert fence.watcher.limits_met == ["drain_s"]
    assert len(fence.watcher.settlements) == 1


async def test_a_reader_that_takes_nothing_does_not_keep_the_fence(fence, upstream, wire, drain, over):
    client, _ = await begun_stream(fence, upstream, wire, Endless(wire))
    client.writer.transport.pause_reading()
    await over(await drain(fence, SOON_S))
    assert len(fence.watcher.settlements) == 1


async def test_a_realtime_session_goes_on_until_the_deadline_and_is_told_that_the_fence_goes_away(
    start_fence, drain, over
):
    api = Api()
    async with await serve(api.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        fence = await start_fence(upstreams=[Upstream("openai", "openai", "http", "127.0.0.1", port, secret="sk-real")])
        url = f"ws://127.0.0.1:{fence.port}/v1/realtime?model=gpt-realtime"
        connection = await connect(url, additional_headers=KEY)
        await until(connection, "session.created")
        draining = await drain(fence, SOON_S, idle_s=0)
        await connection.send(json.dumps({"type": "response.create"}))
        await until(connection, "response.done")
        with pytest.raises(ConnectionClosed):
            await over(connection.recv())
        assert connection.close_code == 1001
        await over(draining)
        await over(api.closed.wait())
    assert len(fence.watcher.settlements) == 2


@pytest.fixture
async def tls_fence(start_fence, tmp_path):
    authority = Authority(tmp_path, "authority")
    fence = await start_fence()
    fence.proxy._tls = ServerTls(authority.certificate("localhost"))
    return fence, authority


async def test_tls_connections_drain_and_handshakes_under_way_end(tls_fence, upstream, wire, drain, over):
    fence, authority = tls_fence
    context = ssl.create_default_context(cafile=authority.file)
    clients = [await fence.connect() for _ in range(2)]
    await over(clients[0].writer.start_tls(context, server_hostname="localhost"))
    script = Held(b"", wire.answer())
    upstream.answers.append(script)
    await clients[0].send(wire.post())
    await over(upstream.arrived.wait())
    draining = await drain(fence)
    script.let_go.set()
    await over(clients[1].writer.start_tls(context, server_hostname="localhost"))
    await clients[1].send(wire.post())
    for client in clients:
        answer = await client.answer()
        assert (answer.body, answer["connection"]) == (wire.PLAIN, "close")
        assert await client.rest() == b""
        client.close()
    await over(draining)


async def test_an_idle_client_that_does_not_say_goodbye_over_tls_does_not_keep_the_fence(tls_fence, wire, drain, over):
    fence, authority = tls_fence
    client = await fence.connect()
    await over(client.writer.start_tls(ssl.create_default_context(cafile=authority.file), server_hostname="localhost"))
    await client.send(wire.post())
    await client.answer()
    client.writer.transport.pause_reading()
    await over(await drain(fence, idle_s=SOON_S))
    client.writer.transport.abort()


async def test_a_drain_that_is_cut_short_ends_at_once_and_leaves_nothing_unsettled(fence, upstream, wire, drain, over):
    await begun_stream(fence, upstream, wire, Endless(wire, paused_after=3))
    draining = await drain(fence)
    draining.cancel()
    await over(fence.proxy.stop())
    assert len(fence.watcher.settlements) == 1
