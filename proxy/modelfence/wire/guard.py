"""The guard: mitmproxy's internals, made fit to face a hostile client. Only it and `guard_http1` subclass them.

What it changes, each because of something mitmproxy 12.2 does:

* A response set in `requestheaders` is sent at once and the body is read and thrown away, within bounds; mitmproxy
  waits for all of it.
* A flow that is killed takes its upstream connection along; mitmproxy would give the next request the rest of its
  answer.
* A body is bounded while it arrives, also when it is chunked.
* A failed or closed upstream connection is forgotten; mitmproxy answers every later request of that client with the
  first failure, and keeps a record of each connection for as long as the client stays.
* A connection that is to be closed while its next bytes wait their turn is closed; mitmproxy's task ends without doing
  so, and whoever floods a connection could leave it open, and its call unsettled, for ever.
* A stream whose budget is used up is ended between two pieces, with the last words of its API, and its upstream
  connection closed; mitmproxy can only cut both sides. While a step is being paid, nothing more is read for it.
* Hooks go straight to the fence, not through mitmproxy's list of addons, and run on the spot as far as they need not
  wait; what one event has to say to a connection is said in one write.
"""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from mitmproxy import http, version
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.master import Master
from mitmproxy.proxy import commands, events, layer, mode_specs, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    ErrorCode,
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpClient,
    HttpErrorHook,
    HttpLayer,
    HTTPMode,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
    HttpStream,
    RegisterHttpConnection,
    RequestData,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
    ResponseProtocolError,
    ResponseTrailers,
    SendHttp,
)
from mitmproxy.proxy.layers.tls import ServerTLSLayer
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from modelfence.wire.guard_http1 import Bounds, GuardedHttp1Client, GuardedHttp1Server, LastResponseHeaders

__all__ = ["Bounds", "GuardedHandler", "Hooks", "require_tested_version"]

_FROM_UPSTREAM = (ResponseHeaders, ResponseData, ResponseTrailers, ResponseEndOfMessage, ResponseProtocolError)
TESTED_VERSIONS = ("12.2.3",)


class Hooks(Protocol):
    """mitmproxy's HTTP hooks. None of them raises."""

    def requestheaders(self, flow: http.HTTPFlow, /) -> None: ...

    async def request(self, flow: http.HTTPFlow, /) -> None: ...

    def responseheaders(self, flow: http.HTTPFlow, /) -> None: ...

    async def response(self, flow: http.HTTPFlow, /) -> None: ...

    async def error(self, flow: http.HTTPFlow, /) -> None: ...

    def next_step(self, flow: http.HTTPFlow, /) -> Coroutine[Any, Any, bool] | None:
        """Return what pays for the next step of a stream and says whether it may go on; None while it needs none."""
        ...

    def end_stream(self, flow: http.HTTPFlow, /) -> None: ...

    def client_left(self, flow: http.HTTPFlow, /) -> None: ...

    def refuse(self, status: int, message: str, target: str) -> http.Response:
        """Return a refusal in the shape of the API that the target, empty when unknown, is for."""
        ...


def require_tested_version() -> None:
    """Raise RuntimeError unless this mitmproxy is one whose internals the guard was tested with."""
    if version.VERSION not in TESTED_VERSIONS:
        message = f"mitmproxy {version.VERSION} is not one of the tested versions: {', '.join(TESTED_VERSIONS)}"
        raise RuntimeError(message)


@dataclass
class WaitHook(commands.StartHook):
    """Waits for a hook of the fence that did not end at once."""

    name = "modelfence_wait"
    running: asyncio.Task[None] | asyncio.Task[bool]


class WaitForStep(WaitHook):
    """Waits for a step of a stream to be paid; nothing more is read from its upstream meanwhile."""


class GuardedStream(HttpStream):
    """One request and its answer."""

    def __init__(self, context: Context, stream_id: int, bounds: Bounds, hooks: Hooks) -> None:
        super().__init__(context, stream_id)
        self._bounds = bounds
        self._hooks = hooks
        self._is_cut = False

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self._is_cut and isinstance(event, _FROM_UPSTREAM):
            return  # what it had sent already, and that its connection was closed
        steps = super()._handle_event(event)
        reply: Any = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration:
                return
            reply = None
            if isinstance(command, HttpRequestHeadersHook):
                self._hooks.requestheaders(command.flow)
            elif isinstance(command, HttpResponseHeadersHook):
                self._hooks.responseheaders(command.flow)
            elif isinstance(command, HttpRequestHook | HttpResponseHook | HttpErrorHook):
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

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Gather the body, within bounds."""
        if isinstance(event, RequestData):
            size = len(self.request_body_buf) + len(event.data)
            if size > self._bounds.request_bytes:
                self.request_body_buf.clear()
                yield from self._respond_now(self._hooks.refuse(413, "The body is too large.", self.flow.request.path))
                return
        yield from super().state_consume_request_body(event)

    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Pass on a piece of the answer; then pay for the next step of a stream, or end it."""
        yield from super().state_stream_response_body(event)
        paying = self._hooks.next_step(self.flow) if isinstance(event, ResponseData) else None
        if paying is None:
            return
        running = asyncio.Task(paying, loop=asyncio.get_running_loop(), eager_start=True)
        if not running.done():
            yield WaitForStep(running)
        if running.cancelled() or not running.result():
            yield from self._end_stream()

    def _end_stream(self) -> layer.CommandGenerator[None]:
        """End the answer towards the client as if the upstream had, whose connection is closed first."""
        self._is_cut = True
        error = RequestProtocolError(self.stream_id, "the budget is used up", ErrorCode.CANCEL)
        yield SendHttp(error, self.context.server)
        self._hooks.end_stream(self.flow)
        yield from super().state_stream_response_body(ResponseEndOfMessage(self.stream_id))

    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        """Tell who ended it before it is settled."""
        if isinstance(event, RequestProtocolError):
            self._hooks.client_left(self.flow)
        yield from super().handle_protocol_error(event)

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


