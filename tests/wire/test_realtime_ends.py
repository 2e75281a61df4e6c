"""However a session ends, its calls are settled once and its connections are gone; and what upstreams may say to it."""

import asyncio
import json
import socket
import ssl
from dataclasses import replace
from typing import Any

import pytest
from tests.tls_front import Authority
from tests.wire.outside import WITHIN_S
from tests.wire.test_realtime import CREATE, HANDSHAKE, KEY, POLICY, Api, Front, code_of, rest_of, until
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from modelfence.core.upstream import Upstream
from modelfence.wire.websocket import accept_of

OPENED = json.dumps({"type": "session.created"})
PLENTY = POLICY.replace("6 per hour", "100 per hour").replace("1000 per", "1000000 per")


def begun(name: str) -> str:
    return json.dumps({"type": "response.created", "response": {"id": name}})


@pytest.fixture
async def running():
    """A function that puts a front before a stand-in API; both end with the test."""
    servers: list[Any] = []

    async def start(serving, policy: str = PLENTY) -> Front:
        server = await serve(serving, "127.0.0.1", 0)
        front = Front(server.sockets[0].getsockname()[1], policy=policy)
        fence = await asyncio.start_server(front.on_client, "127.0.0.1", 0)
        front.port = fence.sockets[0].getsockname()[1]
        servers.extend((server, fence))
        return front

    yield start
    for server in servers:
        server.close()


async def all_settled(front: Front) -> None:
    """See that every call that was let in is settled, and once."""
    admitted = {judged.call.id for judged in front.watcher.calls if judged.decision.admitted}
    await front.watcher.settlement(len(admitted))
    assert sorted(one.judged.call.id for one in front.watcher.settlements) == sorted(admitted)


async def test_a_call_whose_handshake_is_under_way_is_settled_when_the_fence_stops(start_fence, upstream):
    fence = await start_fence()
    asked = asyncio.Event()

    async def never(_writer):
        asked.set()
        await asyncio.Event().wait()

    upstream.answers.append(never)
    client = await fence.connect()
    await client.send(HANDSHAKE.replace(b"/api", b"") + b"\r\n")
    async with asyncio.timeout(WITHIN_S):
        await asked.wait()
    await fence.proxy.stop()
    assert [one.usage for one in fence.watcher.settlements] == [None]


async def test_a_settlement_goes_on_when_the_client_leaves_meanwhile(running):
    api = Api()
    front = await running(api.serve)
    settling, may_settle, settle = asyncio.Event(), asyncio.Event(), front.buckets.settle

    async def slowly(adjustments):
        settling.set()
        await may_settle.wait()
        await settle(adjustments)

    connection = await connect(front.url(), additional_headers=KEY)
    await until(connection, "session.created")
    front.buckets.settle = slowly
    await connection.send(CREATE)
    async with asyncio.timeout(WITHIN_S):
        await settling.wait()
        connection.transport.abort()
        await api.closed.wait()
    may_settle.set()
    settled = await front.watcher.settlement(2)
    assert (settled.usage.output_tokens, settled.usage.estimated) == (3, False)
    await all_settled(front)


async def test_a_client_that_leaves_while_its_answer_pays_for_more_is_charged_once(running):
    api = Api()
    api.words = 2_000
    front = await running(api.serve)
    paying, take = asyncio.Event(), front.buckets.take

    async def unheard(charges, *, lease=None, after=()):
        taken = await take(charges, lease=lease, after=after)
        if after:
            paying.set()
            await asyncio.Event().wait()
        return taken

    front.buckets.take = unheard
    connection = await connect(front.url(), additional_headers=KEY)
    await connection.send(CREATE)
    reading = asyncio.create_task(rest_of(connection))
    async with asyncio.timeout(WITHIN_S):
        await paying.wait()
    connection.transport.abort()
    await reading
    settled = await front.watcher.settlement(2)
    await front.realtime.all_settled()
    front.buckets.take = take
    tokens = next(one for one in settled.judged.decision.charges if one.throttle == "tokens")
    [balance] = (await front.buckets.take([replace(tokens, amount=0.0)])).balances
    assert 1_000_000 - balance.left == settled.usage.output_tokens


async def test_an_answer_that_begins_twice_is_one_and_is_settled(running):
    async def twice(connection: ServerConnection) -> None:
        await connection.recv()
        for _ in range(2):
            await connection.send(begun("resp_1"))
        await connection.close()

    front = await running(twice)
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(CREATE)
        await connection.wait_closed()
    await front.realtime.all_settled()
    assert len(front.watcher.calls) == 2
    await all_settled(front)


