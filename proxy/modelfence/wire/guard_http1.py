"""The guard's HTTP/1 towards clients: strict and bounded, forgiving nothing that could be read in two ways.

Against what mitmproxy 12.2 does:

* A head is checked byte by byte before it is parsed, and is bounded; mitmproxy forgives bare line ends and folded lines
  and buffers without end. Chunks are read by `guard_chunks`.
* Head, body, the wait for an answer and the answer itself each have a deadline; mitmproxy ends a connection only when
  nothing moves at all.
* Whatever can't be read is answered in the API's error shape, and the connection lingers so that the answer arrives;
  mitmproxy answers with HTML that tells its version, or closes without a word.
* Trailers end a request with 400; mitmproxy crashes on them and leaves the connection hanging.
* An answer to HEAD has no body, whoever made it; mitmproxy would send the fence's own, and the client would take it for
  the next answer.
* `Connection: close` and HTTP/1.0 are what the client asked for, also after its headers were replaced; what concerns
  the upstream's connection only stays there.
* A failed upstream costs the client its request, not its connection.

A client that closes its sending side has left: TCP tells a client that died in no other way, and what is generated for
nobody costs money. Whoever half-closes after the request gets no answer.

Once the fence stops, an answer whose head has not been sent says `Connection: close`, and a connection that waits for a
request is closed after a grace: a client that takes its connections from a pool sees none reset.
"""

import logging
from collections.abc import Callable

import h11
from mitmproxy import http
from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.net.http import http1
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    ErrorCode,
    HttpEvent,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._http1 import Http1Server, make_body_reader

from modelfence.core.dialect import MalformedRequestError
from modelfence.wire.guard_bounds import Bounds, Room
from modelfence.wire.guard_chunks import ChunkReader
from modelfence.wire.guard_deadline import Deadline, DeadlinePassed, FenceStops
from modelfence.wire.sanitise import HeadCheck, closes_connection, for_client, framing, header

log = logging.getLogger(__name__)

PIPELINED_BYTES = 64 << 10
"""What a client may send ahead of the answer to its last request."""
LINGER_S = 5.0
"""How long a connection that is being closed still takes what the client was about to send."""

type Refuse = Callable[[int, str, str, Connection], http.Response]
"""Makes a refusal in the API's shape from a status, a sentence, the request's target, if it is known, and who asked."""
type Cut = Callable[[str], None]
"""Counts a connection that is refused or cut, by the limit that it met."""

_WORDS = {
    408: "The request took too long to arrive.",
    502: "The upstream API could not be reached, or its answer could not be read.",
    503: "The service can't check this request right now; try again shortly.",
    504: "The upstream API took too long to answer.",
}
_MALFORMED = "The request is malformed."
_STOPPING = "The service is being restarted; try again shortly."
_WITHOUT_BODY = (204, 304)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class LastResponseHeaders(ResponseHeaders):
    """An answer after which the connection is closed."""


