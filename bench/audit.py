"""What the audit log costs per call: on the loop, where callers wait for it, and in all, with its thread and the disk.

An admitted call with two charges, from its decision to its end. CPU time of the loop's thread (p50, p99), and of the
process over all calls.

Run: python -m bench.audit
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from modelfence.adapters.audit.file import AuditFile
from modelfence.adapters.audit.log import AuditLog
from modelfence.audit.chain import Seals
from modelfence.audit.files import ChainFiles
from modelfence.audit.lines import Lines
from modelfence.core.account import Account, Check, Found
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.call import Call, Credential, Reading, Usage
from modelfence.core.charge import Charge, Taken, Unit
from modelfence.core.decision import Decision, Effect
from modelfence.core.extraction import Extraction
from modelfence.enforcement.ports import Judged, Settled
from modelfence.enforcement.reservation import Reservation

CALLS = 20_000
AT_ONCE = 100
"""So many, and then the writing thread has its turn."""
MINUTE = PERIODS_US["minute"]
CHARGES = (
    Charge("requests-per-account", "acme", Rate(60, MINUTE, 120), 1.9),
    Charge("tokens-per-account", "acme", Rate(9000, MINUTE, 9000), 256.0, Unit.OUTPUT_TOKENS),
)
ACCOUNT = Account("acme", "active", "verified", version="0123456789ab")


def judged(number: int) -> Judged:
    call = Call(
        id=f"{number:032x}",
        at_us=time.time_ns() // 1000,
        client_ip="192.0.2.7",
        credential=Credential.of("sk-bench"),
        provider="openai",
        method="POST",
        path="/v1/chat/completions",
        bytes=1000,
        reading=Reading("chat", "gpt-4o"),
    )
    return Judged(
        call=call,
        decision=Decision(Effect.ALLOW, "0123456789ab", rules=("active-customers",), charges=CHARGES),
        found=Found(Check.VALID, ACCOUNT),
        country="NO",
        tier="verified",
        taken=Taken(),
        reservation=Reservation(call.id, CHARGES),
        caller=None,
        extraction=Extraction(0.25, (("judge_rubric", 0.25),), "k1"),
        took_us=0,
        decided_us=0,
    )


async def measure(folder: Path, key: bytes | None) -> None:
    """Print what calls cost with and without a key."""
    files = ChainFiles.of(folder / "audit.jsonl", 0)
    file = AuditFile(files, Seals(key), max_bytes=1 << 30, max_age_s=3600)
    built_s = {"country": 1_793_491_200.0}
    log = AuditLog(file, Lines(0, key), geo_built_s=lambda: built_s, count=lambda _outcome, _lines: None)
    log.start()
    usage, took = Usage(812, 143), []
    calls = [judged(number) for number in range(CALLS)]
    started_ns = time.process_time_ns()
    for number, call in enumerate(calls):
        settled = Settled(call, usage, 200)
        before_ns = time.thread_time_ns()
        log.judged(call)
        log.settled(settled)
        took.append((time.thread_time_ns() - before_ns) / 1_000)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0.001)
    await log.stop()
    whole_us = (time.process_time_ns() - started_ns) / 1_000 / CALLS
    cuts = statistics.quantiles(took, n=100)
    assert len(files.current.read_bytes().splitlines()) == CALLS
    name = "without a key" if key is None else "with a key, addresses hashed"
    print(f"{name}: on the loop p50 {cuts[49]:.1f} µs p99 {cuts[98]:.1f} µs; in all {whole_us:.1f} µs a call")


def main() -> None:
    for key in (None, b"a key of thirty-two bytes or more"):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), key))


if __name__ == "__main__":
    main()
