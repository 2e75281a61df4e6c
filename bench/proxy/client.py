"""The callers' side of a connection."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.proxy.messages import Reader


@dataclass(slots=True)
class Answer:
    """What came of a request. Times are of `time.perf_counter`."""

    status: int = 0
    """0 until a head has come; then what it says."""
    events: int = 0
    first_at: float | None = None
    """When the first byte of a body came."""
    ended_at: float | None = None

    @property
    def is_good(self) -> bool:
        return self.status == 200 and self.ended_at is not None


type Ended = Callable[["Client", Answer], None]
type Arrived = Callable[[str, int], None]


class Client(asyncio.Protocol):
    """One keep-alive connection, for one request at a time."""

    def __init__(self, arrived: Arrived) -> None:
        """`arrived` is told how many events of a named stream have come."""
        self._arrived = arrived
        self._reader = Reader(self)
        self._transport: asyncio.Transport | None = None
        self._ended: Ended | None = None
        self._answer = Answer()
        self._stream = ""
        self._tail = b""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, ended: Ended, *, stream: str = "") -> Answer:
        """Send a request; `ended` is called once, when its answer is over or the connection is."""
        assert self._transport is not None
        assert self._ended is None, "the last answer is not over"
        self._answer, self._ended, self._stream, self._tail = Answer(), ended, stream, b""
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def connection_lost(self, _reason: Exception | None) -> None:
        self._is_over()

    def head(self, head: bytes) -> None:
        self._answer.status = int(head[9:12])

    def piece(self, piece: bytes) -> None:
        if self._answer.first_at is None:
            self._answer.first_at = time.perf_counter()
        if self._stream:
            events = (self._tail + piece).count(b"\n\n")
            self._tail = piece[-1:]
            if events:
                self._answer.events += events
                self._arrived(self._stream, events)

    def end(self) -> None:
        self._answer.ended_at = time.perf_counter()
        self._is_over()

    def _is_over(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self, self._answer)


async def connect(port: int, arrived: Arrived) -> Client:
    """Return an open connection to a port of loopback."""
    client: Client
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(arrived), "127.0.0.1", port)
    return client
