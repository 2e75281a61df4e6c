"""The model API behind every subject. It runs in the load generator's own process.

A stream goes in step with its reader: an event leaves when the one before has arrived. So a subject can't gather
several into one, and what is counted are events that were relayed one by one, as a model makes them.
"""

import asyncio
import re

from bench.proxy.messages import EVENT, STREAM_HEAD, WHOLE, Reader, stream_end

_STREAMS = re.compile(rb'"stream":\s*true')
_EVENTS = re.compile(rb'"max_(?:completion_)?tokens":\s*(\d+)')
_NAME = re.compile(rb'"user":\s*"([\w-]+)"')
_WITH_USAGE = re.compile(rb'"include_usage":\s*true')


class Upstream:
    """Answers on a port of loopback, from `start` on until `stop`."""

    def __init__(self) -> None:
        self.port = 0
        self.streams: dict[str, Stream] = {}
        """Those under way, by the name that the caller gave them."""

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.close()

    def arrived(self, name: str, events: int) -> None:
        """Let so many more events of a stream leave, as so many have arrived."""
        if (stream := self.streams.get(name)) is not None:
            stream.send(events)
            if stream.is_over:
                del self.streams[name]

    def finish(self, name: str) -> None:
        """Leave out the rest of a stream."""
        if (stream := self.streams.pop(name, None)) is not None:
            stream.finish()


class Stream:
    """An answer that goes in step with its reader."""

    def __init__(self, transport: asyncio.Transport, events: int, *, with_usage: bool) -> None:
        self._transport = transport
        self._events = self._left = events
        self._with_usage = with_usage

    @property
    def is_over(self) -> bool:
        return not self._left

    def send(self, events: int) -> None:
        """Send so many events, each by itself, and the end behind the last."""
        for _ in range(min(events, self._left)):
            self._left -= 1
            self._transport.write(EVENT if self._left else EVENT + self._end())

    def finish(self) -> None:
        """Leave out the rest."""
        self._left = 0
        self._transport.write(self._end())

    def _end(self) -> bytes:
        return stream_end(self._events, with_usage=self._with_usage)


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._reader = Reader(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)

    def head(self, head: bytes) -> None: ...

    def piece(self, piece: bytes) -> None:
        self._body += piece

    def end(self) -> None:
        body, self._body = self._body, b""
        if _STREAMS.search(body):
            self._begin_stream(body)
        else:
            self._transport.write(WHOLE)

    def _begin_stream(self, body: bytes) -> None:
        name, events = _NAME.search(body), _EVENTS.search(body)
        assert name is not None, body
        assert events is not None, body
        stream = Stream(self._transport, int(events[1]), with_usage=bool(_WITH_USAGE.search(body)))
        self._upstream.streams[name[1].decode()] = stream
        self._transport.write(STREAM_HEAD)
        stream.send(1)
