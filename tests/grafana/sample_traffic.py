"""A fence under sample traffic of every kind: let in, refused, throttled, malformed, cut, a campaign, a store that fails."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

from tests.redis_servers import RedisServer, free_port
from tornado.httpclient import AsyncHTTPClient, HTTPRequest

from modelfence.core.upstream import Upstream
from modelfence.demo.callers import CALLERS, Caller, accounts_yaml, call_all
from modelfence.demo.standin_api import StandInApi
from modelfence.listening import bind
from modelfence.parts import shipped_policy
from modelfence.settings import Address, Limits, Recording, Settings
from modelfence.wiring import Gateway

ANY_PORT = Address("127.0.0.1", 0)
HEAD_S = 1
"""After how long a connection is cut whose request does not come."""
STORE_MS = 500
"""Longer than usual: on a busy machine the store should fail only where it is to fail."""
_WITHIN_S = 10
STREAMER = Caller(
    "streamer", "streams more than it may", "8.8.8.8", "US", "basic", stream=True, calls=8, max_tokens=900
)
_ALL = (*CALLERS, STREAMER)
_POLICY = """\
version: 1
include: [{shipped}]
access:
  - {{id: trial-of-a-deny, deny: client.country == "BR", mode: shadow}}
throttle:
  - {{id: streamed-words, when: account.id == "streamer", key: account.id, unit: output_tokens, rate: 600 per day}}
  - {{id: trial-of-a-throttle, key: account.id, rate: 1 per day, mode: shadow}}
"""


@asynccontextmanager
async def fence(folder: Path, redis: RedisServer) -> AsyncIterator[Gateway]:
    """Lend a fence with two upstreams: one that answers under `/`, and one that is away under `/away`."""
    (folder / "policy.yaml").write_text(_POLICY.format(shipped=shipped_policy()))
    (folder / "accounts.yaml").write_text(accounts_yaml(_ALL))
    api = StandInApi(bind("stand-in", ANY_PORT))
    host, port = api.url.removeprefix("http://").split(":")
    settings = Settings(
        listen=ANY_PORT,
        admin=ANY_PORT,
        policy=folder / "policy.yaml",
        accounts=folder / "accounts.yaml",
        store=redis.url,
        record=Recording(path=folder / "recording.jsonl"),
        limits=Limits(head_s=HEAD_S, store_ms=STORE_MS),
        trusted_proxies=(ip_network("127.0.0.0/8"),),
        upstreams=(
            Upstream("stand-in", "openai", "http", host, int(port)),
            Upstream("away", "openai", "http", "127.0.0.1", free_port(), prefix="/away"),
        ),
    )
    gateway = Gateway(settings)
    api.start()
    try:
        await gateway.start()
        yield gateway
    finally:
        await gateway.stop()
        await api.stop()


async def all_kinds_of_calls(url: str, redis: RedisServer, *, calls: int) -> None:
    """Send calls of each kind; at most so many of each caller."""
    await call_all([replace(one, calls=min(one.calls, calls)) for one in _ALL], url)
    chat = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]})
    await _post(url, "/v1/chat/completions", ["{", chat, chat], address="10.0.0.1")  # malformed, and from nowhere
    await _post(url, "/away/v1/chat/completions", [chat] * 3, address="8.8.8.8")
    await _say_nothing(url)
    redis.pause()
    try:
        await _post(url, "/v1/chat/completions", [chat] * 3, address="8.8.8.8")
    finally:
        redis.go_on()


async def _say_nothing(url: str) -> None:
    """Connect and wait until the fence has had enough of it."""
    host, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/chat")
        await reader.read()
        writer.close()


async def _post(url: str, path: str, bodies: Sequence[str], *, address: str) -> None:
    client = AsyncHTTPClient(force_instance=True)
    headers = {"Authorization": f"Bearer {CALLERS[0].key}", "X-Forwarded-For": address}
    headers["Content-Type"] = "application/json"
    requests = [HTTPRequest(f"{url}{path}", method="POST", headers=headers, body=body) for body in bodies]
    try:
        await asyncio.gather(*(client.fetch(request, raise_error=False) for request in requests))
    finally:
        client.close()
