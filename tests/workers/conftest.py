"""Real fences with several workers, and callers that keep them busy."""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.cli.conftest import Running, environment_of, fetch, modelfence, start_modelfence, upstream  # noqa: F401
from tests.workers.outside import TWO, Outside, settle

from modelfence.core.call import key_digest
from modelfence.workers.supervisor import Supervisor

WITHIN_S = 30.0
PACE_S = 0.02
"""From one call of a caller to the next: workers that start need the processor, too."""
KEY = "sk-acme"
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]})
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}


@pytest.fixture
def settings(tmp_path, redis_server, upstream) -> dict[str, Any]:  # noqa: F811 - the fixture
    """Settings of two workers over a Redis, to be written with `write`."""
    account = {"id": "acme", "keys": [key_digest(KEY)], "status": "active", "tier": "basic", "country": "US"}
    (tmp_path / "accounts.yaml").write_text(json.dumps({"accounts": [account]}))
    (tmp_path / "policy.yaml").write_text(
        "version: 1\naccess:\n  - {id: customers, allow: kyc.tier > 0}\n"
        "throttle:\n  - {id: calls, key: account.id, rate: 100000 per second}\n"
    )
    host = urlsplit(upstream)
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "workers": 2,
        "policy": "policy.yaml",
        "accounts": "accounts.yaml",
        "store": redis_server.url,
        "store_prefix": f"workers-{tmp_path.name}",
        "trusted_proxies": ["127.0.0.0/8"],
        "upstreams": [{"name": "up", "dialect": "openai", "url": f"http://{host.netloc}"}],
        "limits": {"store_ms": 2000},
    }


@pytest.fixture
def write(tmp_path) -> Callable[[dict[str, Any]], Path]:
    """Writes a settings file."""

    def written(settings: dict[str, Any]) -> Path:
        file = tmp_path / "modelfence.yaml"
        file.write_text(json.dumps(settings))
        return file

    return written


def until(holds: Callable[[], object], what: str) -> None:
    """Return when it holds, looking again and again."""
    give_up_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < give_up_s, f"waited in vain: {what}"
        time.sleep(0.01)  # between two looks


class Fence:
    """A fence that runs, as operators see it."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.process = running.process
        self.customers, self.admin = (urlsplit(url) for url in (running.url, running.admin))
        # What it says later is read as it comes, or it would stop when the pipe is full.
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.running.said += line

    @property
    def said(self) -> str:
        """Return all it has said so far."""
        return self.running.said

    @property
    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        return self.running.workers()

    def ask(self, path: str) -> tuple[int, str]:
        """Ask the admin port."""
        connection = http.client.HTTPConnection(self.admin.netloc, timeout=WITHIN_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    def readiness(self) -> dict[str, Any]:
        """Return what /readyz says."""
        return json.loads(self.ask("/readyz")[1])

    def has_workers(self, serving: int) -> None:
        """Return when so many workers serve and no other process is there."""
        until(
            lambda: self.readiness()["workers"]["serving"] == serving == len(self.workers),
            f"{serving} workers that serve",
        )

    def replaces(self, victim: int) -> None:
        """Return when another process is there in place of one that has ended."""
        until(
            lambda: victim not in self.workers and len(self.workers) == self.readiness()["workers"]["wanted"],
            "a successor",
        )

    def counted(self, name: str, **labels: str) -> float:
        """Return the sum over all series of that name with these labels, in one scrape."""
        families = text_string_to_metric_families(self.ask("/metrics")[1])
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"modelfence_{name}" and labels.items() <= sample.labels.items()
        )

    def call(self, **headers: str) -> int:
        """Make a call on a connection of its own, and return the status."""
        connection = http.client.HTTPConnection(self.customers.netloc, timeout=WITHIN_S)
        connection.request("POST", "/v1/chat/completions", BODY, {**HEADERS, **headers})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def end(self) -> None:
        """Stop it, by its own id."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(WITHIN_S)
        self._reading.join(WITHIN_S)


@pytest.fixture
def start_fence(start_modelfence, write) -> Iterator[Callable[..., Fence]]:  # noqa: F811 - the fixture
    """Starts a fence with settings, and waits until all its workers serve."""
    fences: list[Fence] = []

    def start(settings: dict[str, Any], *flags: str, **variables: str) -> Fence:
        fence = Fence(start_modelfence("run", "--config", write(settings), *flags, **variables))
        fences.append(fence)
        fence.has_workers(settings["workers"])
        return fence

    yield start
    for fence in fences:
        fence.end()


