"""What callers see while Redis fails under load, for each `on_store_failure`; and how soon it is over.

A real fence, a real Redis and a stand-in upstream; 16 callers ask without pause. Each fault lasts two seconds. "let in"
and "503" are answers during the fault, "slowest" the slowest answer from its beginning to the end of the measurement,
"back" the time from Redis's return to the first call after which none of the next 100 was refused with 503. The rate is
200 a second, far below what is asked: what is let in beyond it (about 400 during a fault) is a throttle that is open.

Run: python -m bench.store_faults
"""

import asyncio
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import redis.asyncio as redis
from bench.servers import KEY, RedisServer, fences, process, redis_server, said, write_settings

CALLERS = 16
FAULT_S = 2.0
AFTER_S = 3.0
SOUND_IN_A_ROW = 100
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

type Fault = Callable[[RedisServer], Awaitable[None]]


@dataclass
class Answers:
    """Every answer: when it came, in seconds, its status, and how long it took."""

    seen: list[tuple[float, int, float]] = field(default_factory=list)

    def between(self, start_s: float, end_s: float) -> Counter[int]:
        return Counter(status for at, status, _ in self.seen if start_s <= at < end_s)

    def slowest_s(self, start_s: float) -> float:
        return max(took for at, _, took in self.seen if at >= start_s)

    def back_after_s(self, returned_s: float) -> float | None:
        """Return how long 503s went on after that; None when they did not end."""
        last = max((at for at, status, _ in self.seen if at >= returned_s and status == 503), default=returned_s)
        sound = sum(at > last for at, _, _ in self.seen)
        return last - returned_s if sound >= SOUND_IN_A_ROW else None


async def pause(server: RedisServer) -> None:
    server.pause()
    await asyncio.sleep(FAULT_S)
    server.go_on()


async def kill_and_restart(server: RedisServer) -> None:
    await server.kill()
    await asyncio.sleep(FAULT_S)
    await server.start()


async def flush(server: RedisServer) -> None:
    async with redis.Redis(port=server.port) as client:
        until = time.monotonic() + FAULT_S
        while time.monotonic() < until:
            await client.flushall()
            await client.script_flush()
            await asyncio.sleep(0.1)


async def make_slow(server: RedisServer) -> None:
    """Let each command wait for up to 200 ms behind one that takes so long."""
    async with redis.Redis(port=server.port) as client:
        until = time.monotonic() + FAULT_S
        while time.monotonic() < until:
            await client.execute_command("DEBUG", "SLEEP", "0.2")  # type: ignore[no-untyped-call]  # redis-py annotates in part


async def make_read_only(server: RedisServer) -> None:
    async with redis.Redis(port=server.port) as client:
        await client.replicaof("127.0.0.1", "1")
        await asyncio.sleep(FAULT_S)
        await client.replicaof("NO", "ONE")


FAULTS: dict[str, Fault] = {
    "paused (SIGSTOP)": pause,
    "killed, restarted empty": kill_and_restart,
    "flushed, ten times a second": flush,
    "slow (200 ms a command)": make_slow,
    "read-only": make_read_only,
}


async def call(client: httpx2.AsyncClient, url: str, answers: Answers) -> None:
    while True:
        began = time.monotonic()
        answer = await client.post(f"{url}/v1/chat/completions", json=BODY)
        ended = time.monotonic()
        answers.seen.append((ended, answer.status_code, ended - began))


async def suffer(fault: Fault, on_store_failure: str) -> str:
    """Return the table's cells for one fault under one mode."""
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="modelfence-bench-")))
        server = await exits.enter_async_context(redis_server())
        command = (sys.executable, "-m", "bench.overshoot", "--serve", "5")
        upstream = await exits.enter_async_context(process(*command, stdin=PIPE, stdout=PIPE))
        throttle = f"rate: 200 per second, burst: 20, on_store_failure: {on_store_failure}"
        url = (await said(upstream.stdout, "http")).strip()
        config = write_settings(folder, throttle=throttle, upstream=url, store=server.url)
        [(fence, _admin)] = await fences(exits, config, 1)
        limits = httpx2.Limits(max_connections=CALLERS)
        headers = {"Authorization": f"Bearer {KEY}"}
        client = await exits.enter_async_context(httpx2.AsyncClient(timeout=30, limits=limits, headers=headers))
        answers = Answers()
        callers = [asyncio.create_task(call(client, fence, answers)) for _ in range(CALLERS)]
        await asyncio.sleep(1)
        began = time.monotonic()
        await fault(server)
        returned = time.monotonic()
        await asyncio.sleep(AFTER_S)
        for caller in callers:
            caller.cancel()
        ended = await asyncio.gather(*callers, return_exceptions=True)
        for one in ended:
            if not isinstance(one, asyncio.CancelledError) and isinstance(one, BaseException):
                raise one
        during, back = answers.between(began, returned), answers.back_after_s(returned)
        back_in = "never" if back is None else f"{back:.2f} s"
        cells = [during[200], during[429], during[503], f"{answers.slowest_s(began) * 1000:.0f} ms", back_in]
        return " | ".join(str(cell) for cell in cells)


async def measure() -> None:
    print("| fault | on_store_failure | let in | 429 | 503 | slowest | back |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for name, fault in FAULTS.items():
        for on_store_failure in ("deny", "allow", "local"):
            print(f"| {name} | {on_store_failure} | {await suffer(fault, on_store_failure)} |", flush=True)


if __name__ == "__main__":
    asyncio.run(measure())
