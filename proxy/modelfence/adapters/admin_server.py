"""The operators' port: is it alive, is it ready, what does it count. Never on the customers' port.

It is served by the proxy's own event loop, so that a loop that hangs does not look alive.
"""

import json
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from modelfence.adapters.prometheus_metrics import PrometheusMetrics
from modelfence.core.unavailable import UnavailableError

IDLE_S = 60.0
MAX_REQUEST_BYTES = 16 << 10

type Readiness = Callable[[], Awaitable[Mapping[str, str]]]
"""Says what keeps the fence from serving, by part; nothing when it is ready."""

type States = Callable[[], Mapping[str, str]]
"""Says in which state parts are that may be in several, such as the store's circuit breaker."""


type Cohorts = Callable[[], Awaitable[Sequence[Mapping[str, object]]]]
"""Lists the cohorts of accounts; raises UnavailableError."""


class AdminServer:
    """/livez, /readyz, /metrics and /cohorts on a listening socket."""

    def __init__(
        self,
        listening: socket.socket,
        metrics: PrometheusMetrics,
        *,
        readiness: Readiness,
        states: States,
        cohorts: Cohorts,
    ) -> None:
        routes: list[tuple[str, type[RequestHandler]] | tuple[str, type[RequestHandler], dict[str, object]]] = [
            ("/livez", _Live),
            ("/readyz", _Ready, {"readiness": readiness, "states": states}),
            ("/metrics", _Metrics, {"metrics": metrics}),
            ("/cohorts", _Cohorts, {"cohorts": cohorts}),
        ]
        application = Application(routes, default_handler_class=_Nothing, log_function=lambda _: None)
        self._socket = listening
        self._server = HTTPServer(
            application,
            idle_connection_timeout=IDLE_S,
            body_timeout=IDLE_S,
            max_body_size=MAX_REQUEST_BYTES,
            max_header_size=MAX_REQUEST_BYTES,
        )

    def start(self) -> None:
        """Start to serve in the running event loop."""
        self._server.add_socket(self._socket)

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Plain(RequestHandler):
    def set_default_headers(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.clear_header("Server")


class _Live(_Plain):
    def get(self) -> None:
        self.write("alive\n")


class _Ready(_Plain):
    def initialize(self, readiness: Readiness, states: States) -> None:
        self._readiness = readiness
        self._states = states

    async def get(self) -> None:
        missing = await self._readiness()
        self.set_header("Content-Type", "application/json")
        self.set_status(503 if missing else 200)
        self.write(json.dumps({"ready": not missing, "missing": dict(missing), **self._states()}) + "\n")


class _Metrics(_Plain):
    def initialize(self, metrics: PrometheusMetrics) -> None:
        self._metrics = metrics

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.write(self._metrics.render())


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
