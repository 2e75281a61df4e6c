"""The guard: mitmproxy's internals, made fit to face a hostile client.

Only it, `guard_handler`, `guard_stream`, `guard_http1` and `guard_http1_upstream` subclass them.

What it changes, each because of something mitmproxy 12.2 does:

* A response set in `requestheaders` is sent at once and the body is read and thrown away, within bounds; mitmproxy
  waits for all of it.
* A flow that is killed takes its upstream connection along; mitmproxy would give the next request the rest of its
  answer.
* A call that ends while its upstream is connected to is not sent; mitmproxy sends it, for nobody.
* A body is bounded while it arrives, also when it is chunked.
* A failed or closed upstream connection is forgotten; mitmproxy answers every later request of that client with the
  first failure, and keeps a record of each connection for as long as the client stays.
* A connection that is to be closed while its next bytes wait their turn is closed; mitmproxy's task ends without doing
  so, and whoever floods a connection could leave it open, and its call unsettled, for ever.
* A connection that is closed while nobody reads what was written is cut off after a while; asyncio would keep both for
  as long as the other side answers.
* A stream whose budget is used up is ended between two pieces, with the last words of its API, and its upstream
  connection closed; mitmproxy can only cut both sides. While a step is being paid, nothing more is read for it.
* When the fence stops, streams that have not ended by its deadline end in the same way.
* The upstream of a client who leaves in the middle of an answer is read for a second more, for what the answer cost;
  mitmproxy closes it along with the client.
* A piece of an answer goes straight from its upstream to its client; mitmproxy hands it on through a dozen generators.
* Hooks go straight to the fence, not through mitmproxy's list of addons, and run on the spot as far as they need not
  wait; what one event has to say to a connection is said in one write.
* Neither the end of an answer nor the next request waits until the call is settled; mitmproxy waits for that hook.
* What comes of a connection is served in the turn of the event loop in which it comes, and so is what follows a hook;
  mitmproxy makes a task of every wait, and has all of them wait for each other.
"""

from collections.abc import Iterable
from types import SimpleNamespace

from mitmproxy import http, version
from mitmproxy.connection import Connection, ConnectionState, Server
from mitmproxy.options import Options
from mitmproxy.proxy import commands, events, layer, tunnel
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers.http import (
    DropStream,
    GetHttpConnection,
    GetHttpConnectionCompleted,
    HttpClient,
    HttpLayer,
    HTTPMode,
    HttpStream,
    RegisterHttpConnection,
    RequestHeaders,
    ResponseData,
    SendHttp,
)
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.tls import ServerTLSLayer

from modelfence.wire.guard_bounds import Bounds, Room
from modelfence.wire.guard_deadline import Deadline, DeadlinePassed, FenceStops
from modelfence.wire.guard_http1 import GuardedHttp1Server
from modelfence.wire.guard_http1_upstream import GuardedHttp1Client
from modelfence.wire.guard_stream import GuardedStream, Hooks

__all__ = [
    "Bounds",
    "GuardedHttpLayer",
    "Hooks",
    "Room",
    "as_they_are",
    "leave_types_unchecked",
    "require_tested_version",
]

TESTED_VERSIONS = ("12.2.3",)


def require_tested_version() -> None:
    """Raise RuntimeError unless this mitmproxy is one whose internals the guard was tested with."""
    if version.VERSION not in TESTED_VERSIONS:
        message = f"mitmproxy {version.VERSION} is not one of the tested versions: {', '.join(TESTED_VERSIONS)}"
        raise RuntimeError(message)


def leave_types_unchecked() -> None:
    """Keep mitmproxy from checking the types of all fields of each message that it makes, for this whole process.

    It does so for addons that put messages together by hand; what the guard and mypy see to, it finds right each time.
    """
    http.MessageData.__post_init__ = lambda _: None  # type: ignore[method-assign]


def as_they_are(options: Options) -> SimpleNamespace:
    """Return the values of options, which nobody sets any more: mitmproxy copies one deeply at each look."""
    return SimpleNamespace(**{name: getattr(options, name) for name in options.keys()})  # noqa: SIM118 - no mapping