class GuardedHttp1Server(Http1Server):
    """HTTP/1 towards the client."""

    def __init__(  # noqa: PLR0913 - what a client meets, by keyword
        self, context: Context, bounds: Bounds, refuse: Refuse, *, room: Room, deadline: Deadline, cut: Cut
    ) -> None:
        super().__init__(context)
        self._bounds = bounds
        self._room = room
        self._held_bytes = 0
        self._refuse = refuse
        self._deadline = deadline
        self._cut = cut
        self._head = HeadCheck(bounds.head_bytes, bounds.headers)
        self._turn: commands.RequestWakeup | None = None
        self._target = ""
        self._http10 = False
        self._closes = False
        self._last_idle_s: float | None = None
        """How long it may wait for its last request, once the fence stops."""
        self._waits_for_last = False
        """That is what the deadline is for."""
        self._chunked = False
        self._discarded_bytes = 0

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Serve an event. Nothing here ever waits, so that what mitmproxy does to hold events back is left out."""
        if isinstance(event, events.DataReceived):
            self.buf += event.data
            steps: layer.CommandGenerator[None] = self.state(event)
            return steps
        return self._handle_event(event)

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, DeadlinePassed):
            yield from self._end_late()
        elif isinstance(event, FenceStops):
            yield from self._end_now()
        elif not isinstance(event, events.Wakeup):
            yield from super()._handle_event(event)
        elif event.command is self._turn and self.state == self.read_headers and self.buf:
            yield from self.read_headers(events.DataReceived(self.conn, b""))

    def drain(self, idle_s: float) -> None:
        """Close after the answer to the next request; at once, when none has begun to arrive in so many seconds."""
        self._last_idle_s = idle_s
        if self.state in (self.start, self.read_headers) and not self.buf:
            self._wait_for_last()

    def close_after_answer(self) -> None:
        """Close as soon as the answer under way is over, whatever its head said."""
        self._closes = True

    def read_headers(self, event: events.ConnectionEvent) -> layer.CommandGenerator[None]:
        """Parse the next head, once its bytes have been checked."""
        if not isinstance(event, events.DataReceived):
            yield from self._close()  # and what it has sent ahead is let go
            return
        try:
            if not self._head.complete(bytes(self.buf)):
                if self.buf and (self._waits_for_last or not self._deadline.is_set):
                    self._waits_for_last = False
                    self._deadline.set(self._bounds.head_s)
                return
            lines = [bytes(line) for line in self.buf.maybe_extract_lines() or ()]
            request = http1.read_request_head(lines)
            size = framing(request.data.http_version, request.data.headers.fields)
        except (MalformedRequestError, ValueError) as error:
            status = error.status if isinstance(error, MalformedRequestError) else 400
            yield from self._end_with(status, str(error) if isinstance(error, MalformedRequestError) else _MALFORMED)
            return
        self._waits_for_last = False
        self._deadline.set(self._bounds.body_s)
        self._head = HeadCheck(self._bounds.head_bytes, self._bounds.headers)
        self._discarded_bytes = 0
        self._target = request.path
        self._http10 = not request.is_http11
        self._closes = self._http10 or closes_connection(request.data.headers.fields)
        self.request = request
        self.body_reader = (
            ChunkReader(self._bounds.head_bytes) if size is None else make_body_reader(size)  # type: ignore[assignment]
        )
        self.state = self.read_body
        yield ReceiveHttp(RequestHeaders(self.stream_id, request, size == 0))
        yield from self.state(event)

    def read_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Read the body, as far as it has come."""
        if not isinstance(event, events.DataReceived):
            yield from super().read_body(event)
            return
        while self.state == self.read_body:
            try:
                part = self.body_reader(self.buf)
            except MalformedRequestError as error:
                yield from self._break_off(error.message)
                return
            if part is None:
                return
            if isinstance(part, h11.EndOfMessage):
                yield ReceiveHttp(RequestEndOfMessage(self.stream_id))
                if self.state == self.read_body:
                    yield from self.mark_done(request=True)
                return
            yield from self._take(bytes(part.data))

    def wait(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Hold back what the client sends before its answer is complete, within bounds."""
        if isinstance(event, events.DataReceived) and len(self.buf) > PIPELINED_BYTES:
            yield from self._cut_off("sent_ahead")
            return
        yield from super().wait(event)

    def linger(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Throw away what still comes: closing at once would reset the connection and lose the answer."""
        if isinstance(event, events.DataReceived):
            self._discarded_bytes += len(self.buf.maybe_extract_at_most(len(self.buf)) or b"")
        if isinstance(event, events.ConnectionClosed) or self._discarded_bytes > self._bounds.request_bytes:
            yield from self._close()

    def send(self, event: HttpEvent) -> layer.CommandGenerator[None]:
        """Send an answer; a failure before it has begun becomes a refusal in the API's shape."""
        if self.state in (self.linger, self.done):
            return
        if isinstance(event, ResponseData):
            if event.data and self._answer_has_body():
                framed = b"%x\r\n%s\r\n" % (len(event.data), event.data) if self._chunked else event.data
                yield commands.SendData(self.conn, framed)
        elif isinstance(event, ResponseHeaders):
            if event.response.status_code == 100:  # noqa: PLR2004 - mitmproxy's own; not yet the answer
                if not self._http10:
                    yield commands.SendData(self.conn, _CONTINUE)
                return
            self._closes = self._closes or isinstance(event, LastResponseHeaders)
            yield from self._send_head(event.response)
        elif isinstance(event, ResponseEndOfMessage):
            if self._chunked and self._answer_has_body():
                yield commands.SendData(self.conn, b"0\r\n\r\n")
            yield from self.mark_done(response=True)
        elif isinstance(event, ResponseProtocolError) and self.response is None:
            yield from self._send_failure(event)
        else:
            yield from self._close()

    def mark_done(self, *, request: bool = False, response: bool = False) -> layer.CommandGenerator[None]:
        """Go on to the next request once this one and its answer are complete."""
        self.request_done = self.request_done or request
        self.response_done = self.response_done or response
        if self.request_done and self.response_done:
            self._deadline.drop()
            self.leave_room()
            if self._closes:
                yield from self._close()
                return
            self.request_done = self.response_done = False
            self.request = self.response = None
            self.stream_id += 2
            self.state = self.read_headers
            if self.buf:
                # Not at once: a thousand pipelined requests would nest a thousand deep.
                self._turn = commands.RequestWakeup(0)
                yield self._turn
            elif self._is_draining:
                self._wait_for_last()
        elif self.request_done:
            self._deadline.set(self._bounds.first_byte_s if self.response is None else self._bounds.answer_s)
            self.state = self.wait
        elif self._closes:
            yield from self._linger()

    @property
    def left_idle(self) -> bool:
        """It was closed because no last request came."""
        return self._waits_for_last and self.state == self.done

    @property
    def _is_draining(self) -> bool:
        return self._last_idle_s is not None

    def _wait_for_last(self) -> None:
        if self._last_idle_s is not None:
            self._waits_for_last = True
            self._deadline.set(self._last_idle_s)

    def leave_room(self) -> None:
        """Count the body as held no more; its request is over."""
        self._room.give_back(self._held_bytes)
        self._held_bytes = 0

    def _take(self, data: bytes) -> layer.CommandGenerator[None]:
        if not self.response_done:
            if not self._room.take(len(data)):
                self._cut("held_bytes")
                yield from self._break_off("The service has too much to read at once; try again shortly.", status=503)
                return
            self._held_bytes += len(data)
            yield ReceiveHttp(RequestData(self.stream_id, data))
            return
        self._discarded_bytes += len(data)
        if self._discarded_bytes > self._bounds.request_bytes:
            yield from self._close()

    def _send_head(self, response: http.Response) -> layer.CommandGenerator[None]:
        data = response.data
        self._chunked = not self._http10 and "chunked" in header(data.headers.fields, b"transfer-encoding").lower()
        self._closes = self._closes or self._is_draining or not (self._chunked or self._ends_by_itself(response))
        fields = for_client(data.headers.fields, closes=self._closes, http10=self._http10)
        if data.http_version != b"HTTP/1.1" or len(fields) != len(data.headers.fields) or self._closes:
            # A copy: what the upstream said about its connection is still to be read by mitmproxy.
            headers = http.Headers(fields)
            response = http.Response(b"HTTP/1.1", data.status_code, data.reason, headers, None, None, 0, None)
        self.response = response
        if self.request_done:
            self._deadline.set(self._bounds.answer_s)
        yield commands.SendData(self.conn, http1.assemble_response_head(self.response))

    def _send_failure(self, event: ResponseProtocolError) -> layer.CommandGenerator[None]:
        if not self.conn.state & ConnectionState.CAN_WRITE:
            return
        # A flow that was killed before its answer began is one that the fence itself failed with.
        status = event.code.http_status_code() or 503
        log.info("answering %s: %s", status, event.message)
        if status < 500 or not self.request_done:  # noqa: PLR2004
            yield from self._end_with(status, _WORDS.get(status, _MALFORMED))
            return
        response = self._refuse(status, _WORDS[status], self._target, self.conn)
        yield from self._send_head(response)
        if self._answer_has_body():
            yield commands.SendData(self.conn, response.raw_content or b"")
        yield from self.mark_done(response=True)

    def _ends_by_itself(self, response: http.Response) -> bool:
        """Say whether an answer that is not in chunks ends before its connection does. RFC 9112, section 6.3."""
        if not self._answer_has_body() or response.status_code in _WITHOUT_BODY:
            return True
        return header(response.data.headers.fields, b"content-length") != ""

    def _answer_has_body(self) -> bool:
        if self.request is not None and self.request.data.method == b"HEAD":
            return False
        return self.response is None or self.response.status_code not in _WITHOUT_BODY

    def _break_off(self, message: str, *, status: int = 400) -> layer.CommandGenerator[None]:
        """End a request before its answer has begun."""
        yield from self._end_with(status, message)
        yield from self._client_left(message)

    def _end_late(self) -> layer.CommandGenerator[None]:
        """End what took too long: with a refusal, where no answer has begun."""
        if not self._deadline.has_passed:
            return  # what it was for came to its end meanwhile
        if self.state == self.linger or self._waits_for_last:
            yield from self._close()
        elif self.state == self.read_headers:
            self._cut("head_s")
            yield from self._end_with(408, _WORDS[408])
        elif self.state == self.read_body and self.response is None:
            self._cut("body_s")
            yield from self._break_off(_WORDS[408], status=408)
        elif self.state == self.wait and self.response is None:
            self._cut("first_byte_s")
            yield from self._break_off(_WORDS[504], status=504)
        elif self.state in (self.read_body, self.wait):
            yield from self._cut_off("body_s" if self.state == self.read_body else "answer_s")

    def _end_now(self) -> layer.CommandGenerator[None]:
        """End what is under way when the fence stops: with a refusal, where no answer has begun."""
        self.close_after_answer()
        if self.state == self.read_headers:
            yield from (self._end_with(503, _STOPPING) if self.buf else self._close())
        elif self.state in (self.read_body, self.wait):
            if self.response is not None:
                yield from self._cut_off("drain_s")
                return
            self._cut("drain_s")
            yield from self._break_off(_STOPPING, status=503)

    def _cut_off(self, reason: str) -> layer.CommandGenerator[None]:
        """End the connection without a word: there is no place for one."""
        self._cut(reason)
        yield from self._close()
        yield from self._client_left(reason)

    def _client_left(self, message: str) -> layer.CommandGenerator[None]:
        yield ReceiveHttp(RequestProtocolError(self.stream_id, message, ErrorCode.CLIENT_DISCONNECTED))

    def _end_with(self, status: int, message: str) -> layer.CommandGenerator[None]:
        """Refuse, if no answer has begun, and close."""
        if self.response is not None or not self.conn.state & ConnectionState.CAN_WRITE:
            yield from self._close()
            return
        response = self._refuse(status, message, self._target, self.conn)
        response.headers["connection"] = "close"
        if not self._answer_has_body():
            response.raw_content = b""
        yield commands.SendData(self.conn, http1.assemble_response(response))
        yield from self._linger()

    def _linger(self) -> layer.CommandGenerator[None]:
        self.state = self.linger
        self.leave_room()
        self._deadline.set(LINGER_S)
        yield commands.CloseTcpConnection(self.conn, half_close=True)

    def _close(self) -> layer.CommandGenerator[None]:
        self.state = self.done
        self._deadline.drop()
        self.leave_room()
        yield commands.CloseConnection(self.conn)
