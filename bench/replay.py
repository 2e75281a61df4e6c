"""How many requests a replay judges in a second of CPU: reading, detection, decision, buckets and settlement.

The recording is a simulated day (`bench.detection`), or one that is given with its accounts; it is replayed under the
shipped policy. CPU of this process is what is counted, not the time that passed, so that other work on the machine
disturbs little; what loads before the first request is left out.

Run: python -m bench.replay [RECORDING ACCOUNTS] [--rounds 3]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from bench.detection.prompts import read_prompts
from bench.detection.scenario import read_scenario
from bench.detection.simulate import write

from modelfence.adapters.recording.lines import RecordingLines
from modelfence.assembly import anywhere, replaying
from modelfence.parts import read_parts
from modelfence.replay.outcomes import Broken
from modelfence.replay.summary import Summary
from modelfence.settings import Settings

AIM = 2_000


async def measure(recording: Path, accounts: Path) -> tuple[int, float]:
    """Return how many requests were judged, and the CPU seconds that took."""
    settings = Settings(accounts=accounts, upstreams=anywhere())
    lines, summary = RecordingLines.of(recording), Summary()
    async with replaying(settings, read_parts(settings)) as replayed:
        started_s = time.process_time()
        async for outcome in replayed.outcomes(lines):
            assert not isinstance(outcome, Broken), outcome.error
            summary.add(outcome)
        took_s = time.process_time() - started_s
    lines.close()
    return summary.lines, took_s


def report(recording: Path, accounts: Path, rounds: int) -> None:
    measured = [asyncio.run(measure(recording, accounts)) for _ in range(rounds)]
    requests = measured[0][0]
    rates = [count / took_s for count, took_s in measured]
    print(f"{requests:,} requests, {rounds} rounds, requests per second of CPU (aim: {AIM:,})")
    print(f"best {max(rates):,.0f}, median {statistics.median(rates):,.0f}, worst {min(rates):,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="how many requests a replay judges in a second of CPU")
    parser.add_argument("recording", type=Path, nargs="?", metavar="RECORDING")
    parser.add_argument("accounts", type=Path, nargs="?", metavar="ACCOUNTS")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.recording is not None:
        if options.accounts is None:
            parser.error("a recording needs the accounts it was made with")
        report(options.recording, options.accounts, options.rounds)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(read_scenario(), read_prompts(), Path(folder))
        report(Path(folder) / "recording.jsonl", Path(folder) / "accounts.yaml", options.rounds)


if __name__ == "__main__":
    main()
