"""The command as a person runs it: a process of its own, in an empty folder, with no settings from outside."""

import json
import os
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from modelfence.cli import main

WITHIN_S = 30.0
COMMAND = [sys.executable, "-c", "import sys; from modelfence.cli import main; sys.exit(main())"]


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELFENCE_")} | variables


@pytest.fixture
def modelfence(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command to its end."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    return run


@pytest.fixture
def run_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command to its end within this process, in the folder it is in: a start costs most of a short command."""
    for name in [name for name in os.environ if name.startswith("MODELFENCE_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        try:
            status = main(words)
        except SystemExit as ended:  # what argparse does with wrong arguments
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, said.out, said.err)

    return run


class Running:
    """A fence that `modelfence run` has started, with what it said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        too_late = threading.Timer(WITHIN_S, process.kill)
        too_late.start()
        assert process.stderr is not None
        for line in process.stderr:
            self.said += line
            if "admin" in line:
                break
        too_late.cancel()

    @property
    def url(self) -> str:
        found = re.search(r"listens on (https?://\S+)", self.said)
        assert found, self.said
        return found[1]

    @property
    def admin(self) -> str:
        found = re.search(r"admin +(http://\S+)/metrics", self.said)
        assert found, self.said
        return found[1]

    def workers(self) -> list[int]:
        """Return the process ids of the workers that live."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def start_modelfence(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a command that stays up, and ends it."""
    with ExitStack() as ending:

        def start(*arguments: str | Path, **variables: str) -> Running:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*COMMAND, *map(str, arguments)],
                cwd=tmp_path,
                env=environment(**variables),
                stderr=subprocess.PIPE,
                text=True,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            return Running(process)

        yield start


@pytest.fixture
def environment_of() -> Callable[..., dict[str, str]]:
    return environment


@pytest.fixture
def upstream():
    """An API that answers every call with how it was called."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer = json.dumps({"path": self.path, "key": self.headers["authorization"]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name in the library

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def fetch() -> Callable[..., tuple[int, dict[str, Any]]]:
    """Sends a chat completion and returns the status and the answer."""
    return _fetch


def _fetch(url: str, *, key: str | None = None, address: str = "8.8.8.8") -> tuple[int, dict[str, Any]]:
    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    headers = {"content-type": "application/json", "x-forwarded-for": address}
    if key:
        headers["authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - on this machine
    try:
        with urllib.request.urlopen(request, timeout=WITHIN_S) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
