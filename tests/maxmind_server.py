"""A stand-in for MaxMind's downloads: one host that asks who is there and redirects, and a storage that does not."""

import base64
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate, mktime_tz, parsedate_tz
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MODIFIED_S = 1_790_000_000.0


def archive(members: Mapping[str, bytes | None]) -> bytes:
    """Return a .tar.gz of files; None is a symbolic link to /etc/passwd."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(content or b"")
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


@dataclass
class MaxMind:
    """What is published, and what was asked for. `status` answers everything with that status instead."""

    url: str = ""
    storage: str = ""
    archives: dict[str, bytes] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    modified_s: float = MODIFIED_S
    status: int | None = None
    raw: bytes = b""
    """What it says instead of an answer."""
    location: str | None = None
    """Where it redirects to instead of the storage."""
    modified: str | None = None
    """How it says when that was, in words of its own."""
    may_end: threading.Event = field(default_factory=threading.Event)
    """Until then an answer of the storage is not complete."""
    credentials: str = "42:license"
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Of each: who was asked, for what, and as whom."""

    def publish(self, edition: str, database: bytes) -> None:
        folder = f"{edition}_20261124"
        self.archives[edition] = archive({f"{folder}/LICENSE.txt": b"x", f"{folder}/{edition}.mmdb": database})

    def checksum(self, edition: str) -> str:
        digest = hashlib.sha256(self.archives[edition]).hexdigest()
        return self.checksums.get(edition, f"{digest}  {edition}_20261124.tar.gz\n")


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        maxmind = self.server.maxmind
        address = urlsplit(self.path)
        whom = self.headers["authorization"]
        if address.path.startswith("/stored/"):
            maxmind.requests.append(("storage", address.path, whom))
            self._stored(address.path.removeprefix("/stored/"))
            return
        maxmind.requests.append(("maxmind", f"{address.path}?{address.query}", whom))
        edition, suffix = address.path.split("/")[3], parse_qs(address.query)["suffix"][0]
        expected = "Basic " + base64.b64encode(maxmind.credentials.encode()).decode()
        if maxmind.raw:
            self.wfile.write(maxmind.raw)
        elif maxmind.status is not None or whom != expected:
            self._answer(maxmind.status or 401, b"no")
        elif edition not in maxmind.archives:
            self._answer(404, b"no")
        elif suffix == "tar.gz.sha256":
            self._answer(200, maxmind.checksum(edition).encode())
        else:
            self._answer(302, b"", location=maxmind.location or f"{maxmind.storage}/stored/{edition}")

    def _stored(self, edition: str) -> None:
        maxmind = self.server.maxmind
        since = parsedate_tz(self.headers["if-modified-since"] or "")
        if since and mktime_tz(since) >= maxmind.modified_s:
            self._answer(304, b"")
            return
        modified = maxmind.modified or formatdate(maxmind.modified_s, usegmt=True)
        self._answer(200, maxmind.archives[edition], **{"last-modified": modified})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:10])
        if self.path.startswith("/stored/"):
            self.server.maxmind.may_end.wait(30)
        self.wfile.write(body[10:])

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name in the library


class Server(ThreadingHTTPServer):
    def __init__(self, maxmind: MaxMind) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.maxmind = maxmind


@contextmanager
def serving() -> Iterator[MaxMind]:
    """Serve both hosts on free ports."""
    maxmind = MaxMind()
    maxmind.may_end.set()
    servers = [Server(maxmind) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}) for server in servers]
    for thread in threads:
        thread.start()
    maxmind.url, maxmind.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    try:
        yield maxmind
    finally:
        maxmind.may_end.set()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()
