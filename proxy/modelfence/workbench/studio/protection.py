"""What keeps every page but the studio's own, and every other user of this machine, away from the studio.

Each request must name this machine as its host: a name of a stranger's that was made to lead here (DNS rebinding) is
refused. Each request for something of the author's must besides carry the token of this start in a header, which no
form, image or script of another origin can set without asking first, and asking is refused. It must not come from
another origin, by what the browser itself says of it.

Why no cookie: cookies know no ports, so every server on this machine that the author's browser visits would be sent it.
The token comes to the page in the fragment of the address that is printed, which browsers send to nobody.
"""

import asyncio
import hmac
import json
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

TOKEN_HEADER = "X-Studio-Token"  # noqa: S105 - where the token stands
_SAME_ORIGIN = ("same-origin", None)
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'"

log = logging.getLogger(__name__)

type Answer = Mapping[str, object]
type Ask = Callable[[Mapping[str, Any]], Awaitable[Answer]]
"""Answers what a page asks. Raises BadRequestError."""
type AskLong = Callable[[Mapping[str, Any]], AsyncGenerator[Answer]]
"""Answers bit by bit what takes long, until it is done or the page no longer listens. Raises BadRequestError."""


class BadRequestError(Exception):
    """What was asked makes no sense. The text says why, in words for the author."""


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a request is known to be the author's."""

    port: int
    token: str

    @classmethod
    def at(cls, port: int) -> "Identity":
        """Return a new one: 256 bits that nobody can guess."""
        return cls(port, secrets.token_urlsafe(32))

    @property
    def address(self) -> str:
        """Return where the author finds the page, with the token."""
        return f"http://127.0.0.1:{self.port}/#{self.token}"

    @property
    def hosts(self) -> tuple[str, str]:
        """Return what a browser may call this machine."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"


class Guarded(RequestHandler):
    """Whatever the studio answers: to nobody who calls it by another name."""

    def initialize(self, identity: Identity, **_: object) -> None:
        """Take what all handlers need."""
        self.identity = identity

    def set_default_headers(self) -> None:
        """Say of every answer that nobody else may use it."""
        self.clear_header("Server")
        for name, value in {
            "Content-Security-Policy": _NO_PAGE,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse who calls this machine by a name that is not its own."""
        if self.request.host.lower() not in self.identity.hosts:
            raise HTTPError(HTTPStatus.MISDIRECTED_REQUEST, reason="The studio does not go by this name")

    def log_exception(self, *about: Any) -> None:
        """Tell the terminal of what is a bug of ours; a refusal is none."""
        if not isinstance(about[1], HTTPError):
            log.error("%s failed", self.request.path, exc_info=about)

    def write_error(self, status_code: int, **_: object) -> None:  # noqa: ARG002 - tornado passes it
        """Say what is wrong in one sentence, and never how the code failed."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps({"error": f"{self._reason}."}))


class Nothing(Guarded):
    """Answers what is not there."""

    def prepare(self) -> None:
        """Refuse."""
        super().prepare()
        raise HTTPError(HTTPStatus.NOT_FOUND, reason="There is nothing here")


class Api(Guarded):
    """What only the studio's own page is told. A page that hangs up is no longer worked for."""

    def initialize(self, identity: Identity, **_: object) -> None:
        """Take what all handlers need."""
        super().initialize(identity)
        self._body = bytearray()
        self._answering: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Refuse who has no token, or comes from another page: by the head, before anything of a body is kept."""
        super().prepare()
        headers = self.request.headers
        own = [f"http://{host}" for host in self.identity.hosts]
        if headers.get("Origin", own[0]) not in own or headers.get("Sec-Fetch-Site") not in _SAME_ORIGIN:
            raise HTTPError(HTTPStatus.FORBIDDEN, reason="This is for the studio's own page")
        if not hmac.compare_digest(headers.get(TOKEN_HEADER, "").encode(), self.identity.token.encode()):
            raise HTTPError(HTTPStatus.FORBIDDEN, reason="Open the address that modelfence studio has printed")

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body; the server bounds the whole."""
        self._body += chunk

    async def post(self) -> None:
        """Answer."""
        self._answering = asyncio.current_task()
        try:
            await self.answer(self.asked())
        except (asyncio.CancelledError, StreamClosedError):
            return

    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Answer what was asked."""
        raise NotImplementedError

    def on_connection_close(self) -> None:
        """Stop working for a page that is gone."""
        super().on_connection_close()
        if self._answering is not None:
            self._answering.cancel()

    def asked(self) -> Mapping[str, Any]:
        """Return what the page sent. Raises HTTPError."""
        if self.request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise HTTPError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason="This takes JSON")
        try:
            asked = json.loads(self._body)
        except (ValueError, RecursionError):
            asked = None
        if not isinstance(asked, dict):
            raise HTTPError(HTTPStatus.BAD_REQUEST, reason="This is not what the page sends")
        return asked


@stream_request_body
class Question(Api):
    """One question of the page: JSON in, JSON out."""

    def initialize(self, identity: Identity, *, ask: Ask, **_: object) -> None:  # type: ignore[override]
        """Take what answers it."""
        super().initialize(identity)
        self._ask = ask

    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Answer."""
        answer: Answer
        try:
            answer = await self._ask(asked)
        except BadRequestError as error:
            self.set_status(HTTPStatus.BAD_REQUEST)
            answer = {"error": str(error)}
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(answer))


@stream_request_body
class LongQuestion(Api):
    """A question whose answer takes long: lines of JSON as they come, ended when the page hangs up."""

    def initialize(self, identity: Identity, *, ask: AskLong, **_: object) -> None:  # type: ignore[override]
        """Take what answers it."""
        super().initialize(identity)
        self._ask = ask

    async def answer(self, asked: Mapping[str, Any]) -> None:
        """Answer."""
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            async with aclosing(self._ask(asked)) as answers:
                async for answer in answers:
                    self.write(json.dumps(answer) + "\n")
                    await self.flush()
        except BadRequestError as error:
            self.write(json.dumps({"error": str(error)}) + "\n")