class Caller(threading.Thread):
    """Calls again and again, on one connection that it keeps or on a new one each time, until it is told to stop."""

    def __init__(self, fence: Fence, *, keeps: bool) -> None:
        super().__init__()
        self._fence, self._keeps = fence, keeps
        self._told_to_stop = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self.answered = 0
        self.failures: list[tuple[float, float, str]] = []
        """Of calls that failed: when each began and ended, and how."""

    def run(self) -> None:
        while not self._told_to_stop.wait(PACE_S):
            began_s = time.monotonic()
            is_reused = self._connection is not None
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._fence.customers.netloc, timeout=WITHIN_S)
            try:
                self._connection.request("POST", "/v1/chat/completions", BODY, HEADERS)
                answer = self._connection.getresponse()
                answer.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
                self._close()
                if not is_reused:  # as all clients do, it calls again when a connection it had kept was closed
                    self.failures.append((began_s, time.monotonic(), repr(error)))
                continue
            except (http.client.HTTPException, OSError) as error:
                self._close()
                self.failures.append((began_s, time.monotonic(), repr(error)))
                continue
            if answer.status == 200:
                self.answered += 1
            else:
                self.failures.append((began_s, time.monotonic(), str(answer.status)))
            if not self._keeps or answer.will_close:
                self._close()
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def stop(self) -> None:
        """Stop after the call under way."""
        self._told_to_stop.set()
        self.join(WITHIN_S)


@contextmanager
def calling(fence: Fence, *, keeping: int = 2, renewing: int = 2) -> Iterator[Sequence[Caller]]:
    """Keep a fence busy; each caller has been answered when it begins, and once more before it ends."""
    callers = [Caller(fence, keeps=at < keeping) for at in range(keeping + renewing)]
    for caller in callers:
        caller.start()
    try:
        answered_more(callers)
        yield callers
        answered_more(callers)
    finally:
        for caller in callers:
            caller.stop()


def answered_more(callers: Sequence[Caller], more: int = 5) -> None:
    """Return when each caller has been answered so many times more."""
    before = [caller.answered for caller in callers]
    until(lambda: all(c.answered >= b + more for c, b in zip(callers, before, strict=True)), "callers to be answered")


@contextmanager
def _serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve an API that answers every call like this."""

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            answer(self)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name in the library

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def unhurried() -> Iterator[str]:
    """An API that thinks for a moment before it answers, so that there are always calls under way."""

    def think(call: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        call.send_header("content-length", "2")
        call.end_headers()
        call.wfile.write(b"{}")

    with _serving(think) as url:
        yield url


@pytest.fixture
def endless() -> Iterator[tuple[str, Callable[[Fence], AbstractContextManager[None]]]]:
    """An API whose streams begin and then say nothing more, and what holds one open through a fence."""
    over = threading.Event()

    def begin(call: BaseHTTPRequestHandler) -> None:
        call.send_header("content-type", "text/event-stream")
        call.end_headers()
        call.wfile.write(b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n')
        over.wait(WITHIN_S)

    @contextmanager
    def begun(fence: Fence) -> Iterator[None]:
        connection = http.client.HTTPConnection(fence.customers.netloc, timeout=WITHIN_S)
        connection.request("POST", "/v1/chat/completions", BODY.replace("{", '{"stream": true, ', 1), HEADERS)
        answer = connection.getresponse()
        answer.read(10)
        yield
        answer.close()
        connection.close()

    with _serving(begin) as url:
        yield url, begun
        over.set()


def is_gone(pid: int) -> bool:
    """Say whether a process has ended, also if nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
async def outside():
    return Outside()


@pytest.fixture
async def supervisor(outside) -> AsyncIterator[Supervisor]:
    """A supervisor of two workers that has not started."""
    async with asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(
            TWO,
            launch=outside.launch,
            watcher=outside,
            tasks=tasks,
            clock_s=lambda: outside.clock.now_s,
            sleep=outside.clock.sleep,
        )
        yield supervisor
        for process in outside.launched:
            process.is_silent = False
        stopping = asyncio.create_task(supervisor.stop())
        await settle()
        supervisor.kill()
        await stopping
