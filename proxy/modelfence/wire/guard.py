"""The guard: mitmproxy's internals, made fit to face a hostile client. The only module that subclasses them.

What it changes, each because of something mitmproxy 12.2 does:

* A head is checked byte by byte before it is parsed, and is bounded: mitmproxy forgives bare line ends and folded
  lines and buffers a head without end.
* A response set in `requestheaders` is sent at once and the body is read and thrown away; mitmproxy waits for
  all of it.
* A body is bounded while it arrives, also when it is chunked.
* mitmproxy's own refusals are answered in the API's error shape, not as HTML with the address of the upstream in it.
* Trailers end a request with 400; mitmproxy's parser crashes and leaves the connection hanging.
* A failed or closed upstream connection is forgotten; mitmproxy answers every later request of that client with the
  first failure, and keeps a record of each connection for as long as the client stays.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from mitmproxy import http, version
from mitmproxy.connection import ConnectionState, Server
from mitmproxy.master import Master
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer, mode_specs
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    GetHttpConnection,
    HttpEvent,
    HttpLayer,
    HTTPMode,
    HttpResponseHeadersHook,
    HttpResponseHook,
    HttpStream,
    RequestData,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Server
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from modelfence.core.dialect import MalformedRequestError
from modelfence.wire.sanitise import check_raw_head

log = logging.getLogger(__name__)

TESTED_VERSIONS = ("12.2.3",)
PIPELINED_BYTES = 64 << 10
"""What a client may send ahead of the answer to its last request."""

type Refuse = Callable[[int, str], http.Response]
"""Makes a refusal in the API's shape from a status and a sentence."""

_WORDS = {
    400: "The request is malformed.",
    413: "The request is too large.",
    502: "The upstream API could not be reached, or its answer could not be read.",
}


def require_tested_version() -> None:
    """Raise RuntimeError unless this mitmproxy is one whose internals the guard was tested with."""
    if version.VERSION not in TESTED_VERSIONS:
        message = f"mitmproxy {version.VERSION} is not one of the tested versions: {', '.join(TESTED_VERSIONS)}"
        raise RuntimeError(message)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most a request may take, in bytes."""

    head_bytes: int
    request_bytes: int


class GuardedHttp1Server(Http1Server):
    """HTTP/1 towards the client: strict heads, bounded buffers, refusals in the API's shape."""

    def __init__(self, context: Context, bounds: Bounds, refuse: Refuse) -> None:
        super().__init__(context)
        self._bounds = bounds
        self._refuse = refuse

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Parse the next head, once its bytes have been checked."""
        if isinstance(event, events.DataReceived):
            try:
                complete = check_raw_head(bytes(self.buf), max_bytes=self._bounds.head_bytes)
            except MalformedRequestError as error:
                yield from self._end_with(error.status, error.message)
                return
            if not complete:
                return
        yield from super().read_headers(event)

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Read the body; trailers, which the parser does not know, end the request."""
        try:
            yield from super().read_body(event)
        except NotImplementedError:
            yield from self._end_with(400, "Trailers are not accepted.")
            yield ReceiveHttp(RequestProtocolError(self.stream_id, "trailers", ErrorCode.GENERIC_CLIENT_ERROR))

    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Hold back what the client sends before its answer is complete, within bounds."""
        if isinstance(event, events.DataReceived) and len(self.buf) > PIPELINED_BYTES:
            self.state = self.done
            yield commands.CloseConnection(self.conn)
            yield ReceiveHttp(RequestProtocolError(self.stream_id, "pipelined", ErrorCode.CLIENT_DISCONNECTED))
            return
        yield from super().wait(event)

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        """Send an answer; a failure before it has begun becomes a refusal in the API's shape."""
        if isinstance(event, ResponseProtocolError) and self.response is None and event.stream_id == self.stream_id:
            status = event.code.http_status_code()
            if status is not None:
                log.info("answering %s: %s", status, event.message)
                yield from self._end_with(status, _WORDS.get(status, _WORDS[400]))
                return
        yield from super().send(event)

    def _end_with(self, status: int, message: str) -> layer.CommandGenerator[None]:
        self.state = self.done
        if self.conn.state & ConnectionState.CAN_WRITE:
            response = self._refuse(status, message)
            response.headers["connection"] = "close"
            yield commands.SendData(self.conn, http1.assemble_response(response))
            yield commands.CloseConnection(self.conn)


class GuardedStream(HttpStream):
    """One request and its answer."""

    def __init__(self, context: Context, stream_id: int, bounds: Bounds, refuse: Refuse) -> None:
        super().__init__(context, stream_id)
        self._bounds = bounds
        self._refuse = refuse

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:  # noqa: FBT001 - mitmproxy's own
        """Answer at once when `requestheaders` has set a response: the first moment mitmproxy gives us after it."""
        if (yield from super().check_killed(emit_error_hook)):
            return True
        if self.client_state == self.state_wait_for_request_headers and self.flow.response is not None:
            yield from self._respond_now(self.flow.response)
            return True
        return False

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Gather the body, within bounds."""
        if isinstance(event, RequestData):
            size = len(self.request_body_buf) + len(event.data)
            if size > self._bounds.request_bytes:
                self.request_body_buf.clear()
                yield from self._respond_now(self._refuse(413, "The body is too large."))
                return
        yield from super().state_consume_request_body(event)

    def _respond_now(self, response: http.Response) -> layer.CommandGenerator[None]:
        """Answer without waiting for the rest of the body, which is thrown away as it comes."""
        self.flow.response = response
        response.stream = False
        response.timestamp_start = time.time()
        yield HttpResponseHeadersHook(self.flow)
        response.timestamp_end = time.time()
        yield HttpResponseHook(self.flow)
        content = response.raw_content or b""
        yield SendHttp(ResponseHeaders(self.stream_id, response, not content), self.context.client)
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)


class GuardedHttpLayer(HttpLayer):
    """All requests of one client connection."""

    def __init__(self, context: Context, bounds: Bounds, refuse: Refuse) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._bounds = bounds
        self._refuse = refuse
        # mitmproxy leaves a connection that is already there in place.
        self.connections[context.client] = GuardedHttp1Server(context.fork(), bounds, refuse)

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """Begin a request."""
        self.streams[stream_id] = GuardedStream(self.context.fork(), stream_id, self._bounds, self._refuse)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def get_connection(self, event: GetHttpConnection, *, reuse: bool = True) -> layer.CommandGenerator[None]:
        """Find or open an upstream connection, after forgetting those that are no more."""
        for connection in tuple(self.connections):
            gone = connection.state is ConnectionState.CLOSED and connection not in self.waiting_for_establishment
            if isinstance(connection, Server) and gone:
                del self.connections[connection]
        yield from super().get_connection(event, reuse=reuse)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            return  # the last word of a connection that was forgotten
        yield from super()._handle_event(event)


class GuardedHandler(ProxyConnectionHandler):
    """One client connection."""

    def __init__(  # noqa: PLR0913, PLR0917 - mitmproxy's own, and the guard's
        self,
        master: Master,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        mode: mode_specs.ProxyMode,
        bounds: Bounds,
        refuse: Refuse,
    ) -> None:
        super().__init__(master, reader, writer, master.options, mode)
        context = self.layer.context
        # A place to start from; every request names its own upstream before a connection is made.
        context.server.address = ("upstream.invalid", 80)
        self.layer = GuardedHttpLayer(context, bounds, refuse)

    def end(self) -> None:
        """Close the connection as if the client had left."""
        transport = self.transports.get(self.client)
        if transport and transport.handler:
            transport.handler.cancel("the fence stops")
