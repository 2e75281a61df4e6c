"""The guard's HTTP/1 towards upstreams: forgiving nothing that could be read in two ways.

Interim answers (1xx) and trailers are dropped, where mitmproxy takes the first for the answer and crashes on the
second. An answer that costs something but can't be counted, because it is compressed, is a failure.
"""

import logging
import re

from h11._readers import ChunkedReader, Http10Reader
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Client

from modelfence.wire.bodies import unasked_encoding
from modelfence.wire.sanitise import header

log = logging.getLogger(__name__)

UPSTREAM_HEAD_BYTES = 256 << 10
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_END = b"\r\n"


class GuardedHttp1Client(Http1Client):
    """HTTP/1 towards the upstream."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._interim_bytes = 0
        """What came before the answer to the request under way."""

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Serve an event. Nothing here ever waits, so that what mitmproxy does to hold events back is left out."""
        if isinstance(event, HttpEvent):
            return self.send(event)
        if isinstance(event, events.DataReceived):
            self.buf += event.data
        steps: layer.CommandGenerator[None] = self.state(event)
        return steps

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        """Send a request, as HTTP/1.1 whatever the client spoke. Its length is always stated."""
        if isinstance(event, RequestData):
            yield commands.SendData(self.conn, event.data)
        elif isinstance(event, RequestEndOfMessage):
            yield from self.mark_done(request=True)
        else:
            if isinstance(event, RequestHeaders):
                event.request.data.http_version = b"HTTP/1.1"
            yield from super().send(event)

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Parse the head of the answer, within bounds."""
        interim = b""
        if isinstance(event, events.DataReceived) and self.request is not None:
            while (interim := _interim_status(head := bytes(self.buf))) and b"\r\n\r\n" in head:
                if interim == b"101":
                    yield from self._fail("the upstream switches protocols, which nobody asked for")
                    return
                self.buf.maybe_extract_lines()
                self._interim_bytes += len(head) - len(self.buf)
        if interim:
            if self._interim_bytes + len(self.buf) > UPSTREAM_HEAD_BYTES:
                yield from self._fail("too much came before the answer")
            return
        for command in super().read_headers(event):
            if isinstance(command, ReceiveHttp) and (encoding := _unasked_encoding(command.event)):
                log.error("refusing an answer in `%s`: it was asked for plain, and can't be counted", encoding)
                yield from self._fail("the answer is encoded, which nobody asked for")
                return
            yield command
        if self.state == self.read_headers and len(self.buf) > UPSTREAM_HEAD_BYTES:
            yield from self._fail("the head of the answer is too large")

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Read the body; trailers, which mitmproxy can't pass on, come after all of it."""
        if isinstance(event, events.DataReceived) and self.stream_id is not None and (piece := self._only_chunk()):
            yield ReceiveHttp(ResponseData(self.stream_id, piece))
            return
        try:
            yield from super().read_body(event)
        except NotImplementedError:
            assert self.stream_id is not None  # noqa: S101 - a body belongs to a stream
            yield ReceiveHttp(ResponseEndOfMessage(self.stream_id))
            yield from self.mark_done(response=True)
        if self.state == self.read_body and len(self.buf) > UPSTREAM_HEAD_BYTES:
            yield from self._fail("a line between the chunks of the answer, or behind them, is too long")

    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        """Go on to the next request once this one and its answer are complete, or close.

        As mitmproxy does, which works out once more how the answer ended. Requests never ask for a close here, and
        tunnels were refused before.
        """
        self.request_done = self.request_done or request
        self.response_done = self.response_done or response
        if not (self.request_done and self.response_done):
            return
        if isinstance(self.body_reader, Http10Reader) or self._upstream_closes():
            yield commands.CloseConnection(self.conn)
            self.state = self.done
            return
        self.request_done = self.response_done = False
        self.request = self.response = self.stream_id = None
        self._interim_bytes = 0
        self.state = self.read_headers
        if self.buf:
            yield from self.state(events.DataReceived(self.conn, b""))

    def _upstream_closes(self) -> bool:
        assert self.response is not None  # noqa: S101 - it is complete
        data = self.response.data
        if data.http_version == b"HTTP/1.1" and not header(data.headers.fields, b"connection"):
            return False
        return bool(http1.connection_close(self.response.http_version, self.response.headers))

    def _only_chunk(self) -> bytes:
        """Take what has come if it is one chunk and no more, as events of streams are; else return nothing.

        h11 reads the same, in three times the time.
        """
        reader, came = self.body_reader, self.buf._data  # noqa: SLF001 - its own ways copy it several times
        if not isinstance(reader, ChunkedReader) or not came.endswith(b"\r\n"):
            return b""
        if reader._bytes_in_chunk or reader._bytes_to_discard or reader._reading_trailer:  # noqa: SLF001 - no way to ask
            return b""  # it is in the middle of one
        line = _SIZE.match(came)
        if line is None or line.end() + (size := int(line[1], 16)) + len(_END) != len(came) or not size:
            return b""  # the last one, which is empty, ends the body
        piece = bytes(came[line.end() : -len(_END)])
        self.buf.maybe_extract_at_most(len(came))
        return piece

    def _fail(self, message: str) -> layer.CommandGenerator[None]:
        yield commands.CloseConnection(self.conn)
        if self.stream_id is not None:
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, message, ErrorCode.GENERIC_SERVER_ERROR))


def _unasked_encoding(event: HttpEvent) -> str:
    """Return how the body of an answer that costs something is encoded, empty where it is plain or there is none."""
    if not isinstance(event, ResponseHeaders) or event.end_stream or event.response.status_code >= 300:  # noqa: PLR2004
        return ""
    return unasked_encoding(event.response.data.headers.fields)


def _interim_status(head: bytes) -> bytes:
    """Return the status of an answer that is not the final one, as far as it has come; empty for any other."""
    return head[9:12] if head[:10] in (b"HTTP/1.1 1", b"HTTP/1.0 1") else b""
