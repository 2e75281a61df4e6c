"""What the metrics of a call cost, counted in a process's own memory and in files that workers share; and a scrape.

Run: python -m bench.metrics
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.decision import policy_of

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.metrics.calls import PrometheusMetrics
from modelfence.adapters.metrics.shared_counts import SharedCounts, share
from modelfence.core.account import Account, Check, Found
from modelfence.core.call import Call, Credential, Reading, Usage
from modelfence.core.extraction import Caller, Extraction
from modelfence.core.location import Location
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.in_force import InForce
from modelfence.enforcement.ports import Judged, Passing, Settled

CALLS = 20_000
WORKERS = 4


class Outside:
    """An account, a country and a detector that has something to say."""

    async def find(self, digest: str, at_us: int) -> Found:  # noqa: ARG002 - all keys are of one account
        account = Account("acme", "active", "basic", country="NO", screening="clear", labels={"plan": "gold"})
        return Found(Check.VALID, account)

    async def get(self, account_id: str) -> Account | None:  # noqa: ARG002 - no call has a token
        return None

    country_built_s = 0

    def locate(self, ip: str) -> Location:  # noqa: ARG002 - all addresses are in one country
        return Location("NO", asn=2119)

    async def look(self, call: Call, caller: Caller | None) -> Extraction:  # noqa: ARG002 - all calls look alike
        return Extraction(0.3, (("shared_template", 0.2), ("disjoint_work", 0.1)), "", 0)

    async def answered(self, caller: Caller, extraction: Extraction, usage: Usage) -> None: ...


async def _judged() -> tuple[Judged, Settled]:
    """Return what watchers see of one call that is let in, under a policy of 25 rules."""
    now_us = time.time_ns() // 1000
    buckets, outside = MemoryBuckets(lambda: now_us), Outside()
    fence = Fence(
        InForce(policy_of(25), outside, outside),
        buckets=buckets,
        local_buckets=buckets,
        detector=outside,
        observers=(),
        clock_us=lambda: now_us,
        jitter=lambda: 0.0,
    )
    reading = Reading("chat", "gpt-4o", input_tokens=100, output_tokens=256)
    credential = Credential.of("sk-acme")
    call = Call("c", now_us, "192.0.2.7", credential, "openai", "POST", "/v1/chat/completions", 99, reading)
    judged = await fence.judge(call)
    assert judged.decision.admitted
    return judged, Settled(judged, Usage(100, 256), 200)


def count() -> float:
    """Return the CPU time in microseconds that the metrics of one streamed call take."""
    judged, settled = asyncio.run(_judged())
    metrics, passing = PrometheusMetrics(), Passing(0.001, 1.0, 0.2)
    began = time.process_time()
    for _ in range(CALLS):
        metrics.store_answered(400)
        metrics.judged(judged)
        metrics.answer_began()
        metrics.passed("openai", passing)
        metrics.store_answered(400)
        metrics.settled(settled)
    return (time.process_time() - began) / CALLS * 1e6


def _count_apart(*arguments: str) -> float:
    """Count in a process of its own: where it counts is decided before it makes its first metric."""
    command = [sys.executable, "-m", "bench.metrics", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - this file


def main() -> None:
    if sys.argv[1:]:
        if sys.argv[1] != "own":
            share(Path(sys.argv[1]), int(sys.argv[2]))
        print(count())
        return
    own = min(_count_apart("own") for _ in range(3))
    with tempfile.TemporaryDirectory() as folder:
        shared = min(_count_apart(folder, str(slot)) for slot in range(WORKERS))
        counts = SharedCounts(Path(folder))
        began = time.process_time()
        size = len(counts.render())
        scrape_ms = (time.process_time() - began) * 1e3
    print(f"metrics of a call: {own:.1f} µs in memory, {shared:.1f} µs in shared files")
    print(f"a scrape over {WORKERS} workers: {scrape_ms:.1f} ms, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
