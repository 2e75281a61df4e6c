"""The proxy, embedded: mitmproxy's master with only the addons it needs, and a listening socket of our own.

A connection is accepted here, says whose it is where it comes from a load balancer that is trusted to, is counted,
makes its TLS handshake, and only then becomes mitmproxy's, which never sees a byte of all that.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.master import Master
from mitmproxy.proxy import mode_specs

from modelfence.core.client_address import Network, parse_address
from modelfence.wire.addon import FenceAddon
from modelfence.wire.egress import Destination, Egress
from modelfence.wire.first_request import ReadAgain
from modelfence.wire.grace import Grace
from modelfence.wire.guard import (
    Bounds,
    Room,
    as_they_are,
    leave_types_unchecked,
    require_tested_version,
)
from modelfence.wire.guard_doors import STATUS, WORDS, Doors
from modelfence.wire.guard_handler import GuardedHandler
from modelfence.wire.proxy_protocol import WITHIN_S, Client, MalformedHeaderError, read_header
from modelfence.wire.realtime import Realtime
from modelfence.wire.tls import HANDSHAKE_S, SHUTDOWN_S, ClientWriter, ServerTls, UpstreamPins, client_certificate

log = logging.getLogger(__name__)

ACCEPT_AGAIN_S = 1.0
"""After how long it is tried again when no connection can be accepted, for want of file descriptors as a rule."""
STOP_DEADLINE_S = 5.0
"""How long connections get to close once the fence stops."""
LAST_ACCEPTS = 1024
"""How many connections are accepted when the fence stops, at most: as many as the kernel holds for it."""
DRAIN_IDLE_S = 3.0
"""How long a connection that waits for a request stays open once the fence stops: a busy client asks again sooner."""
LAST_WORDS_S = 2.0
"""How long what is ended at a drain's deadline may take to be told so."""
_MODE = mode_specs.ProxyMode.parse("reverse:http://upstream.invalid")


@dataclass(frozen=True, slots=True)
class Served:
    """What serves the requests of a connection."""

    addon: FenceAddon
    realtime: Realtime


class _UpstreamTls(TlsConfig):
    """TLS towards the upstream, certificates verified. The rest of mitmproxy's addon makes a certificate authority."""

    def __init__(self, pins: UpstreamPins) -> None:
        self._pins = pins

    def tls_start_server(self, tls_start: Any) -> None:
        """Begin a handshake. What verifies names stays; the authorities that may vouch for them are exchanged."""
        super().tls_start_server(tls_start)
        pin = self._pins.get(tls_start.conn.address)
        if pin is not None:
            tls_start.ssl_conn.set_context(pin)

    def configure(self, updated: Any) -> None: ...

    def running(self) -> None: ...

    def request(self, flow: Any) -> None: ...


class _ProxyOptions:
    """The options of mitmproxy's server, without the server: the runner owns the listening socket."""

    def load(self, loader: Any) -> None:
        Proxyserver().load(loader)


class _Started:
    """Tells when the master runs."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def running(self) -> None:
        self.event.set()


class Proxy:
    """The fence on one listening socket. Use `start`, then `drain` or `stop`, or `stop` to cut a drain short."""

    def __init__(  # noqa: PLR0913 - what a connection meets, by keyword
        self,
        served: Served,
        listening: socket.socket,
        *,
        bounds: Bounds,
        idle_s: int,
        tls: ServerTls | None = None,
        proxy_protocol_from: Sequence[Network] = (),
        pins: UpstreamPins | None = None,
        egress: Egress | None = None,
        by_destination: Mapping[Destination, Served] | None = None,
        accepts_at_once: int = 16,
    ) -> None:
        """`proxy_protocol_from` are networks whose connections begin with a header of the PROXY protocol.

        After so many connections `accepts_at_once` others get their turn: tasks, or processes with the same socket.

        With `egress` every connection asks for a tunnel, and what serves it depends on where to.

        Raises RuntimeError for a version of mitmproxy the guard was not tested with.
        """
        require_tested_version()
        leave_types_unchecked()
        self._served = served
        self._addon = served.addon
        self._egress = egress
        self._by_destination = by_destination or {}
        self._accepts_at_once = accepts_at_once
        self._socket = listening
        self._bounds = bounds
        self._doors = Doors(bounds.connections, bounds.connections_per_address, bounds.proxies)
        self._room = Room(bounds.held_bytes)
        self._idle_s = idle_s
        self._tls = tls
        self._proxy_protocol_from = proxy_protocol_from
        self._pins = pins or UpstreamPins({})
        self._grace = Grace(bounds.head_s)
        self._opening: set[asyncio.Task[None]] = set()
        """Connections that nothing would be lost with but what they wait for; they are ended by being cancelled."""
        self._handlers: set[GuardedHandler] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._last_idle_s: float | None = None
        """How long connections wait for their last request; None until the fence stops."""
        self._is_stopping = False
        self._accepting: asyncio.AbstractEventLoop | None = None
        self._master: Master | None = None
        self._options = SimpleNamespace()
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to serve; return when connections are accepted."""
        # mitmproxy tells of every connection; what the fence refuses is in its own metrics.
        logging.getLogger("mitmproxy").setLevel(logging.WARNING)
        self._master = Master(options.Options())
        started = _Started()
        self._master.addons.add(_ProxyOptions(), _UpstreamTls(self._pins), self._addon, started)
        self._master.options.update(
            connection_strategy="lazy",
            http2=False,
            websocket=False,
            rawtcp=False,
            keep_host_header=True,  # the host is judged as it came, and replaced by the addon
            tcp_timeout=self._idle_s,
            validate_inbound_headers=True,
        )
        self._options = as_they_are(self._master.options)
        self._running = asyncio.create_task(self._master.run())
        await started.event.wait()
        self._accepting = asyncio.get_running_loop()
        self._accept_from_now_on()

    async def drain(self, within_s: float, *, idle_s: float = DRAIN_IDLE_S) -> None:
        """Accept no more, and stop as soon as all that is under way has ended. Whoever is connected is told to leave.

        An answer says `Connection: close`; a connection that waits for a request is closed after `idle_s`. What is not
        over in `within_s` seconds is ended: a stream by the last words of its API, a call that is not answered yet by a
        refusal, a realtime session by its code for going away, and anything else without a word.

        Only this process lets go of the listening socket: others that have it go on accepting.
        """
        if self._accepting is None:
            return
        self._accept(self._accepting, LAST_ACCEPTS)  # where nobody else has the socket, what waits there would be reset
        self._stop_accepting()
        self._last_idle_s = idle_s
        self._grace.shorten(idle_s)
        for handler in self._handlers:
            handler.drain(idle_s)
        if not await self._all_ended(within_s):
            log.warning("%s connections are ended that were not over within %s s", len(self._connections), within_s)
            for opening in tuple(self._opening):
                opening.cancel()
            for handler in self._handlers:
                handler.end_in_words()
            await self._all_ended(LAST_WORDS_S)
        await self.stop()

    async def stop(self) -> None:
        """Stop accepting, end the connections, and settle what was under way, all within a deadline."""
        if self._is_stopping or self._master is None or self._running is None:
            return
        self._is_stopping = True
        self._stop_accepting()
        for opening in tuple(self._opening):
            opening.cancel()
        for handler in tuple(self._handlers):
            handler.end()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                while self._connections:
                    await asyncio.wait(self._connections)
                for one in (self._served, *self._by_destination.values()):
                    await one.addon.all_settled()
                    await one.realtime.all_settled()
        except TimeoutError:
            log.warning("connections did not end, or were not settled, within %s s", STOP_DEADLINE_S)
        finally:
            self._master.shutdown()
            await self._running

    async def _all_ended(self, within_s: float) -> bool:
        """Wait until no connection is left; return whether that was so in time."""
        try:
            async with asyncio.timeout(within_s):
                while self._connections:
                    await asyncio.wait(self._connections)
        except TimeoutError:
            return False
        return True

    def _stop_accepting(self) -> None:
        if self._accepting is not None:
            self._accepting.remove_reader(self._socket)
            self._accepting = None
            self._socket.close()

    def _accept_from_now_on(self) -> None:
        if self._accepting is not None:
            self._accepting.add_reader(self._socket, self._accept, self._accepting, self._accepts_at_once)

    def _accept(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        for _ in range(most):
            try:
                connection, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted for %s s: %s", ACCEPT_AGAIN_S, error.strerror)  # noqa: TRY400
                loop.remove_reader(self._socket)
                loop.call_later(ACCEPT_AGAIN_S, self._accept_from_now_on)
                return
            connection.setblocking(False)
            serving = loop.create_task(self._on_client(connection, peer[:2]))
            for tasks in (self._connections, self._opening):
                tasks.add(serving)
                serving.add_done_callback(tasks.discard)

    async def _on_client(self, connection: socket.socket, peer: Client) -> None:
        """Serve a connection from its first byte to its end."""
        limit, client = None, None
        try:
            client = await self._client_of(connection, peer)
            limit = self._doors.enter(client[0])
            if limit is not None:
                await self._turn_away(connection, client, limit)
                return
            served, context = self._served, self._tls.context if self._tls else None
            if self._egress is not None:
                destination = await self._egress.enter(
                    connection, head_bytes=self._bounds.head_bytes, grace=self._grace
                )
                if destination is None:
                    return
                served, context = self._by_destination[destination], self._egress.context(destination[0])
            reader, writer = await self._open(connection, client, context)
            try:
                client_certificate.set(writer.certificate())
                other = await served.realtime.first(
                    reader, writer, head_bytes=self._bounds.head_bytes, grace=self._grace
                )
                if other is not None:
                    self._opening.discard(_this_task())
                    await self._serve(other, writer, served.addon)
            finally:
                writer.close()  # also when the fence stops before anyone serves it
                await self._written(writer)
        except MalformedHeaderError as error:
            log.warning("closing a connection of %s: %s", peer[0], error)
            self._addon.refuse(400, "", "")  # to be counted
        except OSError as error:
            log.debug("a connection of %s did not come about: %s", peer[0], error)
        except Exception:
            log.exception("a connection ends: the fence itself failed")
        finally:
            if client is not None and limit is None:
                self._doors.leave(client[0])

    async def _client_of(self, connection: socket.socket, peer: Client) -> Client:
        """Return who is at the other end, as far as it says. Raises MalformedHeaderError and OSError."""
        address = parse_address(peer[0])
        if not any(address in network for network in self._proxy_protocol_from):
            return peer
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(WITHIN_S):
                return await read_header(lambda size: loop.sock_recv(connection, size)) or peer
        except TimeoutError:
            connection.close()
            raise MalformedHeaderError("a PROXY header did not come in time") from None
        except BaseException:
            connection.close()
            raise

    async def _open(
        self, connection: socket.socket, client: Client, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, ClientWriter]:
        """Return what reads from a client and writes to him, after the handshake. Raises OSError."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: protocol,
            connection,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S if context else None,
            ssl_shutdown_timeout=SHUTDOWN_S if context else None,
        )
        return reader, ClientWriter(transport, reader, client)

    async def _turn_away(self, connection: socket.socket, client: Client, limit: str) -> None:
        """Tell one too many so. Over TLS without a word: the handshake would be the most of the cost."""
        self._addon.connection_cut(limit)
        refusal = self._addon.refuse(STATUS[limit], WORDS[limit], "")
        if self._tls is not None:
            connection.close()
        else:
            await self._doors.turn_away(*await self._open(connection, client, None), refusal)

    async def _serve(self, reader: ReadAgain, writer: asyncio.StreamWriter, addon: FenceAddon) -> None:
        assert self._master is not None  # noqa: S101 - connections come only after start
        handler = GuardedHandler(
            self._master,
            reader,
            writer,
            _MODE,
            bounds=self._bounds,
            hooks=addon,
            room=self._room,
            options=self._options,
        )
        self._handlers.add(handler)
        if self._last_idle_s is not None:
            handler.drain(self._last_idle_s)
        try:
            await handler.handle_client()
        finally:
            self._handlers.discard(handler)

    async def _written(self, writer: asyncio.StreamWriter) -> None:
        """Wait until the client has taken what was written, which a fence that stops would take with it."""
        if not self._is_stopping:
            self._opening.add(_this_task())
            with suppress(OSError):
                await writer.wait_closed()


def _this_task() -> asyncio.Task[None]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - connections are served in tasks
    return task
