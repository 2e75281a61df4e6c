"""Everything a client or an upstream could stretch has a bound, a setting, and a name in the metrics when it is met."""

import asyncio
import dataclasses
import gzip
import ipaddress
import json
import socket

import pytest
from mitmproxy import http

from modelfence.adapters.metrics.calls import PrometheusMetrics
from modelfence.core.call import Usage
from modelfence.core.upstream import Upstream
from modelfence.settings import Address, Limits, Settings
from modelfence.settings_reading import keys
from modelfence.wire.guard import Bounds
from modelfence.wire.guard_deadline import Deadline, DeadlinePassed
from modelfence.wire.guard_doors import TURNED_AWAY_AT_ONCE, Doors
from modelfence.wiring import Gateway

SOON_S = 0.08
UNMETERED = """
version: 1
access:
  - {id: active, allow: kyc.status == "active"}
"""
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\n"


def bounds(**changed) -> Bounds:
    return dataclasses.replace(Bounds(head_bytes=16 << 10, request_bytes=256 << 10), **changed)


async def nothing(_): ...


async def drip(client, byte: bytes = b"x") -> None:
    """Send a byte now and then, for as long as anyone listens."""
    try:
        while True:
            await client.send(byte)
            await asyncio.sleep(SOON_S / 10)
    except ConnectionError:
        pass


LATE = {
    "a head": (b"POST /v1/chat", "head_s"),
    "a body": (HEAD + b"Content-Length: 1000\r\n\r\n", "body_s"),
    "a body in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n", "body_s"),
}


@pytest.mark.parametrize(("begun", "limit"), LATE.values(), ids=LATE)
@pytest.mark.parametrize("drips", [True, False], ids=["byte by byte", "not at all"])
async def test_what_takes_too_long_to_arrive_is_a_408_although_it_keeps_arriving(
    start_fence, upstream, begun, limit, drips
):
    fence = await start_fence(bounds=bounds(**{limit: SOON_S}))
    client = await fence.connect()
    await client.send(begun)
    dripping = asyncio.create_task(drip(client)) if drips else None
    answer = await client.answer()
    if dripping is not None:
        dripping.cancel()
    assert (answer.status, answer["connection"]) == (408, "close")
    assert answer.json["error"]["message"].startswith("The request took too long")
    assert fence.watcher.limits_met == [limit]
    assert upstream.received == []


