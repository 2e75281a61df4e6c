"""A fence on a free port between a raw client and a raw upstream, which records every byte that reaches it."""

import asyncio
import json
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from tests.enforcement.outside import Unwary
from tests.wire.outside import KEY, WITHIN_S, Accounts, Buckets, Geo, Watcher

from modelfence.core.hiding import Hidden
from modelfence.core.upstream import Upstream
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.openai.realtime import OpenAIRealtime
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.in_force import InForce
from modelfence.listening import listen
from modelfence.policy.compile import compile_text
from modelfence.wire.addon import FenceAddon
from modelfence.wire.apis import Apis
from modelfence.wire.guard import Bounds
from modelfence.wire.realtime import Realtime
from modelfence.wire.runner import Proxy, Served

BODY: dict[str, object] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
POLICY = """
version: 1
access:
  - {id: active, allow: kyc.status == "active"}
throttle:
  - {id: requests, key: account.id, rate: 10000 per minute}
  - {id: tokens, key: account.id, unit: output_tokens, rate: 1000000 per minute}
"""
USAGE = {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}
PLAIN = json.dumps({"choices": [{"message": {"content": "hello"}}], "usage": USAGE}).encode()

BOUNDS = Bounds(head_bytes=16 << 10, request_bytes=256 << 10)

type Script = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes = PLAIN, status: str = "200 OK", *headers: str, kind: str = "application/json") -> bytes:
    """Return a whole answer of the upstream."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(text: str = "", usage: dict[str, int] | None = None) -> bytes:
    """Return one event of a chat stream."""
    choices = [{"index": 0, "delta": {"content": text}}] if text else []
    return b"data: " + json.dumps({"choices": choices, "usage": usage}).encode() + b"\n\n"


def post(
    body: bytes | dict[str, object] = BODY, *headers: str, path: str = "/v1/chat/completions", key: str = KEY
) -> bytes:
    """Return a whole request. A header given replaces the one of that name."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {header.partition(":")[0].lower() for header in headers}
    usual = ("Host: fence", f"Authorization: Bearer {key}", "Content-Type: application/json")
    lines = [f"POST {path} HTTP/1.1", *(line for line in usual if line.partition(":")[0].lower() not in given)]
    lines += headers
    if not given & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


@dataclass
class Message:
    """One HTTP message as it came: first line, headers with names in lower case, body."""

    first_line: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    size: int = 0
    """Bytes it took on the wire, where that is known."""

    def __getitem__(self, name: str) -> str:
        return ", ".join(value for other, value in self.fields if other == name)

    def __contains__(self, name: str) -> bool:
        return any(other == name for other, _ in self.fields)

    @property
    def status(self) -> int:
        return int(self.first_line.split(" ")[1])

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def read_head(reader: asyncio.StreamReader) -> Message:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return Message(first, [(name.lower(), value.strip()) for name, _, value in pairs])


async def read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readuntil(b"\r\n"), 16):
        yield await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"


