"""Whether a budget can be overdrawn by asking at once: what the upstream really sent, beside what the budget allowed.

Each line is a bucket of output tokens that hardly refills, and callers who ask until it is empty: 1, 8 or 64 at once,
on 1 fence or on 4 that share a Redis. The stand-in upstream, each fence and the callers have a process each; streams
are paced like a fast model's. "served" is what left the upstream, divided by the budget; "cut" are streams that were
ended; "failed" are calls answered with anything but 200 or 429, of which there should be none.

Run: python -m bench.overshoot [--budget 20000] [--pace-ms 2]
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx2
from bench.servers import KEY, fences, process, redis_server, said, write_settings

from modelfence.demo.standin_api import StandInApi
from modelfence.listening import bind
from modelfence.settings import Address

REFUSED_IN_A_ROW = 2
"""After so many a caller takes the budget for used up."""
STEP = 256


@dataclass(frozen=True)
class Kind:
    """What the callers ask for."""

    name: str
    options: dict[str, object]
    words_unasked: int = 1_000


KINDS = (
    Kind("streams without a limit, 1,000 tokens each", {"stream": True}),
    Kind("streams with max_tokens 400", {"stream": True, "max_completion_tokens": 400}),
    Kind("plain calls with max_tokens 200", {"max_completion_tokens": 200}),
    Kind("plain calls without a limit, 300 tokens each", {}, words_unasked=300),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one budget."""

    sent_tokens: int
    statuses: Counter[int]
    cut: int


async def serve_upstream(words_unasked: int, pace_s: float) -> None:
    """Serve the stand-in until stdin ends; print its address, and the tokens sent each time a line comes."""
    api = StandInApi(bind("stand-in", Address("127.0.0.1", 0)), words_unasked=words_unasked, pace_s=pace_s)
    api.start()
    print(api.url, flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(api.sent_tokens, flush=True)


async def call_until_refused(client: httpx2.AsyncClient, url: str, kind: Kind, statuses: Counter[int]) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **kind.options}
    refused = 0
    while refused < REFUSED_IN_A_ROW:
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as answer:
            async for _ in answer.aiter_bytes():
                pass
        statuses[answer.status_code] += 1
        refused = 0 if answer.status_code == 200 else refused + 1


async def cut_streams(client: httpx2.AsyncClient, admins: Sequence[str]) -> int:
    total = 0.0
    for admin in admins:
        lines = (await client.get(admin)).text.splitlines()
        total += sum(float(line.split()[-1]) for line in lines if line.startswith("modelfence_streams_cut_total{"))
    return int(total)


async def use_up(  # noqa: PLR0913 - one case of the table, by keyword
    kind: Kind, *, callers: int, workers: int, store: str, budget: int, pace_s: float
) -> Outcome:
    """Let the callers use up one budget."""
    async with AsyncExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="modelfence-bench-")))
        command = ("-m", "bench.overshoot", "--serve", str(kind.words_unasked), "--pace-ms", str(pace_s * 1000))
        upstream = await exits.enter_async_context(process(sys.executable, *command, stdin=PIPE, stdout=PIPE))
        url = (await said(upstream.stdout, "http")).strip()
        throttle = f"unit: output_tokens, rate: {budget // 300} per day, burst: {budget}"
        config = write_settings(folder, throttle=throttle, upstream=url, store=store)
        addresses = await fences(exits, config, workers)
        limits = httpx2.Limits(max_connections=callers + workers)
        headers = {"Authorization": f"Bearer {KEY}"}
        client = await exits.enter_async_context(httpx2.AsyncClient(timeout=60, limits=limits, headers=headers))
        statuses: Counter[int] = Counter()
        urls = itertools.cycle([url for url, _ in addresses])
        await asyncio.gather(*(call_until_refused(client, next(urls), kind, statuses) for _ in range(callers)))
        cut = await cut_streams(client, [admin for _, admin in addresses])
        assert upstream.stdin is not None
        assert upstream.stdout is not None
        upstream.stdin.write(b"\n")
        return Outcome(int(await upstream.stdout.readline()), statuses, cut)


async def measure(*, budget: int, pace_s: float) -> None:
    print(f"budget {budget:,} output tokens; a step is {STEP}\n")
    print("| callers | workers | store | served / budget | tokens over | allowed over | let in | cut | failed |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in KINDS:
        print(f"| **{kind.name}** | | | | | | | | |")
        for workers, callers in itertools.product((1, 4), (1, 8, 64)):
            for store in ("memory", "redis") if workers == 1 else ("redis",):
                async with AsyncExitStack() as exits:
                    url = "memory" if store == "memory" else (await exits.enter_async_context(redis_server())).url
                    outcome = await use_up(
                        kind, callers=callers, workers=workers, store=url, budget=budget, pace_s=pace_s
                    )
                print(row(outcome, callers=callers, workers=workers, store=store, budget=budget), flush=True)


def row(outcome: Outcome, *, callers: int, workers: int, store: str, budget: int) -> str:
    failed = sum(count for status, count in outcome.statuses.items() if status not in {200, 429})
    over = max(0, outcome.sent_tokens - budget)
    cells = [
        f"{callers}",
        f"{workers}",
        store,
        f"{outcome.sent_tokens / budget:.3f}",
        f"{over:,}",
        f"{callers * STEP:,}",
    ]
    cells += [f"{outcome.statuses[200]}", f"{outcome.cut}", f"{failed}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=20_000, help="tokens in the bucket (default: 20,000)")
    parser.add_argument("--pace-ms", type=float, default=2, help="what a stream takes for a token (default: 2)")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve_upstream(given.serve, given.pace_ms / 1000))
    else:
        asyncio.run(measure(budget=given.budget, pace_s=given.pace_ms / 1000))


if __name__ == "__main__":
    main()
