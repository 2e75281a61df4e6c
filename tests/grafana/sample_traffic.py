"""A fence under sample traffic of every kind: let in, refused, throttled, malformed, cut, a campaign, a store that fails."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from tests.cli.conftest import COMMAND, Running, environment
from tests.redis_servers import RedisServer, free_port
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from modelfence.demo.callers import CALLERS, Caller, accounts_yaml, call_all
from modelfence.demo.standin_api import StandInApi
from modelfence.listening import bind
from modelfence.parts import shipped_policy
from modelfence.settings import Address

WORKERS = 2
HEAD_S = 1
"""After how long a connection is cut whose request does not come."""
STORE_MS = 500
"""Longer than usual: on a busy machine the store should fail only where it is to fail."""
_WITHIN_S = 30
STREAMER = Caller(
    "streamer", "streams more than it may", "8.8.8.8", "US", "basic", stream=True, calls=8, max_tokens=900
)
_ALL = (*CALLERS, STREAMER)
_POLICY = f"""\
version: 1
include: [{shipped_policy()}]
access:
  - {{id: trial-of-a-deny, deny: client.country == "BR", mode: shadow}}
throttle:
  - {{id: streamed-words, when: account.id == "streamer", key: account.id, unit: output_tokens, rate: 600 per day}}
  - {{id: trial-of-a-throttle, key: account.id, rate: 1 per day, mode: shadow}}
"""
_CANDIDATE = _POLICY.replace("rate: 600 per day", "rate: 60000 per day").replace(
    "access:\n", 'access:\n  - {id: not-from-japan, deny: client.country == "JP"}\n'
)
"""It lets in more of what the streamer asks for, who is not among the accounts it acts for, and nobody from Japan."""


class Fence:
    """A fence of two workers that runs, and its files."""

    def __init__(self, folder: Path, redis: RedisServer, api: str) -> None:
        self._folder = folder
        self._redis = redis
        (folder / "policy.yaml").write_text(_POLICY)
        (folder / "next.yaml").write_text(_CANDIDATE)
        (folder / "accounts.yaml").write_text(accounts_yaml(_ALL))
        settings = {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "workers": WORKERS,
            "policy": "policy.yaml",
            "candidate": "next.yaml",
            "canary": "50 %",
            "accounts": "accounts.yaml",
            "store": redis.url,
            "audit": {"path": "audit.jsonl"},
            "record": {"path": "recording.jsonl"},
            "limits": {"head_s": HEAD_S, "store_ms": STORE_MS},
            "trusted_proxies": ["127.0.0.0/8"],
            "upstreams": [
                {"name": "stand-in", "dialect": "openai", "url": api},
                {"name": "away", "dialect": "openai", "url": f"http://127.0.0.1:{free_port()}", "prefix": "/away"},
            ],
        }
        (folder / "modelfence.yaml").write_text(json.dumps(settings))
        command = [*COMMAND, "run"]
        self._process = subprocess.Popen(command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True)  # noqa: S603  # our own command
        self._running = Running(self._process)
        # What it says later is read as it comes, or it would stop when the pipe is full.
        self._reading = Thread(target=self._process.stderr.read)
        self._reading.start()
        self.url, self.admin = self._running.url, urlsplit(self._running.admin).netloc

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_WITHIN_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reading.join()
            self._process.stderr.close()

    def change_policy_and_accounts(self) -> None:
        self._replace("accounts.yaml", accounts_yaml(_ALL) + "# changed\n")
        self._replace("policy.yaml", _POLICY + "# changed\n")

    def break_policy(self) -> None:
        self._replace("policy.yaml", _POLICY + "nonsense: 1\n")

    def kill_a_worker(self) -> None:
        os.kill(self._running.workers()[0], signal.SIGKILL)

    async def calls_of_all_kinds(self, *, calls: int) -> None:
        """Make calls of each kind, of each caller so many at most."""
        await call_all([replace(one, calls=min(one.calls, calls)) for one in _ALL], self.url)
        chat = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]})
        await self._post("/v1/chat/completions", ["{", chat, chat], address="10.0.0.1")  # malformed, and from nowhere
        await self._post("/away/v1/chat/completions", [chat] * 3, address="8.8.8.8")
        await self._say_nothing()
        self._redis.pause()
        try:
            await self._post("/v1/chat/completions", [chat] * 3, address="8.8.8.8")
        finally:
            self._redis.go_on()

    async def _say_nothing(self) -> None:
        """Connect and wait until the fence has had enough of it."""
        at = urlsplit(self.url)
        async with asyncio.timeout(_WITHIN_S):
            reader, writer = await asyncio.open_connection(at.hostname, at.port)
            writer.write(b"POST /v1/chat")
            await reader.read()
            writer.close()

    async def _post(self, path: str, bodies: Sequence[str], *, address: str) -> None:
        client = AsyncHTTPClient(force_instance=True)
        headers = {"Authorization": f"Bearer {CALLERS[0].key}", "X-Forwarded-For": address}
        headers["Content-Type"] = "application/json"
        requests = [HTTPRequest(f"{self.url}{path}", method="POST", headers=headers, body=body) for body in bodies]
        try:
            await asyncio.gather(*(client.fetch(request, raise_error=False) for request in requests))
        finally:
            client.close()

    def _replace(self, file: str, text: str) -> None:
        new = self._folder / "new"
        new.write_text(text)
        new.replace(self._folder / file)
        self._process.send_signal(signal.SIGHUP)


@asynccontextmanager
async def running_fence(folder: Path, redis: RedisServer) -> AsyncIterator[Fence]:
    """Lend a fence with two upstreams: one that answers under `/`, and one that is away under `/away`."""
    api = StandInApi(bind("stand-in", Address("127.0.0.1", 0)))
    api.start()
    try:
        fence = await asyncio.to_thread(Fence, folder, redis, api.url)
        try:
            yield fence
        finally:
            await asyncio.to_thread(fence.close)
    finally:
        await api.stop()
