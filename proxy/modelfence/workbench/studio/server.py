"""The studio's HTTP server: a page and its parts for everybody on this machine, answers for whoever has the token.

The page, its script and its styles are the same for all and hold nothing of the author's. They are read once at the
start and served from memory, so that no path that is asked for is ever looked up.
"""

import secrets
import socket
from importlib.resources import files as resources

from tornado.web import Application

from modelfence.adapters.bounded_server import BoundedServer
from modelfence.workbench.studio.protection import Guarded, Identity, LongQuestion, Nothing, Question
from modelfence.workbench.studio.questions import Questions

MAX_HEAD_BYTES = 16 << 10
MAX_BODY_BYTES = 16 << 20
_NONCE = "{{nonce}}"
_TYPES = {
    "studio.js": "text/javascript; charset=utf-8",
    "studio.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "world.json": "application/json",
    "licences.txt": "text/plain; charset=utf-8",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


class Studio:
    """Serves the page, and answers it, on a listening socket."""

    def __init__(self, listening: socket.socket, identity: Identity, questions: Questions) -> None:
        static = resources("modelfence.workbench.studio") / "static"
        page = (static / "index.html").read_text()
        own = {"identity": identity}
        application = Application(
            [
                ("/", _Page, {**own, "page": page}),
                *(
                    (f"/{name}", _Part, {**own, "data": (static / name).read_bytes(), "content_type": content_type})
                    for name, content_type in _TYPES.items()
                ),
                *((f"/api/{name}", Question, {**own, "ask": ask}) for name, ask in questions.short.items()),
                *((f"/api/{name}", LongQuestion, {**own, "ask": ask}) for name, ask in questions.long.items()),
            ],
            default_handler_class=Nothing,
            default_handler_args=own,
            log_function=lambda _: None,
        )
        self._server = BoundedServer(
            listening, application, max_head_bytes=MAX_HEAD_BYTES, max_body_bytes=MAX_BODY_BYTES
        )

    def start(self) -> None:
        """Start to serve in the running event loop."""
        self._server.start()

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()


class _Page(Guarded):
    """The page. Its editor makes styles while it runs, and may do so by a word that changes with every answer."""

    def initialize(self, identity: Identity, *, page: str, **_: object) -> None:  # type: ignore[override]
        super().initialize(identity)
        self._page = page

    def get(self) -> None:
        nonce = secrets.token_urlsafe(16)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Content-Security-Policy", _POLICY.format(nonce=nonce))
        self.finish(self._page.replace(_NONCE, nonce))


class _Part(Guarded):
    """A file the page is made of."""

    def initialize(self, identity: Identity, *, data: bytes, content_type: str, **_: object) -> None:  # type: ignore[override]
        super().initialize(identity)
        self._data = data
        self._content_type = content_type

    def get(self) -> None:
        self.set_header("Content-Type", self._content_type)
        self.finish(self._data)
