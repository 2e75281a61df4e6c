"""The guard's view of one request and its answer. See `guard` for what it changes, and why."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from mitmproxy import http
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    HttpErrorHook,
    HttpEvent,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
    HttpStream,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    RequestTrailers,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
    SendHttp,
)

from modelfence.wire.guard_bounds import Bounds
from modelfence.wire.guard_deadline import FenceStops
from modelfence.wire.guard_http1 import LastResponseHeaders

READ_ON_BYTES = 256 << 10
"""What is still read of an answer whose client has left. The last event of a `responses` stream repeats its text."""
_WAITED_FOR = (HttpRequestHook, HttpErrorHook)
_OF_A_REQUEST = (RequestHeaders, RequestData, RequestTrailers, RequestEndOfMessage)
_OF_AN_ANSWER = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage)
_FROM_UPSTREAM = (*_OF_AN_ANSWER, ResponseProtocolError)


class Hooks(Protocol):
    """mitmproxy's HTTP hooks. None of them raises."""

    def requestheaders(self, flow: http.HTTPFlow, /) -> None: ...

    async def request(self, flow: http.HTTPFlow, /) -> None: ...

    def responseheaders(self, flow: http.HTTPFlow, /) -> None: ...

    def response(self, flow: http.HTTPFlow, /) -> None:
        """Begin to settle; the end of the answer and the next request do not wait for that."""
        ...

    async def error(self, flow: http.HTTPFlow, /) -> None: ...

    def next_step(self, flow: http.HTTPFlow, /) -> Coroutine[Any, Any, bool] | None:
        """Return what pays for the next step of a stream and says whether it may go on; None while it needs none."""
        ...

    def is_stream(self, flow: http.HTTPFlow, /) -> bool:
        """Say whether what passes is a stream, which can be ended between two of its events."""
        ...

    def end_stream(self, flow: http.HTTPFlow, /) -> None: ...

    def client_left(self, flow: http.HTTPFlow, /) -> None: ...

    def awaits_usage(self, flow: http.HTTPFlow, /) -> bool:
        """Say whether what is still to come of an answer may tell what it cost."""
        ...

    def connection_cut(self, reason: str) -> None:
        """See a connection refused or cut for the limit of that name."""
        ...

    def refuse(self, status: int, message: str, target: str, client: Connection | None = None) -> http.Response:
        """Return a refusal in the shape of the API that the target, empty when unknown, is for.

        With `client` it may name the call that is being answered on that connection.
        """
        ...


@dataclass
class WaitHook(commands.StartHook):
    """Waits for a hook of the fence that did not end at once."""

    name = "modelfence_wait"
    running: asyncio.Task[None] | asyncio.Task[bool]


class WaitForStep(WaitHook):
    """Waits for a step of a stream to be paid; nothing more is read from its upstream meanwhile."""


@dataclass
class StepDue(HttpEvent):
    """The next step of a stream is to be paid, before anything else comes from its upstream."""

    paying: Coroutine[Any, Any, bool]