class GuardedHttpClient(HttpClient):
    """A connection to the upstream."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        error = yield commands.OpenConnection(self.context.server)
        if not error:
            self.child_layer = GuardedHttp1Client(self.context)
            self._handle_event = self.child_layer.handle_event  # type: ignore[method-assign]
            yield from self._handle_event(event)
            self.handle_event = self.child_layer.handle_event  # type: ignore[method-assign]  # it waits no more
        yield RegisterHttpConnection(self.context.server, error)


class GuardedHttpLayer(HttpLayer):
    """All requests of one client connection."""

    def __init__(self, context: Context, bounds: Bounds, hooks: Hooks, *, room: Room, deadline: Deadline) -> None:
        super().__init__(context, HTTPMode.transparent)
        self._bounds = bounds
        self._hooks = hooks
        self.streams: dict[int, GuardedStream] = {}  # type: ignore[assignment]
        self._dropped: list[GuardedStream] = []
        # mitmproxy leaves a connection that is already there in place.
        self.client_side = GuardedHttp1Server(
            context.fork(), bounds, hooks.refuse, room=room, deadline=deadline, cut=hooks.connection_cut
        )
        self.connections[context.client] = self.client_side

    def make_stream(self, stream_id: int) -> layer.CommandGenerator[None]:
        """Begin a request."""
        # What `fork` makes, but for the record of an upstream's connection that it would make and throw away.
        context = Context.__new__(Context)
        context.client, context.server, context.options = self.context.client, self.context.server, self.context.options
        context.layers = [*self.context.layers]
        self.streams[stream_id] = GuardedStream(context, stream_id, self._bounds, self._hooks)
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

    def handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Serve an event. Only streams wait for something, so that nothing has to be held back here."""
        held: list[bytes] = []
        held_for: Connection | None = None
        for command in self._steps(event):
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
            yield command
        if held_for is not None:
            yield commands.SendData(held_for, b"".join(held))
        while self._dropped:
            self._dropped.pop().let_go_of_itself()

    def event_to_child(self, child: layer.Layer | HttpStream, event: events.Event) -> layer.CommandGenerator[None]:
        """Pass a piece of an answer straight on where that can be done; what else happens goes mitmproxy's way."""
        if isinstance(event, ResponseData) and isinstance(child, GuardedStream) and child.passes_straight_on:
            passed, due = child.pass_on(event.data)
            if passed:
                yield from self.client_side.send(ResponseData(event.stream_id, passed))
            if due is None:
                return
            event = due
        yield from self._follow(child, child.handle_event(event))

    def _follow(self, child: layer.Layer, steps: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
        """Do what mitmproxy's own `event_to_child` does with commands, looking for the most frequent ones first."""
        for command in steps:
            if isinstance(command, commands.SendData):
                yield command
            elif isinstance(command, SendHttp):
                if command.connection is self.context.client:
                    # It never waits, so that what would have it wait can be left out.
                    yield from self._follow(self.client_side, self.client_side.send(command.event))
                else:
                    yield from self.event_to_child(self.connections[command.connection], command.event)
            elif isinstance(command, ReceiveHttp):
                if isinstance(command.event, RequestHeaders):
                    yield from self.make_stream(command.event.stream_id)
                if (stream := self.streams.get(command.event.stream_id)) is not None:
                    yield from self.event_to_child(stream, command.event)
            elif isinstance(command, DropStream):
                if (stream := self.streams.pop(command.stream_id, None)) is not None:
                    self._dropped.append(stream)
            else:
                yield from self._follow_on(child, command)

    def _follow_on(self, child: layer.Layer, command: commands.Command) -> layer.CommandGenerator[None]:
        if command.blocking or isinstance(command, commands.RequestWakeup):
            self.command_sources[command] = child
        if isinstance(command, GetHttpConnection):
            yield from self.get_connection(command)
        elif isinstance(command, RegisterHttpConnection):
            yield from self.register_connection(command)
        else:
            if isinstance(command, commands.OpenConnection):
                self.connections[command.connection] = child
            yield command

    def _steps(self, event: events.Event) -> Iterable[commands.Command]:
        """Return what follows from an event."""
        if isinstance(event, events.ConnectionEvent):
            known = self.connections.get(event.connection)
            # None: the last word of a connection that was forgotten.
            return () if known is None else self._follow(known, known.handle_event(event))
        if isinstance(event, events.CommandCompleted):
            return self.event_to_child(self.command_sources.pop(event.command), event)
        return self._commands(event)

    def _commands(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, FenceStops) and (ending := [one for one in self.streams.values() if one.can_end_here]):
            self.client_side.close_after_answer()
            for stream in ending:
                yield from self.event_to_child(stream, event)
        elif isinstance(event, FenceStops | DeadlinePassed):
            yield from self.event_to_child(self.client_side, event)
        else:
            yield from super()._handle_event(event)
