"""The operators' port: is it alive, is it ready, what does it count. Never on the customers' port.

It is served by the event loop it tells of: the supervisor's, or where there is none the proxy's own.
"""

import json
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from tornado.web import Application, RequestHandler

from modelfence.adapters.bounded_server import BoundedServer
from modelfence.core.unavailable import UnavailableError

MAX_REQUEST_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether calls can be served."""

    missing: Mapping[str, str]
    """What keeps them from being served, by part; nothing when it is ready."""
    states: Mapping[str, object]
    """In which state parts are that may be in several, such as the store's circuit breaker."""


type AsksReadiness = Callable[[], Awaitable[Readiness]]

type Liveness = Callable[[], bool]
"""Says whether somebody is there to serve calls, ready or not."""

type Render = Callable[[], bytes]
"""Returns the metrics in the text format."""

type Cohorts = Callable[[], Awaitable[Sequence[Mapping[str, object]]]]
"""Lists the cohorts of accounts; raises UnavailableError."""


class AdminServer:
    """/livez, /readyz, /metrics and /cohorts on a listening socket."""

    def __init__(
        self,
        listening: socket.socket,
        *,
        render: Render,
        liveness: Liveness,
        readiness: AsksReadiness,
        cohorts: Cohorts,
    ) -> None:
        routes: list[tuple[str, type[RequestHandler], dict[str, object]]] = [
            ("/livez", _Live, {"liveness": liveness}),
            ("/readyz", _Ready, {"readiness": readiness}),
            ("/metrics", _Metrics, {"render": render}),
            ("/cohorts", _Cohorts, {"cohorts": cohorts}),
        ]
        application = Application(routes, default_handler_class=_Nothing, log_function=lambda _: None)
        self._server = BoundedServer(
            listening, application, max_head_bytes=MAX_REQUEST_BYTES, max_body_bytes=MAX_REQUEST_BYTES
        )

    def start(self) -> None:
        """Start to serve in the running event loop."""
        self._server.start()

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()


class _Plain(RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.clear_header("Server")


class _Live(_Plain):
    def initialize(self, liveness: Liveness) -> None:
        self._liveness = liveness

    def get(self) -> None:
        alive = self._liveness()
        self.set_status(200 if alive else 503)
        self.write("alive\n" if alive else "silent\n")


class _Ready(_Plain):
    def initialize(self, readiness: AsksReadiness) -> None:
        self._readiness = readiness

    async def get(self) -> None:
        readiness = await self._readiness()
        self.set_header("Content-Type", "application/json")
        self.set_status(503 if readiness.missing else 200)
        answer = {"ready": not readiness.missing, "missing": dict(readiness.missing), **readiness.states}
        self.write(json.dumps(answer) + "\n")


class _Metrics(_Plain):
    def initialize(self, render: Render) -> None:
        self._render = render

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write(self._render())


class _Cohorts(_Plain):
    def initialize(self, cohorts: Cohorts) -> None:
        self._cohorts = cohorts

    async def get(self) -> None:
        try:
            rows = await self._cohorts()
        except UnavailableError as error:
            self.set_status(503)
            self.write(f"the evidence can't be had: {error}\n")
            return
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(list(rows)) + "\n")


class _Nothing(_Plain):
    def prepare(self) -> None:
        self.set_status(404)
        self.finish("There is /livez, /readyz, /metrics and /cohorts here.\n")