class RecordingUpstream:
    """An upstream that reads only requests with a content-length, and answers by script, then with `PLAIN`."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []
        """Every byte, by connection."""
        self.requests: list[Message] = []
        self.answers: deque[Script] = deque()
        self.closed = asyncio.Event()
        """A connection ended on the other side."""
        self.arrived = asyncio.Event()
        """A request came; to be cleared by whoever waits again."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.drop_connections()

    async def drop_connections(self) -> None:
        """Close every connection, as servers do with idle ones."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=WITHIN_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        record = bytearray()
        self.received.append(record)
        try:
            while True:
                request = await self._read(reader, record)
                self.requests.append(request)
                self.arrived.set()
                script = self.answers.popleft() if self.answers else answer()
                if isinstance(script, bytes):
                    writer.write(script)
                    await writer.drain()
                else:
                    await script(writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.closed.set()
            writer.close()
            self._tasks.discard(task)

    async def _read(self, reader: asyncio.StreamReader, record: bytearray) -> Message:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            record += error.partial
            raise
        record += head
        reading = asyncio.StreamReader()
        reading.feed_data(head)
        message = await read_head(reading)
        message.body = await reader.readexactly(int(message["content-length"] or 0))
        record += message.body
        message.size = len(head) + len(message.body)
        return message


class Client:
    """A connection that sends what it is told and reads answers; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        async with asyncio.timeout(WITHIN_S):
            self.writer.write(data)
            await self.writer.drain()

    async def head(self) -> Message:
        async with asyncio.timeout(WITHIN_S):
            return await read_head(self.reader)

    async def answer(self, *, to_head: bool = False) -> Message:
        """Read one answer, however it is framed."""
        async with asyncio.timeout(WITHIN_S):
            message = await read_head(self.reader)
            if to_head:
                return message
            if message["transfer-encoding"] == "chunked":
                message.body = b"".join([data async for data in read_chunks(self.reader)])
            elif "content-length" in message:
                message.body = await self.reader.readexactly(int(message["content-length"]))
            elif message.status >= 200:
                message.body = await self.reader.read()
            return message

    async def exactly(self, data: bytes) -> None:
        """Read so many bytes, and see that they are these."""
        async with asyncio.timeout(WITHIN_S):
            assert await self.reader.readexactly(len(data)) == data

    async def rest(self) -> bytes:
        """Read until the other side closes."""
        async with asyncio.timeout(WITHIN_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()


class RunningFence:
    """The real proxy, with fakes only for what stands outside of it."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        *,
        policy: str = POLICY,
        dialect: Any = None,
        bounds: Bounds = BOUNDS,
        trusted_proxies: Sequence[Any] = (),
        client_header: str = "x-forwarded-for",
        hook_deadline_s: float = 5.0,
        host: str = "127.0.0.1",
        listening: socket.socket | None = None,
        hidden: Mapping[str, Hidden] | None = None,
        idle_s: int = 60,
    ) -> None:
        compiled = compile_text(policy)
        assert compiled.policy is not None, compiled.problems
        self.watcher = Watcher()
        self.accounts = Accounts()
        self.now_us = 1_790_000_000_000_000
        self.buckets = Buckets(lambda: self.now_us)
        self.fence = Fence(
            InForce(compiled.policy, self.accounts, Geo()),
            buckets=self.buckets,
            local_buckets=self.buckets,
            detector=Unwary(),
            observers=[self.watcher],
            clock_us=lambda: self.now_us,
            jitter=lambda: 0.0,
        )
        apis = Apis(
            upstreams,
            {"openai": dialect or OpenAI()},
            trusted_proxies=trusted_proxies,
            observers=[self.watcher],
            clock_us=lambda: self.now_us,
            hidden=hidden or {},
            client_header=client_header,
        )
        self.addon = FenceAddon(
            self.fence, apis, max_request_bytes=bounds.request_bytes, hook_deadline_s=hook_deadline_s
        )
        self.realtime = Realtime(
            self.fence, apis, realtime={"openai": OpenAIRealtime()}, message_bytes=bounds.request_bytes
        )
        listening = listening or listen(host, 0)
        self.port = listening.getsockname()[1]
        self.proxy = Proxy(Served(self.addon, self.realtime), listening, bounds=bounds, idle_s=idle_s)
        self._clients: list[Client] = []

    async def connect(self, host: str = "127.0.0.1") -> Client:
        client = Client(*await asyncio.open_connection(host, self.port))
        self._clients.append(client)
        return client

    async def exchange(self, data: bytes) -> Message:
        """Send one request on a connection of its own and return its answer."""
        client = await self.connect()
        await client.send(data)
        return await client.answer()

    async def stop(self) -> None:
        for client in self._clients:
            client.close()
        await self.proxy.stop()


@pytest.fixture
async def upstream() -> AsyncIterator[RecordingUpstream]:
    upstream = RecordingUpstream()
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
async def start_fence(upstream: RecordingUpstream) -> AsyncIterator[Callable[..., Awaitable[RunningFence]]]:
    """A function that starts a fence. When it ends, the upstream must have received nothing but admitted calls."""
    fences: list[RunningFence] = []
    async with AsyncExitStack() as ending:
        ending.callback(lambda: _nothing_else_reached(upstream, fences))

        async def start(**options: Any) -> RunningFence:
            secret, prefix = options.pop("secret", "sk-real"), options.pop("prefix", "")
            base_path = options.pop("base_path", "")
            one = Upstream("openai", "openai", "http", "127.0.0.1", upstream.port, base_path, prefix, secret)
            fence = RunningFence(options.pop("upstreams", [one]), **options)
            await fence.proxy.start()
            fences.append(fence)
            ending.push_async_callback(fence.stop)
            return fence

        yield start


@pytest.fixture
async def fence(start_fence: Callable[..., Awaitable[RunningFence]]) -> RunningFence:
    return await start_fence()


def _nothing_else_reached(upstream: RecordingUpstream, fences: Sequence[RunningFence]) -> None:
    assert len(upstream.requests) <= sum(fence.watcher.admitted for fence in fences)
    assert sum(map(len, upstream.received)) == sum(request.size for request in upstream.requests)


@pytest.fixture
def wire() -> Any:
    """What tests write requests and answers with: the functions of this module."""
    return _Words


class _Words:
    answer = staticmethod(answer)
    chunk = staticmethod(chunk)
    event = staticmethod(event)
    post = staticmethod(post)
    read_chunks = staticmethod(read_chunks)
    STREAM_HEAD = STREAM_HEAD
    BODY = BODY
    PLAIN = PLAIN
    USAGE = USAGE
    KEY = KEY
    WITHIN_S = WITHIN_S
    POLICY = POLICY
    Bounds = Bounds
    Client = Client
    Upstream = Upstream