class GuardedHttpClient(HttpClient):
    """A connection to the upstream."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        error = yield commands.OpenConnection(self.context.server)
        if not error:
            self.child_layer = GuardedHttp1Client(self.context)
            self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]
            yield from self._handle_event(event)
        yield RegisterHttpConnection(self.context.server, error)


class GuardedHttpLayer(HttpLayer):
    """All requests of one client connection."""

    def __init__(self, context: Context, bounds: Bounds, hooks: Hooks) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._bounds = bounds
        self._hooks = hooks
        self.paying: set[asyncio.Task[Any]] = set()
        """Steps of streams that are being paid."""
        # mitmproxy leaves a connection that is already there in place.
        self.connections[context.client] = GuardedHttp1Server(context.fork(), bounds, hooks.refuse)

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """Begin a request."""
        self.streams[stream_id] = GuardedStream(self.context.fork(), stream_id, self._bounds, self._hooks)
        yield from self.event_to_child(self.streams[stream_id], events.Start())

    def get_connection(
        self,
        event: GetHttpConnection,
        *,
        reuse: bool = True,  # noqa: ARG002 - mitmproxy's own, for HTTP/2
    ) -> layer.CommandGenerator[None]:
        """Find or open an upstream connection, after forgetting those that are no more."""
        upstreams = [connection for connection in self.connections if isinstance(connection, Server)]
        for connection in upstreams:
            if connection in self.waiting_for_establishment:
                continue
            is_open = connection.state is ConnectionState.OPEN and not connection.error
            if is_open and event.connection_spec_matches(connection):
                stream = self.command_sources.pop(event)
                yield from self.event_to_child(stream, GetHttpConnectionCompleted(event, (connection, None)))
                return
            if connection.state is ConnectionState.CLOSED:
                del self.connections[connection]
        context = self.context.fork()
        context.server = Server(address=event.address)
        stack = tunnel.LayerStack()
        if event.tls:
            context.server.sni = event.address[0]
            stack /= ServerTLSLayer(context)
        stack /= GuardedHttpClient(context)
        self.connections[context.server] = stack[0]
        self.waiting_for_establishment[context.server].append(event)
        yield from self.event_to_child(stack[0], events.Start())

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.ConnectionEvent) and event.connection not in self.connections:
            return  # the last word of a connection that was forgotten
        held: list[bytes] = []
        held_for: Connection | None = None
        for command in super()._handle_event(event):
            if isinstance(command, commands.SendData):
                if held_for is not None and command.connection is not held_for:
                    yield commands.SendData(held_for, b"".join(held))
                    held = []
                held_for = command.connection
                held.append(command.data)
                continue
            if isinstance(command, commands.CloseConnection) and held_for is not None:
                yield commands.SendData(held_for, b"".join(held))
                held, held_for = [], None
            if isinstance(command, WaitForStep):
                self.paying.add(command.running)
                command.running.add_done_callback(self.paying.discard)
            yield command
        if held_for is not None:
            yield commands.SendData(held_for, b"".join(held))


class GuardedHandler(ProxyConnectionHandler):
    """One client connection."""

    def __init__(  # noqa: PLR0913, PLR0917 - mitmproxy's own, and the guard's
        self,
        master: Master,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        mode: mode_specs.ProxyMode,
        bounds: Bounds,
        hooks: Hooks,
    ) -> None:
        super().__init__(master, reader, writer, master.options, mode)  # type: ignore[no-untyped-call]
        context = self.layer.context
        # A place to start from; every request names its own upstream before a connection is made.
        context.server.address = ("upstream.invalid", 80)
        self.layer = self._http = GuardedHttpLayer(context, bounds, hooks)

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Wait for a hook of the fence; leave any other to mitmproxy's list of addons."""
        if not isinstance(hook, WaitHook):
            await super().handle_hook(hook)
            return
        with self.timeout_watchdog.disarm():
            await hook.running

    async def drain_writers(self) -> None:
        """Read on once what was read is written, and paid: what an upstream sends meanwhile stays with it."""
        await super().drain_writers()  # type: ignore[no-untyped-call]
        while self._http.paying:
            await asyncio.wait(self._http.paying)

    async def handle_connection(self, connection: Connection) -> None:
        """Serve a connection to its end, and see that it is closed and known to be."""
        try:
            await super().handle_connection(connection)
        finally:
            if connection in self.transports:
                connection.state = ConnectionState.CLOSED
                writer = self.transports.pop(connection).writer
                if writer is not None:
                    writer.close()
                # A task of its own, because this one may be cancelled again.
                await asyncio.shield(asyncio.create_task(self.server_event(events.ConnectionClosed(connection))))

    def end(self) -> None:
        """Close the connection as if the client had left."""
        transport = self.transports.get(self.client)
        if transport and transport.handler:
            transport.handler.cancel("the fence stops")
        else:
            self.client.error = "the fence stops"  # looked at before the connection is served
