"""Websockets of a realtime API: judged at the handshake and for every answer, paid for, settled, and ended with 1008."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.enforcement.outside import Unwary
from tests.wire.outside import WITHIN_S, Accounts, Buckets, Geo, Watcher
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from modelfence.core.upstream import Upstream
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.openai.realtime import OpenAIRealtime
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.in_force import InForce
from modelfence.policy.compile import compile_text
from modelfence.wire.apis import Apis
from modelfence.wire.grace import Grace
from modelfence.wire.realtime import Realtime

POLICY = """
version: 1
lists:
  reserved: [o3-realtime]
access:
  - {id: active, allow: kyc.status == "active" && request.operation == "realtime"}
  - id: reserved
    deny: request.model in lists.reserved
    message: This model is not for you.
throttle:
  - {id: answers, key: account.id, rate: 6 per hour, message: "Six an hour, please."}
  - {id: tokens, key: account.id, unit: output_tokens, rate: 1000 per hour}
"""
KEY = {"Authorization": "Bearer sk-acme"}
CREATE = json.dumps({"type": "response.create"})
MESSAGE_BYTES = 100_000


class Api:
    """A stand-in for the realtime API. `script` is what it says to each message."""

    def __init__(self) -> None:
        self.received: list[str | bytes] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.closes: list[int | None] = []
        self.closed = asyncio.Event()
        self.words = 3
        self.begins_by_itself = False
        self.refuses: dict[str, str] | None = None
        """The error with which it answers whoever asks for an answer."""
        self.port = 0

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self.keys.append(connection.request.headers.get("Authorization"))
        try:
            await connection.send(json.dumps({"type": "session.created", "session": {"id": "sess_1"}}))
            if self.begins_by_itself:
                await self.answer(connection, "resp_self")
            async for message in connection:
                self.received.append(message)
                if json.loads(message)["type"] == "response.create" and self.refuses is not None:
                    await connection.send(json.dumps({"type": "error", "error": self.refuses}))
                elif json.loads(message)["type"] == "response.create":
                    await self.answer(connection, f"resp_{len(self.received)}")
        except ConnectionClosed:
            pass
        self.closes.append(connection.close_code)
        self.closed.set()

    async def answer(self, connection: ServerConnection, name: str) -> None:
        await connection.send(json.dumps({"type": "response.created", "response": {"id": name}}))
        for _ in range(self.words):
            await connection.send(
                json.dumps({"type": "response.output_text.delta", "response_id": name, "delta": " word"})
            )
        usage = {"input_tokens": 40, "output_tokens": self.words, "input_token_details": {"cached_tokens": 8}}
        await connection.send(json.dumps({"type": "response.done", "response": {"id": name, "usage": usage}}))


class Front:
    """The realtime part of the wire on a socket of its own."""

    def __init__(
        self,
        port: int,
        *,
        policy: str = POLICY,
        key: str | None = "sk-real",
        idle_s: float = 60,
        upstream: Upstream | None = None,
    ) -> None:
        compiled = compile_text(policy)
        assert compiled.policy is not None, compiled.problems
        self.watcher, self.buckets = Watcher(), Buckets(lambda: 1_790_000_000_000_000)
        self.fence = Fence(
        InForce(compiled.policy, Accounts(), Geo()), buckets=self.buckets, local_buckets=self.buckets,
            detector=Unwary(), observers=[self.watcher], clock_us=lambda: 0, jitter=lambda: 0.0,
        )  # fmt: skip
        apis = Apis(
            [upstream or Upstream("openai", "openai", "http", "127.0.0.1", port, prefix="/api", secret=key)],
            {"openai": OpenAI()},
            trusted_proxies=(),
            observers=[self.watcher],
            clock_us=lambda: 1_790_000_000_000_000,
        )
        self.realtime = Realtime(
            self.fence, apis, realtime={"openai": OpenAIRealtime()}, message_bytes=MESSAGE_BYTES, idle_s=idle_s
        )
        self.left_to_the_guard: list[bytes] = []
        self.port = 0

    async def on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other = await self.realtime.first(reader, writer, head_bytes=16_000, grace=Grace(WITHIN_S))
        if other is not None:
            self.left_to_the_guard.append(await other.read(100_000))
            writer.close()

    def url(self, path: str = "/api/v1/realtime?model=gpt-realtime") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with serve(api.serve, "127.0.0.1", 0) as server:
        api.port = server.sockets[0].getsockname()[1]
        yield api


@pytest.fixture
async def start(api) -> AsyncIterator[Callable[..., Awaitable[Front]]]:
    async with AsyncExitStack() as ending:

        async def start(**options) -> Front:
            front = Front(api.port, **options)
            server = await asyncio.start_server(front.on_client, "127.0.0.1", 0)
            ending.callback(server.close)
            front.port = server.sockets[0].getsockname()[1]
            return front

        yield start


@pytest.fixture
async def front(start) -> Front:
    return await start()


async def until(connection, kind: str) -> Any:
    async with asyncio.timeout(WITHIN_S):
        while True:
            message = json.loads(await connection.recv())
            if message["type"] == kind:
                return message


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def rest_of(connection) -> list[str]:
    """Return the kinds of messages that still come until the connection is closed."""
    async with asyncio.timeout(WITHIN_S):
        return [json.loads(message)["type"] async for message in _messages(connection)]


async def _messages(connection):
    while True:
        try:
            yield await connection.recv()
        except ConnectionClosed:
            return


async def code_of(connection) -> int | None:
    await rest_of(connection)
    return connection.close_code


async def test_a_session_is_judged_and_its_answers_are_paid_for_and_settled(front, api):
    async with connect(front.url(), additional_headers=KEY) as connection:
        await until(connection, "session.created")
        await connection.send(CREATE)
        await until(connection, "response.done")
        await front.watcher.settlement(2)
    assert [judged.call.reading.model for judged in front.watcher.calls] == ["gpt-realtime"] * 2
    opened, answered = front.watcher.settlements
    assert (opened.usage.output_tokens, opened.status) == (0, 101)
    assert (answered.usage.input_tokens, answered.usage.output_tokens, answered.usage.cached_tokens) == (40, 3, 8)
    assert not answered.usage.estimated
    assert (api.paths, api.keys) == (["/v1/realtime?model=gpt-realtime"], ["Bearer sk-real"])


async def test_without_a_key_of_the_fence_the_callers_passes(start, api):
    front = await start(key=None)
    async with connect(front.url(), additional_headers=KEY):
        pass
    assert api.keys == ["Bearer sk-acme"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/api/v1/realtime?model=o3-realtime", KEY, 403),
        ("/api/v1/realtime?model=gpt-realtime", {}, 401),
        ("/api/v1/realtime?model=gpt-realtime&model=o3-realtime", KEY, 400),
        ("/api/v1/realtime?Model=gpt-realtime", KEY, 400),
        ("/api/v1/realtime", KEY, 400),
        ("/api/v1/realtime?call_id=rtc_1", KEY, 400),
        ("/api/v1/realtime/?model=gpt-realtime", KEY, 404),
        ("/api/v1/realtime/../realtime?model=gpt-realtime", KEY, 400),
        ("/api/v1/chat/completions", KEY, 404),
        ("/other", KEY, 404),
    ],
)
async def test_a_handshake_is_refused_in_the_apis_shape(front, api, path, headers, status):
    with pytest.raises(InvalidStatus) as error:
        async with connect(front.url(path), additional_headers=headers):
            pass
    assert error.value.response.status_code == status
    assert "error" in json.loads(error.value.response.body)
    assert api.paths == []


async def test_a_model_that_is_switched_to_is_judged(front, api):
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(json.dumps({"type": "session.update", "session": {"model": "o3-realtime"}}))
        error = (await until(connection, "error"))["error"]
        assert await code_of(connection) == 1008
    assert "This model is not for you." in error["message"]
    async with asyncio.timeout(WITHIN_S):
        await api.closed.wait()
    assert api.received == []


async def test_answers_are_throttled_one_by_one(front, api):
    async with connect(front.url(), additional_headers=KEY) as connection:
        for _ in range(5):
            await connection.send(CREATE)
            await until(connection, "response.done")
        await connection.send(CREATE)
        error = (await until(connection, "error"))["error"]
        assert await code_of(connection) == 1008
    assert error["code"] == "rate_limit_exceeded"
    assert "Six an hour, please." in error["message"]
    assert len(api.received) == 5


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({}, {"code": "conversation_already_has_active_response"}),
        ({"event_id": "mine"}, {"code": "invalid_value", "event_id": "mine"}),
    ],
)
async def test_what_the_api_does_not_answer_costs_nothing_and_ends_nothing(start, api, asked, error):
    api.refuses = error
    front = await start(policy=POLICY.replace("6 per hour", "1000 per hour"))
    async with connect(front.url(), additional_headers=KEY) as connection:
        for _ in range(20):
            await connection.send(json.dumps({"type": "response.create", **asked}))
            await until(connection, "error")
        api.refuses = None
        await connection.send(CREATE)
        await until(connection, "response.done")
        usages = [(await front.watcher.settlement(nth)).usage for nth in range(2, 23)]
    assert usages[:20] == [None] * 20
    assert usages[20].output_tokens == 3


async def test_an_error_about_something_else_changes_nothing(start, api):
    api.refuses = {"code": "invalid_value", "event_id": "other"}
    front = await start()
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(json.dumps({"type": "response.create", "event_id": "mine"}))
        await until(connection, "error")
    assert (await front.watcher.settlement(2)).usage is not None


async def test_an_answer_that_nobody_asked_for_is_judged_before_a_word_of_it_goes_on(start, api):
    api.begins_by_itself = True
    front = await start(policy=POLICY.replace("6 per hour", "1 per hour"))
    async with connect(front.url(), additional_headers=KEY) as connection:
        assert await rest_of(connection) == ["session.created", "error"]


async def test_a_budget_that_is_used_up_ends_a_running_answer(start, api):
    api.words = 5_000
    front = await start()
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(CREATE)
        words = 0
        async with asyncio.timeout(WITHIN_S):
            while (message := json.loads(await connection.recv()))["type"] != "error":
                words += message["type"] == "response.output_text.delta"
        assert await code_of(connection) == 1008
    assert 900 <= words <= 1_000 + 256
    settled = await front.watcher.settlement(2)
    assert settled.usage.estimated
    assert abs(settled.usage.output_tokens - words) <= 1


async def test_a_client_that_leaves_pays_for_what_passed_and_its_upstream_is_closed(front, api):
    api.words = 200
    connection = await connect(front.url(), additional_headers=KEY)
    await connection.send(CREATE)
    await until(connection, "response.output_text.delta")
    connection.transport.abort()
    async with asyncio.timeout(WITHIN_S):
        await api.closed.wait()
    settled = await front.watcher.settlement(2)
    assert settled.usage is not None


async def test_a_limit_that_the_policy_sets_has_to_be_asked_for(start, api):
    front = await start(policy=POLICY + "reshape:\n  - {id: short, cap: {output_tokens: 100}}\n")
    async with connect(front.url(), additional_headers=KEY) as connection:
        allowed = json.dumps({"type": "response.create", "response": {"max_output_tokens": 100}})
        await connection.send(allowed)
        await until(connection, "response.done")
        await connection.send(CREATE)
        assert "100 tokens" in (await until(connection, "error"))["error"]["message"]
        assert await code_of(connection) == 1008
    assert len(api.received) == 1


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        "{}",
        '{"type": 1}',
        '{"type": "session.update", "Session": {"model": "x"}}',
        '{"type": "session.update", "session": {"model": "a", "model": "b"}}',
        '{"type": "session.update", "session": {"Model": "o3-realtime"}}',
        '{"type": "response.create", "response": {"max_output_tokens": "9"}}',
        b"binary",
    ],
)
async def test_a_message_that_can_not_be_read_does_not_go_on(front, api, message):
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(message)
        await until(connection, "error")
        assert await code_of(connection) == 1008
    assert api.received == []


async def test_a_message_that_is_too_large_ends_the_session(front, api):
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": "A" * MESSAGE_BYTES}))
        assert await code_of(connection) == 1009
    assert api.received == []


async def test_memory_stays_flat_over_a_hundred_thousand_messages(start, api):
    api.words = 100_000
    front = await start(policy=POLICY.replace("1000 per hour", "1000000 per hour"))
    async with connect(front.url(), additional_headers=KEY) as connection:
        await connection.send(CREATE)
        resident = []
        for nth in range(100_000):
            await connection.recv()
            if nth in {10_000, 99_999}:
                resident.append(resident_bytes())
    assert resident[1] - resident[0] < 8 << 20


async def test_a_session_in_which_nothing_is_said_is_ended(start):
    front = await start(idle_s=0.05)
    async with connect(front.url(), additional_headers=KEY) as connection:
        assert await code_of(connection) == 1001


async def test_an_upstream_that_is_away_is_a_502_and_costs_nothing(start, api):
    api.port = 1
    front = await start()
    with pytest.raises(InvalidStatus) as error:
        async with connect(front.url(), additional_headers=KEY):
            pass
    assert error.value.response.status_code == 502
    assert (await front.watcher.settlement()).usage is None


@pytest.mark.parametrize(
    "data",
    [
        b"POST /api/v1/realtime HTTP/1.1\r\nHost: x\r\n",
        b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/models HTTP/1.1\nHost: x\n\n",
        b"\x16\x03\x01",
    ],
)
async def test_what_asks_for_no_websocket_is_left_to_the_guard_as_it_came(front, data):
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(data)
    async with asyncio.timeout(WITHIN_S):
        await reader.read()
    writer.close()
    assert front.left_to_the_guard == [data]


HANDSHAKE = (
    b"GET /api/v1/realtime?model=m HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-acme\r\nConnection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


@pytest.mark.parametrize(
    "head",
    [
        HANDSHAKE.replace(b"13", b"12"),
        HANDSHAKE.replace(b"AAAAAAAAAAAAAAAAAAAAAA==", b"short"),
        HANDSHAKE + b"Sec-WebSocket-Key: BBBBBBBBBBBBBBBBBBBBBB==\r\n",
        HANDSHAKE + b"Content-Length: 4\r\n",
        HANDSHAKE + b"Transfer-Encoding: chunked\r\n",
        HANDSHAKE + b"Host: y\r\n",
        HANDSHAKE + b"X-Api-Key: sk-other\r\n",
        HANDSHAKE + b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.sk-other\r\n",
        HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_a_handshake_that_could_be_read_in_two_ways_is_refused(front, api, head):
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(head + b"\r\n")
    async with asyncio.timeout(WITHIN_S):
        answer = await reader.read()
    writer.close()
    assert answer.split(b" ")[1] == b"400"
    assert api.paths == []


async def test_frames_before_the_handshake_is_answered_are_refused(front, api):
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    writer.write(HANDSHAKE + b"\r\n\x81\x80\x00\x00\x00\x00")
    async with asyncio.timeout(WITHIN_S):
        assert (await reader.read()).split(b" ")[1] == b"400"
    writer.close()
    assert api.paths == []