async def test_an_expected_body_that_never_comes_is_a_408(start_fence, upstream):
    fence = await start_fence(bounds=bounds(body_s=SOON_S))
    client = await fence.connect()
    await client.send(HEAD + b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
    assert [(await client.answer()).status for _ in range(2)] == [100, 408]
    assert await client.rest() == b""
    assert upstream.received == []


async def test_a_body_that_was_refused_has_no_longer_to_arrive_than_any(start_fence, upstream):
    fence = await start_fence(bounds=bounds(body_s=SOON_S))
    client = await fence.connect()
    await client.send(HEAD.replace(b"/v1/", b"/v1//") + b"Content-Length: 1000\r\n\r\n")
    assert (await client.answer()).status == 400
    await asyncio.gather(drip(client), client.rest())
    assert fence.watcher.limits_met == ["body_s"]
    assert upstream.received == []


@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_does_not_begin_is_a_504_and_is_let_go(start_fence, upstream, wire, stream):
    upstream.answers.append(nothing)
    fence = await start_fence(bounds=bounds(first_byte_s=SOON_S))
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": stream}))
    answer = await client.answer()
    assert (answer.status, answer["connection"]) == (504, "close")
    assert answer.json["error"]["type"] == "server_error"
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.closed.wait()
    assert fence.watcher.limits_met == ["first_byte_s"]
    assert (await fence.watcher.settlement()).usage == Usage(input_tokens=1, estimated=True)
    assert len(fence.watcher.settlements) == 1
    assert (await fence.exchange(wire.post())).status == 200


async def test_a_call_that_was_answered_while_it_was_judged_is_not_sent_after_all(start_fence, upstream, wire):
    fence = await start_fence(bounds=bounds(first_byte_s=SOON_S))
    fence.buckets.hangs = True
    client = await fence.connect()
    await client.send(wire.post())
    assert (await client.answer()).status == 504
    fence.buckets.released.set()
    assert (await fence.watcher.settlement()).usage is None
    client.close()
    await fence.stop()
    assert upstream.received == []


async def test_a_call_that_was_answered_while_its_upstream_was_connected_to_is_not_sent_after_all(
    start_fence, upstream, wire, monkeypatch
):
    fence = await start_fence(bounds=bounds(first_byte_s=SOON_S))
    answered, connect = asyncio.Event(), asyncio.open_connection

    async def connect_late(host, port, **options):
        if port == upstream.port:
            await answered.wait()
        return await connect(host, port, **options)

    client = await fence.connect()
    monkeypatch.setattr(asyncio, "open_connection", connect_late)
    await client.send(wire.post())
    assert (await client.answer()).status == 504
    answered.set()
    assert (await fence.watcher.settlement()).usage is None
    client.close()
    await fence.stop()
    assert upstream.requests == []
    assert b"".join(upstream.received) == b""


async def test_an_answer_that_does_not_end_is_cut_and_settled_by_what_passed(start_fence, upstream, wire):
    async def go_on(writer):
        writer.write(wire.STREAM_HEAD)
        while True:
            writer.write(wire.chunk(wire.event("word")))
            await writer.drain()
            await asyncio.sleep(SOON_S / 10)

    upstream.answers.append(go_on)
    fence = await start_fence(bounds=bounds(answer_s=SOON_S))
    client = await fence.connect()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    assert (await client.head()).status == 200
    assert not (await client.rest()).endswith(b"0\r\n\r\n")
    assert fence.watcher.limits_met == ["answer_s"]
    settled = await fence.watcher.settlement()
    assert settled.usage.output_tokens >= 1
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.closed.wait()


async def test_who_reads_slowly_costs_no_memory_and_is_cut(start_fence, upstream, wire):
    written = 0

    async def flood(writer):
        nonlocal written
        writer.write(wire.STREAM_HEAD)
        piece = wire.chunk(wire.event("x" * 30_000))
        while True:
            writer.write(piece)
            written += len(piece)
            await writer.drain()

    upstream.answers.append(flood)
    fence = await start_fence(policy=UNMETERED, bounds=bounds(answer_s=1.0))
    client = await fence.connect()
    client.writer.transport.pause_reading()
    await client.send(wire.post({**wire.BODY, "stream": True}))
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
    (handler,) = fence.proxy._handlers
    most = 0
    async with asyncio.timeout(wire.WITHIN_S):
        while handler.client in handler.transports:
            writer = handler.transports[handler.client].writer
            most = max(most, writer.transport.get_write_buffer_size())
            await asyncio.sleep(0.01)
    assert 0 < most < 512 << 10
    assert written < 64 << 20  # what the kernel takes of it on its way
    assert fence.watcher.limits_met == ["answer_s"]
    await fence.watcher.settlement()


async def narrow_connection(fence, wire):
    """Return a client and the fence's side of its connection, between which the kernel holds next to nothing."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)
    narrow.connect(("127.0.0.1", fence.port))
    client = wire.Client(*await asyncio.open_connection(sock=narrow))
    fence._clients.append(client)
    await client.send(wire.post(b"no JSON"))
    await client.answer()
    (handler,) = fence.proxy._handlers
    transport = handler.transports[handler.client].writer.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 12)
    return client, transport


async def test_who_never_reads_is_cut_off_once_his_connection_has_been_closed_for_a_while(
    fence, upstream, wire, monkeypatch
):
    monkeypatch.setattr("modelfence.wire.guard_handler.UNREAD_S", SOON_S)
    upstream.answers.append(wire.answer(b"x" * 60_000))
    client, transport = await narrow_connection(fence, wire)
    client.writer.transport.pause_reading()
    await client.send(wire.post())
    await fence.watcher.settlement()
    (handler,) = fence.proxy._handlers
    handler.end()
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._handlers:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0)
        assert transport.get_write_buffer_size()
        while transport.get_write_buffer_size():  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)


async def test_who_closes_with_his_answer_may_read_it_at_leisure(fence, upstream, wire):
    body = b"x" * (1 << 20)
    upstream.answers.append(wire.answer(body))
    client, _transport = await narrow_connection(fence, wire)
    await client.send(wire.post(wire.BODY, "Connection: close"))
    assert (await client.head()).status == 200
    size = 0
    async with asyncio.timeout(wire.WITHIN_S):
        while piece := await client.reader.read(1 << 16):
            size += len(piece)
            await asyncio.sleep(0.001)
    assert size == len(body)


IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "the head of an answer": b"HTTP/1.1 200 " + b"x" * 60_000,
    "the head of an interim answer": b"HTTP/1.1 103 " + b"x" * 60_000,
    "interim answers": b"HTTP/1.1 103 Hint\r\nLink: x\r\n\r\n" * 2_000,
    "a line before a chunk": IN_CHUNKS + b"1;" + b"x" * 60_000,
    "a line behind the chunks": IN_CHUNKS + b"1\r\nx\r\n0\r\nX: " + b"x" * 60_000,
    "lines behind the chunks": IN_CHUNKS + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 10_000,
}


@pytest.mark.parametrize("begun", ENDLESS.values(), ids=ENDLESS)
async def test_an_upstream_whose_lines_do_not_end_is_let_go(fence, upstream, wire, begun):
    async def flood(writer):
        writer.write(begun)
        while True:
            writer.write(begun[-60_000:])
            await writer.drain()

    upstream.answers.append(flood)
    client = await fence.connect()
    await client.send(wire.post(wire.BODY, "Connection: close"))
    await client.rest()
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.closed.wait()
    await fence.watcher.settlement()


async def test_a_connection_on_which_nothing_moves_is_closed(start_fence, wire):
    fence = await start_fence(idle_s=1)
    client = await fence.connect()
    await client.send(wire.post())
    await client.answer()
    assert await client.rest() == b""
    assert fence.watcher.limits_met == ["idle_s"]


async def test_deadlines_end_with_what_they_are_for(start_fence, wire):
    short_s = 0.5
    short = dict.fromkeys(("head_s", "body_s", "first_byte_s", "answer_s"), short_s)
    fence = await start_fence(bounds=bounds(**short))
    client = await fence.connect()
    data = wire.post()
    for _ in range(3):
        for part in (data[:20], data[20:-5], data[-5:]):
            await client.send(part)
            await asyncio.sleep(0.01)
        assert (await client.answer()).status == 200
    await asyncio.sleep(short_s + 0.1)
    await client.send(data)
    assert (await client.answer()).status == 200
    assert fence.watcher.limits_met == []


async def test_a_deadline_that_was_moved_as_it_passed_ends_nothing(fence, upstream, wire):
    upstream.answers.append(nothing)
    client = await fence.connect()
    await client.send(wire.post())
    async with asyncio.timeout(wire.WITHIN_S):
        await upstream.arrived.wait()
    (handler,) = fence.proxy._handlers
    await handler.server_event(DeadlinePassed())
    assert fence.watcher.limits_met == []
    assert handler.client.connected


async def test_requests_in_halves_leave_no_timers_behind(fence, wire):
    client = await fence.connect()
    data = wire.post()
    tasks = len(asyncio.all_tasks())
    for _ in range(300):
        await client.send(data[:20])
        await asyncio.sleep(0)
        await client.send(data[20:])
        await client.answer()
    assert len(asyncio.all_tasks()) <= tasks + 5


async def test_a_deadline_that_was_moved_has_not_passed():
    passed = asyncio.Event()
    deadline = Deadline(passed.set)
    deadline.set(0)
    await passed.wait()
    assert (deadline.is_set, deadline.has_passed) == (False, True)
    deadline.set(60)
    assert (deadline.is_set, deadline.has_passed) == (True, False)
    deadline.drop()
    assert (deadline.is_set, deadline.has_passed) == (False, False)


@pytest.mark.parametrize("moves", [[0.01, 0.03], [60, 0.03], [0.01, None, 0.03], [0.01, 0.02, 0.05, 0.03]])
async def test_a_deadline_passes_once_and_when_it_was_last_moved_to(wire, moves):
    passed, times, now_s = asyncio.Event(), list[float](), asyncio.get_running_loop().time

    def note() -> None:
        times.append(now_s())
        passed.set()

    deadline, began = Deadline(note), now_s()
    for seconds in moves:
        deadline.drop() if seconds is None else deadline.set(seconds)
    async with asyncio.timeout(wire.WITHIN_S):
        await passed.wait()
    assert began + 0.025 < times[0] < began + 60
    assert (len(times), deadline.has_passed) == (1, True)


async def test_a_deadline_that_was_dropped_or_has_ended_does_not_pass(wire):
    passed, later = asyncio.Event(), asyncio.Event()
    dropped, ended, other = Deadline(passed.set), Deadline(passed.set), Deadline(later.set)
    dropped.set(0.01)
    dropped.drop()
    ended.set(0.01)
    ended.end()
    other.set(0.02)
    async with asyncio.timeout(wire.WITHIN_S):
        await later.wait()
    assert not passed.is_set()


async def test_one_connection_too_many_is_a_503_and_there_is_room_when_one_has_left(start_fence, upstream, wire):
    fence = await start_fence(bounds=bounds(connections=2))
    first, _second = [await fence.connect() for _ in range(2)]
    for _ in range(3):
        answer = await fence.exchange(wire.post())
        assert (answer.status, answer["connection"]) == (503, "close")
    assert fence.watcher.limits_met == ["connections"] * 3
    assert upstream.received == []
    first.close()
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._doors.open > 1:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    assert (await fence.exchange(wire.post())).status == 200


async def connect_from(fence, wire, address: str):
    client = wire.Client(*await asyncio.open_connection("127.0.0.1", fence.port, local_addr=(address, 0)))
    fence._clients.append(client)
    return client


async def test_one_address_has_no_more_than_its_share(start_fence, wire):
    fence = await start_fence(bounds=bounds(connections_per_address=2))
    for _ in range(2):
        await connect_from(fence, wire, "127.0.0.2")
    greedy = await connect_from(fence, wire, "127.0.0.2")
    await greedy.send(wire.post())
    answer = await greedy.answer()
    assert (answer.status, answer.json["error"]["type"]) == (429, "requests")
    assert await greedy.rest() == b""
    other = await connect_from(fence, wire, "127.0.0.3")
    await other.send(wire.post())
    assert (await other.answer()).status == 200
    assert fence.watcher.limits_met == ["connections_per_address"]


async def test_a_flood_of_connections_beyond_the_limit_takes_a_bounded_place(start_fence, upstream, wire):
    fence = await start_fence(bounds=bounds(connections=1))
    await fence.connect()
    flood = [await fence.connect() for _ in range(3 * TURNED_AWAY_AT_ONCE)]
    async with asyncio.timeout(wire.WITHIN_S):
        while len(fence.watcher.limits_met) < len(flood):
            fence.watcher.changed.clear()
            await fence.watcher.changed.wait()
    assert len(fence.proxy._connections) <= 1 + TURNED_AWAY_AT_ONCE
    assert fence.proxy._doors.open == 1
    answers = await asyncio.gather(*(client.rest() for client in flood))
    assert answers.count(b"") == len(flood)  # they have sent nothing, and wait a second at most
    assert fence.proxy._doors.open == 1
    assert upstream.received == []


def test_what_counts_as_one_address():
    def room_for(first: str, second: str, proxies=()) -> bool:
        doors = Doors(10, 1, proxies)
        assert doors.enter(first) is None
        return doors.enter(second) is None

    assert not room_for("192.0.2.1", "192.0.2.1")
    assert room_for("192.0.2.1", "192.0.2.2")
    assert not room_for("2001:db8::1", "2001:db8::ffff:2")
    assert room_for("2001:db8::1", "2001:db8:0:1::1")
    assert not room_for("192.0.2.1", "::ffff:192.0.2.1")
    assert not room_for("fe80::1%eth0", "fe80::2")
    assert room_for("10.0.0.1", "10.0.0.1", [ipaddress.ip_network("10.0.0.0/8")])
    assert not room_for("2001:db8::1", "2001:db8::1", [ipaddress.ip_network("10.0.0.0/8")])


def test_nothing_is_kept_of_an_address_that_has_left():
    doors = Doors(10, 1)
    for last in range(200):
        doors.enter(f"192.0.2.{last}")
        doors.leave(f"192.0.2.{last}")
    assert (doors.open, len(doors._open_by_address)) == (0, 0)


async def test_who_resets_when_turned_away_is_forgotten():
    class Gone:
        async def read(self, _):
            raise ConnectionResetError

        def close(self):
            self.closed = True

    doors, gone = Doors(0, 0), Gone()
    await doors.turn_away(gone, gone, http.Response.make(503))  # type: ignore[arg-type]
    assert gone.closed
    assert doors._turning_away == 0


async def test_more_headers_than_allowed_are_a_431(start_fence, wire):
    fence = await start_fence(bounds=bounds(headers=10))
    assert (await fence.exchange(wire.post(wire.BODY, *["X: a"] * 6))).status == 200
    assert (await fence.exchange(wire.post(wire.BODY, *["X: a"] * 7))).status == 431


async def test_requests_sent_without_waiting_for_answers_are_cut_off_and_counted(fence, upstream, wire):
    upstream.answers.append(nothing)
    client = await fence.connect()
    with pytest.raises(ConnectionError):  # noqa: PT012 - when it breaks is the kernel's choice
        while True:
            await client.send(wire.post() * 100)
    await fence.watcher.settlement()
    assert fence.watcher.limits_met == ["sent_ahead"]


async def test_bodies_of_all_connections_together_have_a_bound_and_there_is_room_when_one_has_left(start_fence, wire):
    fence = await start_fence(bounds=bounds(held_bytes=250_000))
    half = HEAD + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000
    holding = [await fence.connect() for _ in range(2)]
    for client in holding:
        await client.send(half)
    answer = await fence.exchange(half)
    assert (answer.status, answer["connection"]) == (503, "close")
    assert fence.watcher.limits_met == ["held_bytes"]
    assert (await fence.exchange(wire.post())).status == 200  # what is small still fits
    for client in holding:
        client.close()
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._room.left_bytes < 250_000:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    assert (await fence.exchange(wire.post({**wire.BODY, "user": "x" * 200_000}))).status == 200


async def test_no_room_is_lost_however_requests_end(start_fence, wire):
    fence = await start_fence(bounds=bounds(body_s=SOON_S))
    before = fence.proxy._room.left_bytes
    large = {**wire.BODY, "user": "x" * 100_000}
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + wire.chunk(b"x" * 100_000)
    for data in (
        wire.post(large),
        wire.post(large, key="sk-nobody"),
        wire.post({**large, "stream": True}),
        wire.post(large, "Connection: close"),
        chunked + b"zz\r\n",
        chunked + wire.chunk(b"x" * 200_000),
        chunked,
    ):
        client = await fence.connect()
        await client.send(data)
        await client.answer()
        await client.send(wire.post())
        client.close()
    async with asyncio.timeout(wire.WITHIN_S):
        while fence.proxy._handlers:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    assert fence.proxy._room.left_bytes == before


HEAVY = {
    "a bomb of gzip": (gzip.compress(b"0" * 50_000_000), 413),
    "a bomb of spaces": (gzip.compress(b" " * 50_000_000 + b"{}"), 413),
    "a bomb within a bomb": (gzip.compress(gzip.compress(b"0" * 50_000_000)), 400),
    "many empty members": (gzip.compress(b"") * 1000, 400),
}


@pytest.mark.parametrize(("body", "status"), HEAVY.values(), ids=HEAVY)
async def test_what_grows_when_it_is_unpacked_is_refused(fence, upstream, wire, body, status):
    assert (await fence.exchange(wire.post(body, "Content-Encoding: gzip"))).status == status
    assert upstream.received == []


NESTED = [b"[" * 100_000, b'{"a":' * 40_000, b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"]


@pytest.mark.parametrize("body", NESTED, ids=["lists", "objects", "lists that end"])
async def test_what_is_nested_without_end_is_a_400(fence, upstream, wire, body):
    assert (await fence.exchange(wire.post(body))).status == 400
    assert fence.watcher.failures == 0
    assert upstream.received == []


async def test_a_body_in_chunks_of_a_byte_is_handed_on_in_pieces_as_large_as_it_came(fence, upstream, wire):
    body = json.dumps({**wire.BODY, "user": "x" * 200_000}).encode()
    data = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"1\r\n%c\r\n" % one for one in body) + b"0\r\n\r\n"
    async with asyncio.timeout(wire.WITHIN_S):
        assert (await fence.exchange(data)).status == 200
    assert upstream.requests[0].body == body


def test_every_bound_is_a_setting_of_the_same_default():
    defaults = Limits()
    named = {field.name: field for field in dataclasses.fields(Bounds)}
    del named["proxies"]  # they are a setting of their own
    for name, field in named.items():
        assert f"limits.{name}" in keys()
        if field.default is not dataclasses.MISSING:
            assert field.default == getattr(defaults, name)


async def test_the_settings_reach_the_guard(tmp_path):
    upstreams = (Upstream("openai", "openai", "http", "127.0.0.1", 9),)
    limits = Limits(
        head_bytes=1, request_bytes=2, headers=3, head_s=4, body_s=5, first_byte_s=6, answer_s=7,
        held_bytes=8, connections=9, connections_per_address=10,
    )  # fmt: skip
    proxies = (ipaddress.ip_network("10.0.0.0/8"),)
    free = Address("127.0.0.1", 0)
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\naccess:\n  - {id: all, allow: 'true'}\n")
    gateway = Gateway(Settings(free, free, policy=policy, upstreams=upstreams, limits=limits, trusted_proxies=proxies))
    assert gateway.bounds == Bounds(1, 2, 3, 4, 5, 6, 7, 9, 10, 8, proxies)


def test_a_limit_that_was_met_is_counted_by_its_name():
    metrics = PrometheusMetrics()
    metrics.connection_cut("head_s")
    metrics.connection_cut("head_s")
    assert b'modelfence_connections_cut_total{reason="head_s"} 2.0' in metrics.render()