async def test_an_upstream_that_begins_answers_without_end_is_left(running):
    async def endless(connection: ServerConnection) -> None:
        try:
            for nth in range(50):
                await connection.send(begun(f"resp_{nth}"))
            await connection.wait_closed()
        except ConnectionClosed:
            pass

    front = await running(endless)
    async with connect(front.url(), additional_headers=KEY) as connection:
        assert await code_of(connection) == 1008
    assert len(front.watcher.calls) == 1 + 17
    await all_settled(front)


async def test_a_client_that_never_reads_keeps_no_connection_once_its_session_ends(running):
    said = json.dumps({"type": "some", "text": "x" * 90_000})

    async def flood(connection: ServerConnection) -> None:
        try:
            while True:
                await connection.send(said)
        except ConnectionClosed:
            pass

    front = await running(flood)
    ended, sockets, first = asyncio.Event(), [], front.realtime.first

    async def watched(reader, writer, **bounds):
        sockets.append(writer.get_extra_info("socket"))
        await first(reader, writer, **bounds)
        ended.set()

    front.realtime.first = watched
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", front.port))
        await loop.sock_sendall(client, HANDSHAKE + b"\r\n")
        assert (await loop.sock_recv(client, 100)).startswith(b"HTTP/1.1 101")
        await asyncio.sleep(0.5)  # until what it does not read fills every buffer
        await loop.sock_sendall(client, b"\x81\x82\x00\x00\x00\x00[]")  # which is no message
        async with asyncio.timeout(3 * WITHIN_S):
            await ended.wait()
    assert [one.fileno() for one in sockets] == [-1]
    await all_settled(front)


@pytest.fixture
async def answered():
    """A function that returns how a handshake is answered when the upstream answers with these bytes."""
    servers: list[Any] = []

    async def answered(data: bytes) -> bytes:
        async def serving(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            key = next(line.partition(b": ")[2] for line in head.split(b"\r\n") if b"Key: " in line)
            writer.write(data.replace(b"{accept}", accept_of(key.decode()).encode()))
            writer.close()

        server = await asyncio.start_server(serving, "127.0.0.1", 0)
        servers.append(server)
        front = Front(server.sockets[0].getsockname()[1])
        fence = await asyncio.start_server(front.on_client, "127.0.0.1", 0)
        servers.append(fence)
        reader, writer = await asyncio.open_connection("127.0.0.1", fence.sockets[0].getsockname()[1])
        writer.write(HANDSHAKE + b"\r\n")
        async with asyncio.timeout(WITHIN_S):
            answer = await reader.read()
        writer.close()
        await all_settled(front)
        return answer

    yield answered
    for server in servers:
        server.close()


SWITCHING = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + SWITCHING + b"\r\n",
        b"HTTP/1.1 999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\nSet-Cookie: a=b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 101 S\r\nSec-WebSocket-Accept: another\r\n\r\n",
        SWITCHING + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        SWITCHING + b"Sec-WebSocket-Protocol: unasked\r\n\r\n",
        SWITCHING + b"Sec-WebSocket-Protocol: \nSet-Cookie: a=b\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        b"",
    ],
)
async def test_an_answer_to_a_handshake_that_can_not_be_read_is_a_502(answered, data):
    answer = await answered(data)
    assert answer.split(b" ")[1] == b"502"
    assert b"set-cookie" not in answer.lower()


async def test_a_redirected_handshake_leads_nowhere(answered):
    answer = await answered(b"HTTP/1.1 302 Found\r\nLocation: wss://elsewhere.example/\r\nContent-Length: 0\r\n\r\n")
    assert answer.split(b" ")[1] == b"302"
    assert b"elsewhere" not in answer


@pytest.fixture
async def opens(tmp_path):
    """A function that says whether an upstream over TLS is spoken to, given the authority it is held to, if any."""
    own = Authority(tmp_path, "own")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate("localhost"))

    async def opens(ca: str | None) -> bool:
        upstream = Upstream("openai", "openai", "https", "localhost", port, prefix="/api", ca=ca)
        front = Front(port, upstream=upstream)
        async with await asyncio.start_server(front.on_client, "127.0.0.1", 0) as fence:
            front.port = fence.sockets[0].getsockname()[1]
            try:
                async with connect(front.url(), additional_headers=KEY) as connection:
                    return bool(await until(connection, "session.created"))
            except InvalidStatus:
                return False

    async with serve(Api().serve, "localhost", 0, ssl=context, family=socket.AF_INET) as server:
        port = server.sockets[0].getsockname()[1]
        yield opens


async def test_an_upstream_is_held_to_its_own_authority_on_websockets_too(opens, tmp_path):
    assert await opens(str(tmp_path / "own.pem"))
    assert not await opens(str(Authority(tmp_path, "other").file))


async def test_whom_this_machine_trusts_otherwise_vouches_for_no_upstream(opens, tmp_path, monkeypatch):
    """As callers of an egress fence trust its authority, and mitmproxy has a list of its own, too."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.pem"))
    assert not await opens(None)
