"""An HTTP server for a few people on a listening socket, in the running event loop: every wait and size has a bound."""

import socket
from collections import deque

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.netutil import add_accept_handler
from tornado.web import Application

IDLE_S = 60.0
CONNECTIONS = 100
"""Open at once. For one more the oldest is closed: whoever holds connections must not keep others out."""


class BoundedServer:
    """Serves an application."""

    def __init__(
        self, listening: socket.socket, application: Application, *, max_head_bytes: int, max_body_bytes: int
    ) -> None:
        self._socket = listening
        self._server = HTTPServer(
            application,
            idle_connection_timeout=IDLE_S,
            body_timeout=IDLE_S,
            max_body_size=max_body_bytes,
            max_header_size=max_head_bytes,
        )
        self._connections: deque[IOStream] = deque()
        """The oldest first."""

    def start(self) -> None:
        """Start to serve in the running event loop."""
        self._stop_accepting = add_accept_handler(self._socket, self._admit)

    def _admit(self, connection: socket.socket, address: tuple[object, ...]) -> None:
        self._connections = deque(one for one in self._connections if not one.closed())
        if len(self._connections) >= CONNECTIONS:
            self._connections.popleft().close()
        self._connections.append(IOStream(connection))
        self._server.handle_stream(self._connections[-1], address)

    async def stop(self) -> None:
        """Stop serving."""
        self._stop_accepting()
        self._socket.close()
        await self._server.close_all_connections()
