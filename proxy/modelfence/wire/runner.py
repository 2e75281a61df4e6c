"""The proxy, embedded: mitmproxy's master with only the addons it needs, and a listening socket of our own."""

import asyncio
import logging
import socket
from typing import Any

from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.master import Master
from mitmproxy.proxy import mode_specs

from modelfence.wire.addon import FenceAddon
from modelfence.wire.guard import Bounds, GuardedHandler, require_tested_version
from modelfence.wire.guard_doors import STATUS, WORDS, Doors

log = logging.getLogger(__name__)

BACKLOG = 1024
ACCEPTS_AT_ONCE = 16
STOP_DEADLINE_S = 5.0
"""How long connections get to close once the fence stops."""
_MODE = mode_specs.ProxyMode.parse("reverse:http://upstream.invalid")


class _UpstreamTls(TlsConfig):
    """TLS towards the upstream, certificates verified. The rest of mitmproxy's addon makes a certificate authority."""

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
    """The fence on one listening socket. Use `start`, then `stop`; both once."""

    def __init__(self, addon: FenceAddon, listening: socket.socket, *, bounds: Bounds, idle_s: int) -> None:
        """Raises RuntimeError for a version of mitmproxy the guard was not tested with."""
        require_tested_version()
        self._addon = addon
        self._socket = listening
        self._bounds = bounds
        self._doors = Doors(bounds.connections, bounds.connections_per_address, bounds.proxies)
        self._idle_s = idle_s
        self._handlers: set[GuardedHandler] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._master: Master | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to serve; return when connections are accepted."""
        # mitmproxy tells of every connection; what the fence refuses is in its own metrics.
        logging.getLogger("mitmproxy").setLevel(logging.WARNING)
        self._master = Master(options.Options())
        started = _Started()
        self._master.addons.add(_ProxyOptions(), _UpstreamTls(), self._addon, started)
        self._master.options.update(
            connection_strategy="lazy",
            http2=False,
            websocket=False,
            rawtcp=False,
            keep_host_header=True,  # the host is judged as it came, and replaced by the addon
            tcp_timeout=self._idle_s,
            validate_inbound_headers=True,
        )
        self._running = asyncio.create_task(self._master.run())
        await started.event.wait()
        # asyncio accepts that many at a go, and logs each one that fails for want of file descriptors.
        self._server = await asyncio.start_server(self._on_client, sock=self._socket, backlog=ACCEPTS_AT_ONCE)
        self._socket.listen(BACKLOG)

    async def stop(self) -> None:
        """Stop accepting, end the connections, and settle what was under way, all within a deadline."""
        if self._server is None or self._master is None or self._running is None:
            return
        self._server.close()
        for handler in tuple(self._handlers):
            handler.end()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                while self._connections:
                    await asyncio.wait(self._connections)
                await self._addon.all_settled()
        except TimeoutError:
            log.warning("connections did not end, or were not settled, within %s s", STOP_DEADLINE_S)
        self._master.shutdown()
        await self._running

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.current_task()
        assert connection is not None  # noqa: S101 - asyncio's server makes it one
        address = str((writer.get_extra_info("peername") or ("",))[0])
        limit = self._doors.enter(address)
        self._connections.add(connection)
        try:
            if limit is None:
                await self._serve(reader, writer)
            else:
                self._addon.connection_cut(limit)
                refusal = self._addon.refuse(STATUS[limit], WORDS[limit], "")
                await self._doors.turn_away(reader, writer, refusal)
        finally:
            self._connections.discard(connection)
            if limit is None:
                self._doors.leave(address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._master is not None  # noqa: S101 - connections come only after start
        handler = GuardedHandler(self._master, reader, writer, _MODE, bounds=self._bounds, hooks=self._addon)
        self._handlers.add(handler)
        try:
            await handler.handle_client()
        finally:
            self._handlers.discard(handler)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket. Raises OSError when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns off Nagle's algorithm; else each event of a stream waits for the last one's
    # acknowledgement, which clients delay by 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening
