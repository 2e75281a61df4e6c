"""What keeping evidence costs per call, and how much room it takes as calls go on, in memory and in Redis.

A day of calls. A fifth of the accounts belong to campaigns: ten share a template of 30 shingles, to which each call
adds ten of its own. Two fifths have a template of their own, and two fifths never say the same twice; each call has 40
shingles. One call at a time: see p50 and p99, as the caller waits for it (of the last thousand calls), script p50 and
p99, as the server measures it (`SLOWLOG`). Room: what the process has grown by at most, and Redis's `used_memory`.

Run: python -m bench.evidence [--accounts 25000] [--calls 1000000] [--stores memory redis]
"""

import argparse
import asyncio
import resource
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from typing import Any

from bench.servers import redis_server
from redis.asyncio import Redis

from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.core.extraction import HASH_BITS, Fingerprint
from modelfence.extraction.evidence import DAY_S, Bounds, EvidenceStore, Sighting

SHOWN_AT = (1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
MEASURED = 1_000
"""The calls before each of these, one after the other; the others go out several at once."""
AT_ONCE = 32
SHINGLES, SHARED_SHINGLES = 40, 30
OF_A_CAMPAIGN = 10
STARTED_S = 20_000 * DAY_S


class Traffic:
    """Calls made up by chance, the same for the same numbers."""

    def __init__(self, accounts: int, calls: int) -> None:
        self._random = Random(1)  # noqa: S311 - it makes up traffic, no secrets
        self._accounts, self._calls = accounts, calls
        self._campaigns = [self._hashes(SHARED_SHINGLES) for _ in range(accounts // 5 // OF_A_CAMPAIGN + 1)]
        self._templates = {
            account: self._campaigns[account // 5 // OF_A_CAMPAIGN]
            if account % 5 == 0
            else self._hashes(SHARED_SHINGLES)
            for account in range(accounts)
            if account % 5 < 3
        }

    def sightings(self) -> Iterator[Sighting]:
        for number in range(self._calls):
            account = self._random.randrange(self._accounts)
            shared = self._templates.get(account, ())
            yield Sighting(
                at_s=STARTED_S + number * DAY_S // self._calls,
                caller=f"account-{account}",
                tier="basic",
                is_verified=False,
                country="US",
                fingerprint=Fingerprint(
                    last=(*shared, *self._hashes(SHINGLES - len(shared))), item=self._random.getrandbits(HASH_BITS)
                ),
            )

    def _hashes(self, count: int) -> tuple[int, ...]:
        return tuple(self._random.getrandbits(HASH_BITS) for _ in range(count))


async def go_through(
    store: EvidenceStore, accounts: int, calls: int, show: Callable[[int, list[float]], Awaitable[None]]
) -> None:
    """Let a store see all calls; show at each mark how long the last ones took, in microseconds."""
    marks = [*(mark for mark in SHOWN_AT if mark < calls), calls]
    took_us: list[float] = []
    together: list[Sighting] = []
    for number, sighting in enumerate(Traffic(accounts, calls).sightings(), start=1):
        mark = next(mark for mark in marks if mark >= number)
        if number <= mark - MEASURED:
            together.append(sighting)
            if len(together) == AT_ONCE or number == mark - MEASURED:
                await asyncio.gather(*(store.see(one) for one in together))
                together.clear()
            continue
        began_ns = time.perf_counter_ns()
        await store.see(sighting)
        took_us.append((time.perf_counter_ns() - began_ns) / 1_000)
        if number == mark:
            await show(number, took_us)
            took_us.clear()


async def in_memory(accounts: int, calls: int, bounds: Bounds) -> None:
    list(Traffic(accounts, 1).sightings())  # the traffic's own room is there before it is measured
    before = _peak_bytes()

    async def show(number: int, took_us: list[float]) -> None:
        cuts = statistics.quantiles(took_us, n=100)
        grown = (_peak_bytes() - before) / 1e6
        print(f"memory  {number:9,}  {cuts[49]:7.0f} {cuts[98]:6.0f}  {'':10} {'':6}  {grown:10.1f}", flush=True)

    await go_through(MemoryEvidence(bounds), accounts, calls, show)


async def in_redis(accounts: int, calls: int, bounds: Bounds) -> None:
    async with redis_server() as server:
        redis: Any = Redis.from_url(server.url)
        await redis.config_set("slowlog-log-slower-than", 0)
        await redis.config_set("slowlog-max-len", MEASURED)
        before = (await redis.info("memory"))["used_memory"]
        store = RedisEvidence(server.url, deadline_s=10, bounds=bounds)

        async def show(number: int, took_us: list[float]) -> None:
            cuts = statistics.quantiles(took_us, n=100)
            slow = await redis.slowlog_get(MEASURED)
            scripts = statistics.quantiles([one["duration"] for one in slow if b"EVALSHA" in one["command"]], n=100)
            grown = ((await redis.info("memory"))["used_memory"] - before) / 1e6
            print(
                f"redis   {number:9,}  {cuts[49]:7.0f} {cuts[98]:6.0f}  {scripts[49]:10.0f} {scripts[98]:6.0f}"
                f"  {grown:10.1f}",
                flush=True,
            )

        await go_through(store, accounts, calls, show)
        began_ns = time.perf_counter_ns()
        cohorts = await store.cohorts()
        took_ms = (time.perf_counter_ns() - began_ns) / 1e6
        print(f"redis   {len(cohorts)} cohorts, listed in {took_ms:.1f} ms")
        await store.close()
        await redis.aclose()


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


async def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what keeping evidence costs.")
    parser.add_argument("--accounts", type=int, default=5_000)
    parser.add_argument("--calls", type=int, default=30_000)
    parser.add_argument("--stores", nargs="+", choices=("memory", "redis"), default=("memory", "redis"))
    bounds = Bounds()
    for name in ("accounts", "shingles", "cohorts"):
        parser.add_argument(f"--most-{name}", type=int, default=getattr(bounds, name))
    given = parser.parse_args()
    bounds = Bounds(given.most_accounts, given.most_shingles, given.most_cohorts)
    print("store       calls  see µs p50    p99  script µs p50    p99  room MB")
    if "memory" in given.stores:
        await in_memory(given.accounts, given.calls, bounds)
    if "redis" in given.stores:
        await in_redis(given.accounts, given.calls, bounds)


if __name__ == "__main__":
    asyncio.run(main())