class GuardedStream(HttpStream):
    """One request and its answer."""

    def __init__(self, context: Context, stream_id: int, bounds: Bounds, hooks: Hooks) -> None:
        super().__init__(context, stream_id)
        self._bounds = bounds
        self._hooks = hooks
        self._is_over = False
        self._client_left: RequestProtocolError | None = None
        """Why nobody reads any more what the upstream still sends; it is only counted."""
        self._unread_bytes = 0

    @property
    def is_answering(self) -> bool:
        """Its answer has begun to pass, and is not over."""
        return self.server_state == self.state_stream_response_body and not self._is_over

    @property
    def can_end_here(self) -> bool:
        """Its client is reading a stream, which can be ended in the API's own words."""
        return self.is_answering and self._client_left is None and self._hooks.is_stream(self.flow)

    @property
    def passes_straight_on(self) -> bool:
        """A piece of its answer may go by `pass_on`: nothing waits, and nobody has left."""
        return self.is_answering and self._client_left is None and self._paused is None

    def let_go_of_itself(self) -> None:
        """Hold itself no more, once nothing is to come: else all of a call waits for the garbage collector.

        Every two hundred calls that took 5 ms, in which nobody was served.
        """
        if self._paused is None:
            self.context.layers.clear()
            self.client_state = self.server_state = _nothing_to_come

    def pass_on(self, data: bytes) -> tuple[bytes, StepDue | None]:
        """Return what goes on to the client of a piece of the answer, and what is to be paid after that.

        It does what `state_stream_response_body` does, without a dozen generators for each event of a stream.
        """
        assert self.flow.response is not None  # noqa: S101 - its answer has begun
        assert callable(self.flow.response.stream)  # noqa: S101 - an answer is streamed through its meter
        passed = self.flow.response.stream(data)
        paying = self._hooks.next_step(self.flow)
        goes_on = passed if isinstance(passed, bytes) else b"".join(passed)
        return goes_on, None if paying is None else StepDue(self.stream_id, paying)

    def _steps(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Return what follows from an event."""
        if self._is_over and isinstance(event, _FROM_UPSTREAM):
            return _nothing()  # what it had sent already, and that its connection was closed
        if isinstance(event, StepDue):
            return self._pay(event.paying)
        if isinstance(event, FenceStops):
            # Unless it came to its end while the event waited.
            return self._end_stream("the fence stops") if self.can_end_here else _nothing()
        steps: layer.CommandGenerator[None]
        if isinstance(event, _OF_A_REQUEST):
            steps = self.client_state(event)
        elif isinstance(event, _OF_AN_ANSWER):
            steps = self.server_state(event)
        else:
            steps = super()._handle_event(event)
        return steps

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        steps = self._steps(event)
        reply: Any = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration:
                return
            reply = None
            if not isinstance(command, commands.StartHook):
                reply = yield command
            elif isinstance(command, HttpRequestHeadersHook):
                self._hooks.requestheaders(command.flow)
            elif isinstance(command, HttpResponseHeadersHook):
                self._hooks.responseheaders(command.flow)
            elif isinstance(command, HttpResponseHook):
                self._hooks.response(command.flow)
            elif isinstance(command, _WAITED_FOR):
                hook = getattr(self._hooks, command.name)
                running = asyncio.Task(hook(command.flow), loop=asyncio.get_running_loop(), eager_start=True)
                if running.done():
                    running.result()  # it never raises; if it did, this would end here, with nothing sent on
                else:
                    yield WaitHook(running)
            else:
                reply = yield command

    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:  # noqa: FBT001 - mitmproxy's own
        """Answer at once when `requestheaders` has set a response: the first moment mitmproxy gives us after it."""
        if (yield from super().check_killed(emit_error_hook)):
            if self.context.server.connected:
                # What is left of the upstream's answer must not meet the next request.
                error = RequestProtocolError(self.stream_id, "killed", ErrorCode.KILL)
                yield SendHttp(error, self.context.server)
            yield DropStream(self.stream_id)
            return True
        if self.client_state == self.state_wait_for_request_headers and self.flow.response is not None:
            yield from self._respond_now(self.flow.response)
            return True
        return False

    def check_body_size(self, request: bool) -> layer.CommandGenerator[bool]:  # noqa: ARG002, FBT001 - mitmproxy's own
        """Leave sizes to the guard's own bounds: mitmproxy's options for them are never set."""
        yield from ()
        return False

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Gather the body, within bounds."""
        if isinstance(event, RequestData):
            size = len(self.request_body_buf) + len(event.data)
            if size > self._bounds.request_bytes:
                self.request_body_buf.clear()
                yield from self._respond_now(self._hooks.refuse(413, "The body is too large.", self.flow.request.path))
                return
        yield from super().state_consume_request_body(event)

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        """Find a connection to the upstream; none for a call that ended while it was made.

        Its client has been answered, or has left: what the upstream would do now is done for nobody, and done again
        when the client asks again.
        """
        made = yield from super().make_server_connection()
        return made and not (yield from self.check_killed(True))

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Pass on a piece of the answer; then pay for the next step of a stream, or end it."""
        if self._client_left is not None:
            yield from self._read_on(event)
            return
        yield from super().state_stream_response_body(event)
        paying = self._hooks.next_step(self.flow) if isinstance(event, ResponseData) else None
        if paying is not None:
            yield from self._pay(paying)

    def _pay(self, paying: Coroutine[Any, Any, bool]) -> layer.CommandGenerator[None]:
        running = asyncio.Task(paying, loop=asyncio.get_running_loop(), eager_start=True)
        if not running.done():
            yield WaitForStep(running)
        if running.cancelled() or not running.result():
            yield from self._end_stream("the budget is used up")

    def _end_stream(self, reason: str) -> layer.CommandGenerator[None]:
        """End the answer towards the client as if the upstream had, whose connection is closed first."""
        self._is_over = True
        error = RequestProtocolError(self.stream_id, reason, ErrorCode.CANCEL)
        yield SendHttp(error, self.context.server)
        self._hooks.end_stream(self.flow)
        yield from super().state_stream_response_body(ResponseEndOfMessage(self.stream_id))

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """Tell who ended it before it is settled. A client who leaves an answer does not leave its price unread.

        What it cost stands at its very end, and tokens that a model thinks without showing them stand nowhere else:
        whoever left after the last word that he wanted would not be charged for them.
        """
        if isinstance(event, RequestProtocolError):
            self._hooks.client_left(self.flow)
            if self.is_answering and self._hooks.awaits_usage(self.flow):
                self._client_left = event
                return
        if self._client_left is not None:
            yield from self._let_go(self._client_left)
        else:
            yield from super().handle_protocol_error(event)

    def _read_on(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Count what comes for a client who has left, until it is known what it cost. The handler bounds the time."""
        assert self._client_left is not None  # noqa: S101 - it is why this is called
        if isinstance(event, ResponseData):
            self._unread_bytes += len(event.data)
            if self.flow.response is not None and callable(self.flow.response.stream):
                self.flow.response.stream(event.data)  # counted; what it returns goes nowhere
            if self._unread_bytes < READ_ON_BYTES and self._hooks.awaits_usage(self.flow):
                return
        yield from self._let_go(self._client_left)

    def _let_go(self, left: RequestProtocolError) -> layer.CommandGenerator[None]:
        """Close the upstream of a client who has left, and settle."""
        self._is_over = True
        yield from super().handle_protocol_error(left)

    def _respond_now(self, response: http.Response) -> layer.CommandGenerator[None]:
        """Answer without waiting for the rest of the body, which is thrown away as it comes.

        It does not come by the response hooks: there is nothing to count or settle.
        """
        self.flow.response = response
        response.timestamp_start = response.timestamp_end = time.time()
        headers = LastResponseHeaders if self._is_too_much_to_wait_for() else ResponseHeaders
        content = response.raw_content or b""
        yield SendHttp(headers(self.stream_id, response, not content), self.context.client)
        if content:
            yield SendHttp(ResponseData(self.stream_id, content), self.context.client)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield DropStream(self.stream_id)
        yield SendHttp(ResponseEndOfMessage(self.stream_id), self.context.client)

    def _is_too_much_to_wait_for(self) -> bool:
        """Say whether the rest of the body is long, or may never come because the client asked first."""
        headers = self.flow.request.headers
        length = headers.get("content-length", "")
        return "expect" in headers or (length.isdecimal() and int(length) > self._bounds.request_bytes)


def _nothing_to_come(event: events.Event) -> layer.CommandGenerator[None]:
    raise AssertionError(f"a request that is over met {event}")


def _nothing() -> layer.CommandGenerator[None]:
    yield from ()
