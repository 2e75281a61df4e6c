"""What a candidate beside the policy costs: CPU time of a call in the loop that is let in, until it is settled.

Both policies have 25 rules, and the store is in memory or a Redis on this machine, whose own time is not counted.

Run: python -m bench.candidate
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.decision import policy_of
from bench.metrics import Outside
from bench.store import private_redis

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.account import Found
from modelfence.core.call import Call, Credential, Reading, Usage
from modelfence.core.canary import Canary
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.in_force import Candidate, InForce, Side
from modelfence.enforcement.ports import BucketStore

CALLS = 4_000
ROUNDS = 5
ACCOUNTS = 2_000
"""So many that nobody is over a rate."""
WAYS = {"without a candidate": None, "with one that only watches": 0.0, "with one that acts": 100.0}


class Directory(Outside):
    """An account for each key."""

    async def find(self, digest: str, at_us: int) -> Found:
        found = await super().find(digest, at_us)
        assert found.account is not None
        return replace(found, owner=replace(found.account, id=digest))


def now_us() -> int:
    return time.time_ns() // 1_000


def fence_of(buckets: BucketStore, percent: float | None) -> Fence:
    outside, policy = Directory(), policy_of(25)
    candidate = None if percent is None else Candidate(Side(policy_of(25)), Canary(percent, "next.yaml"))
    return Fence(
        InForce(policy, outside, outside, candidate),
        buckets=buckets,
        local_buckets=buckets,
        detector=outside,
        observers=(),
        clock_us=now_us,
        jitter=lambda: 0.0,
    )


def calls() -> Iterator[Call]:
    reading = Reading("chat", "gpt-4o", input_tokens=100, output_tokens=256)
    credentials = [Credential.of(f"sk-{n}") for n in range(ACCOUNTS)]
    for n in range(CALLS):
        yield Call(
            f"c{n}",
            now_us(),
            "192.0.2.7",
            credentials[n % ACCOUNTS],
            "openai",
            "POST",
            "/v1/chat/completions",
            99,
            reading,
        )


async def cost_us(fence: Fence) -> float:
    """Return the CPU time of a call in microseconds."""
    began = time.process_time()
    for call in calls():
        judged = await fence.judge(call)
        assert judged.decision.admitted
        await fence.settle(judged, Usage(100, 256), status=200)
    return (time.process_time() - began) / CALLS * 1e6


async def compared(buckets: BucketStore) -> Sequence[float]:
    """Return the least that a call cost in each way: in turns, so that a busy moment is not one way's alone."""
    fences = [fence_of(buckets, percent) for percent in WAYS.values()]
    rounds = [[await cost_us(fence) for fence in fences] for _ in range(ROUNDS)]
    return [min(costs) for costs in zip(*rounds, strict=True)]


async def main() -> None:
    memory = await compared(MemoryBuckets(now_us))
    async with private_redis() as (_, redis):
        costs = dict(zip(WAYS, zip(memory, await compared(redis), strict=True), strict=True))
    print("CPU of a call                memory   Redis")
    for way, (in_memory, in_redis) in costs.items():
        print(f"{way:27}  {in_memory:4.0f} µs  {in_redis:4.0f} µs")


if __name__ == "__main__":
    asyncio.run(main())
