"""The guard's handler of one client connection, with the connections to upstreams that serve it. See `guard`."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from functools import partial
from types import SimpleNamespace
from typing import Any

from mitmproxy.connection import Connection, ConnectionState
from mitmproxy.master import Master
from mitmproxy.proxy import commands, events, mode_specs, server, server_hooks
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler
from mitmproxy.utils import asyncio_utils

from modelfence.wire.first_request import ReadAgain
from modelfence.wire.guard import GuardedHttpLayer
from modelfence.wire.guard_arrivals import Arrivals
from modelfence.wire.guard_bounds import Bounds, Room
from modelfence.wire.guard_deadline import Deadline, DeadlinePassed, FenceStops
from modelfence.wire.guard_stream import Hooks, WaitForStep, WaitHook

log = logging.getLogger(__name__)

UNREAD_S = 30.0
"""How long a connection that was closed may take to read what was written."""
READ_ON_S = 1.0
"""How long an upstream is read once its client has left in the middle of an answer."""


class GuardedHandler(ProxyConnectionHandler):
    """One client connection."""

    def __init__(  # noqa: PLR0913, PLR0917 - mitmproxy's own, and the guard's
        self,
        master: Master,
        reader: ReadAgain,
        writer: asyncio.StreamWriter,
        mode: mode_specs.ProxyMode,
        bounds: Bounds,
        hooks: Hooks,
        room: Room,
        options: SimpleNamespace,
    ) -> None:
        super().__init__(master, reader, writer, options, mode)  # type: ignore[no-untyped-call]
        self._writer = writer
        context = self.layer.context
        # A place to start from; every request names its own upstream before a connection is made.
        context.server.address = ("upstream.invalid", 80)
        self._cut = hooks.connection_cut
        self._deadline = Deadline(self._end_late)
        self.layer = self._http = GuardedHttpLayer(context, bounds, hooks, room=room, deadline=self._deadline)
        self._due: deque[events.Event] = deque()
        self._is_serving = False
        self._paying: set[asyncio.Task[Any]] = set()
        """Steps of streams that are being paid."""
        self._held: set[asyncio.Task[None]] = set()
        """What reads on from connections once that may be."""

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """Leave a hook that is none of the fence's to mitmproxy's list of addons."""
        if isinstance(hook, server_hooks.ClientDisconnectedHook):
            await self._read_on()
        await super().handle_hook(hook)

    async def server_event(self, event: events.Event) -> None:
        """Serve an event."""
        self._serve(event)

    def _serve(self, event: events.Event) -> None:
        """Serve an event: at once, or after the one that is being served.

        It may come from a task that began in the middle of that one, and ran at once.
        """
        self._due.append(event)
        if self._is_serving:
            return
        self._is_serving = True
        try:
            while self._due:
                self._serve_now(self._due.popleft())
        finally:
            self._is_serving = False

    def _serve_now(self, event: events.Event) -> None:
        self.timeout_watchdog.register_activity()
        try:
            for command in self._http.handle_event(event):
                self._follow(command)
        except Exception:
            # Nobody knows how far it came, so nothing more of the connection is passed on.
            log.exception("serving a connection of %s failed, so it is closed", self.client.peername[0])
            self.end()

    def _follow(self, command: commands.Command) -> None:
        """Do what mitmproxy's own `server_event` does with a command, without a task for each wait and each turn."""
        if isinstance(command, commands.SendData):
            io = self.transports.get(command.connection)
            if io is not None and io.writer is not None and not io.writer.is_closing():
                io.writer.write(command.data)
        elif isinstance(command, WaitHook):
            self.timeout_watchdog.blocker += 1
            self.timeout_watchdog.can_timeout.clear()
            if isinstance(command, WaitForStep):
                self._paying.add(command.running)
                command.running.add_done_callback(self._paying.discard)
            command.running.add_done_callback(lambda running: self._go_on(command, running))
        elif isinstance(command, commands.RequestWakeup):  # asked for by the guard alone, and never for later
            asyncio.get_running_loop().call_soon(self._serve, events.Wakeup(command))
        else:
            self._follow_on(command)

    def _follow_on(self, command: commands.Command) -> None:
        if isinstance(command, commands.OpenConnection):
            opening = self._begin(self.open_connection(command), f"connection to {command.connection.address}")
            self.transports[command.connection] = server.ConnectionIO(handler=opening)
        elif isinstance(command, commands.CloseConnection):
            if command.connection in self.transports:
                half = isinstance(command, commands.CloseTcpConnection) and command.half_close
                self.close_connection(command.connection, half)
        elif isinstance(command, commands.StartHook):
            self._begin(self.hook_task(command), f"handle_hook({command.name})", keep_ref=True)
        elif isinstance(command, commands.Log):
            self.log(command.message, command.level)
        else:
            raise TypeError(f"unexpected command: {command}")

    def _go_on(self, hook: WaitHook, running: asyncio.Task[Any]) -> None:
        """Go on after a hook of the fence."""
        watchdog = self.timeout_watchdog
        watchdog.blocker -= 1
        if not watchdog.blocker:
            watchdog.register_activity()
            watchdog.can_timeout.set()
        running.result()  # it never raises; if it did, this would end here, with nothing sent on
        self._serve(events.HookCompleted(hook))

    def _begin(self, work: Coroutine[Any, Any, None], name: str, *, keep_ref: bool = False) -> asyncio.Task[None]:
        return asyncio_utils.create_task(work, name=name, keep_ref=keep_ref, client=self.client.peername)

    def _arrived(self, connection: Connection, data: bytes) -> None:
        """Serve what came, and read on once what was read is written, and paid: the rest stays with who sends it."""
        if connection.state is ConnectionState.CLOSED:
            return
        self._serve(events.DataReceived(connection, data))
        if self._is_held_up and connection in self.transports:
            writing: Any = self.transports[connection].writer
            writing.transport.pause_reading()
            held = asyncio.create_task(self._read_again(writing.transport))
            self._held.add(held)
            held.add_done_callback(self._held.discard)

    async def _read_again(self, transport: asyncio.ReadTransport) -> None:
        await self.drain_writers()
        transport.resume_reading()

    async def _read_on(self) -> None:
        """Leave time to learn what open answers cost.

        Its client has left, and what mitmproxy does next is to cancel what reads from its upstreams: to their streams
        that is the end, whether they have learned it or not.
        """
        answering = [stream.context.server for stream in self._http.streams.values() if stream.is_answering]
        reading = [io.handler for server, io in self.transports.items() if server in answering and io.handler]
        if reading:
            # What it has not taken by now it does not get: until it had, nothing more would be read.
            self._writer.transport.abort()
            await asyncio.wait(reading, timeout=READ_ON_S)

    @property
    def _is_held_up(self) -> bool:
        """Something is not written yet, or not paid."""
        if self._paying:
            return True
        for io in self.transports.values():
            writer: Any = io.writer
            if writer is not None and (writer.transport.get_write_buffer_size() or writer.is_closing()):
                return True
        return False

    async def drain_writers(self) -> None:
        """Return once what was read is written, and paid."""
        if self._is_held_up:
            await super().drain_writers()  # type: ignore[no-untyped-call]
        while self._paying:
            await asyncio.wait(self._paying)

    async def handle_connection(self, connection: Connection) -> None:
        """Serve a connection to its end, and see that it is closed and known to be."""
        io: Any = self.transports[connection]
        writing: Any = io.writer
        io.reader = Arrivals(io.reader, partial(self._arrived, connection))
        try:
            # mitmproxy makes tasks that begin at once, and notes them after that. What was read by now, or the end of
            # it, would be served before there is a task to be ended.
            await asyncio.sleep(0)
            await super().handle_connection(connection)
        finally:
            if connection is self.client:
                self._deadline.end()
                self._http.client_side.leave_room()
                if writing is not None and self._http.client_side.left_idle:
                    writing.transport.abort()  # over TLS it would wait for a goodbye that few pools look for
            if writing is not None and writing.transport.get_write_buffer_size():
                # Closed it stays open until that is taken, which may be never.
                asyncio.get_running_loop().call_later(UNREAD_S, writing.transport.abort)
            if connection in self.transports:
                connection.state = ConnectionState.CLOSED
                writer = self.transports.pop(connection).writer
                if writer is not None:
                    writer.close()
                # A task of its own, because this one may be cancelled again.
                await asyncio.shield(asyncio.create_task(self.server_event(events.ConnectionClosed(connection))))

    def _end_late(self) -> None:
        asyncio_utils.create_task(self.server_event(DeadlinePassed()), name="deadline", keep_ref=True)

    async def on_timeout(self) -> None:
        """Count a connection on which nothing has moved for too long, and end it."""
        self._cut("idle_s")
        await super().on_timeout()

    def drain(self, idle_s: float) -> None:
        """Close after the next answer; or when the client has asked for nothing in so many seconds."""
        self._http.client_side.drain(idle_s)

    def end_in_words(self) -> None:
        """End what is under way: a stream with the last words of its API, what is not answered yet with a refusal."""
        asyncio_utils.create_task(self.server_event(FenceStops()), name="fence stops", keep_ref=True)

    def end(self) -> None:
        """Close the connection as if the client had left."""
        transport = self.transports.get(self.client)
        if transport and transport.handler:
            transport.handler.cancel("the fence ends it")
        else:
            self.client.error = "the fence ends it"  # looked at before the connection is served
