"""Redis fails under load: nobody hangs, nobody is let in whom the throttle's mode forbids, and it is over in no time."""

import asyncio
import time
from collections.abc import Callable

import httpx2
import pytest

from modelfence.settings import Limits

CALLERS = 8
FAULT_S = 0.6
BACK_WITHIN_S = 2.0
SLOWEST_S = 3.0
"""The store's deadline is 50 ms; the rest is this machine, on which load, fence and API share one event loop."""
RATE, BURST = 50, 10
POLICY = f"""\
version: 1
access:
  - {{id: customers, allow: kyc.status == "active"}}
throttle:
  - {{id: calls, key: account.id, rate: {RATE} per second, burst: {BURST}, on_store_failure: MODE}}
"""
BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}


def pause(server) -> Callable[[], None]:
    server.pause()
    return server.go_on


def kill(server) -> Callable[[], None]:
    server.kill()
    return server.start


def make_read_only(server) -> Callable[[], None]:
    server.command("REPLICAOF", "127.0.0.1", "1")
    return lambda: server.command("REPLICAOF", "NO", "ONE")


class Load:
    """Callers who ask without pause, and every answer: when it came, its status, and how long it took."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.answers: list[tuple[float, int, float]] = []
        self.answered = asyncio.Event()

    async def call(self) -> None:
        while True:
            began = time.monotonic()
            answer = await self.client.post("/v1/chat/completions", json=BODY)
            ended = time.monotonic()
            self.answers.append((ended, answer.status_code, ended - began))
            self.answered.set()

    async def until(self, is_so: Callable[[], object], *, within_s: float) -> None:
        """Wait for answers until it is so."""
        async with asyncio.timeout(within_s):
            while not is_so():
                self.answered.clear()
                await self.answered.wait()

    def statuses(self, *, after: float, before: float) -> list[int]:
        """Return what came of calls that began and ended in that time: what began before it may still end well."""
        return [status for ended, status, took in self.answers if after <= ended - took and ended < before]


@pytest.fixture
def policy(tmp_path, mode):
    path = tmp_path / "faults.yaml"
    path.write_text(POLICY.replace("MODE", mode))
    return path


@pytest.mark.parametrize("fault", [pause, kill, make_read_only])
@pytest.mark.parametrize("mode", ["deny", "allow", "local"])
async def test_a_store_that_fails_under_load(start, start_redis, policy, fault, mode):
    server = start_redis()
    gateway = await start(store=server.url, policy=policy, limits=Limits())
    headers = {"authorization": "Bearer sk-acme"}
    async with httpx2.AsyncClient(base_url=f"http://{gateway.listen}", headers=headers, timeout=10) as client:
        load = Load(client)
        callers = [asyncio.create_task(load.call()) for _ in range(CALLERS)]
        try:
            await asyncio.sleep(0.3)
            mend = fault(server)
            failed = time.monotonic()
            await asyncio.sleep(FAULT_S)
            await load.until(lambda: load.statuses(after=failed, before=time.monotonic()), within_s=SLOWEST_S)
            mended = time.monotonic()
            mend()
            returned = time.monotonic()
            await load.until(lambda: is_back(load, returned), within_s=BACK_WITHIN_S)
        finally:
            for caller in callers:
                caller.cancel()
            await asyncio.wait(callers)
    during = load.statuses(after=failed, before=mended)
    # A bucket that is empty refuses without being written to.
    without_fault = {429} if fault is make_read_only else set()
    if mode == "deny":
        assert set(during) - without_fault == {503}
    elif mode == "allow":
        assert set(during) - without_fault == {200}
    else:
        assert set(during) <= {200, 429}
        assert load.statuses(after=failed, before=mended).count(200) <= BURST + RATE * (mended - failed) + 2 * CALLERS
    assert max(took for _, _, took in load.answers) < SLOWEST_S


def is_back(load: Load, returned: float) -> bool:
    """Say whether the store is asked again: its bucket refuses some and lets others in."""
    latest = load.statuses(after=returned, before=float("inf"))[-20:]
    return len(latest) == 20 and 200 in latest and 429 in latest and 503 not in latest
