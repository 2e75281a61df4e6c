"""Replays of one recording under the shipped policy and variants of it, in this process and in others beside it.

Prompts are read once: the recording is turned into the form that the live fence writes without prompts, in which each
call carries its fingerprint. Everything after that is the fence's own loop, on the recording's clock.
"""

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import repeat
from pathlib import Path

from bench.detection.prompts import Prompts
from bench.detection.scenario import Scenario
from bench.detection.scoring import Scores, Scoring
from bench.detection.simulate import write

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.recording.lines import RecordingLines
from modelfence.assembly import anywhere, fingerprints_of, in_force_of
from modelfence.core.dialect import MalformedRequestError
from modelfence.dialects.known import DIALECTS
from modelfence.enforcement.expected_usage import ExpectedUsage
from modelfence.enforcement.fence import Fence, Patience
from modelfence.extraction.detection import Detection
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.extraction.weights import SUSPICIOUS, WEIGHTS, Scope, Weight
from modelfence.parts import Parts, read_parts, shipped_policy
from modelfence.recording.fields import BrokenLineError
from modelfence.recording.lines import line_of, read_line
from modelfence.recording.reading import CallReader
from modelfence.replay.clock import VirtualClock
from modelfence.replay.requests import Requests
from modelfence.replay.run import Replay
from modelfence.settings import Settings

PROCESSES = 2
_THRESHOLD = f"extraction.score >= {SUSPICIOUS}"
_CAMPAIGN = re.compile(
    r"(- id: output-tokens-per-campaign\n(?:    .*\n)*?    rate: )(\d+)( per day\n    burst: )(\d+)", re.MULTILINE
)
_SETTINGS = Settings()
_PATIENCE = Patience(directory_s=5.0)


@dataclass(frozen=True, slots=True)
class Variant:
    """The shipped policy and weights, or something else in their place."""

    name: str = "as shipped"
    factors: Mapping[str, float] = field(default_factory=dict)
    """By signal: what its weight is multiplied with."""
    threshold: float = SUSPICIOUS
    """The score from which a cohort draws on one bucket."""
    rate: float = 1.0
    """What that bucket's rate and burst are multiplied with."""

    def weights(self) -> Mapping[str, Weight]:
        """Return the table of weights."""
        return {name: replace(one, most=one.most * self.factors.get(name, 1.0)) for name, one in WEIGHTS.items()}


def without(*scopes: Scope, name: str) -> Variant:
    """Return the variant in which no signal of these scopes counts."""
    return Variant(name, {signal: 0.0 for signal, one in WEIGHTS.items() if one.scope in scopes})


@dataclass(frozen=True, slots=True)
class Traffic:
    """A recording whose prompts have been read."""

    lines: Sequence[bytes]
    labels: Sequence[str]
    accounts: Path


def read_traffic(folder: Path) -> Traffic:
    """Read `recording.jsonl` of a folder. Raises ValueError for a line that is broken."""
    fingerprints = fingerprints_of(_SETTINGS)
    lines: list[bytes] = []
    labels: list[str] = []
    with_prompts = RecordingLines.of(folder / "recording.jsonl")
    for n, line in enumerate(with_prompts):
        try:
            read = read_line(line or b"")
            call = _reader().call_of(read, str(n))
        except (BrokenLineError, MalformedRequestError) as error:
            raise ValueError(f"line {n + 1} of the recording: {error}") from None
        print_ = call.fingerprint or fingerprints.of(call.reading.prompt)
        lines.append(line_of(replace(call, fingerprint=print_), read.usage, prompts=False))
        labels.append(json.loads(line or b"{}").get("label", "benign:unlabelled"))
    with_prompts.close()
    return Traffic(lines, labels, folder / "accounts.yaml")


def run(traffic: Traffic, variant: Variant = Variant()) -> Scores:
    """Replay a recording under a variant, and return what became of each class."""
    with tempfile.TemporaryDirectory() as folder:
        policy = _policy(variant, Path(folder))
        parts = read_parts(replace(_SETTINGS, policy=policy, accounts=traffic.accounts))
    return asyncio.run(_scores(traffic, parts, variant.weights()))


def run_each(traffic: Traffic, variants: Sequence[Variant]) -> Iterator[Scores]:
    """Replay a recording under each variant, two at a time, and yield what became of it in their order."""
    with ProcessPoolExecutor(PROCESSES, initializer=_keep, initargs=(traffic,)) as pool:
        yield from pool.map(_run_kept, variants)


def run_seeds(scenario: Scenario, prompts: Prompts, seeds: Sequence[int]) -> Sequence[Scores]:
    """Simulate a scenario with each seed, and return what became of each class under the shipped policy."""
    with ProcessPoolExecutor(PROCESSES) as pool:
        return list(pool.map(_run_seed, repeat(scenario), repeat(prompts), seeds))


def _run_seed(scenario: Scenario, prompts: Prompts, seed: int) -> Scores:
    with tempfile.TemporaryDirectory() as folder:
        write(replace(scenario, seed=seed), prompts, Path(folder))
        return run(read_traffic(Path(folder)))


_kept: list[Traffic] = []
"""What a process replays, so that it need not be sent with each variant."""


def _keep(traffic: Traffic) -> None:
    _kept[:] = [traffic]


def _run_kept(variant: Variant) -> Scores:
    return run(_kept[0], variant)


def _reader() -> CallReader:
    return CallReader(
        anywhere(), DIALECTS, check_head=lambda *_: None, max_request_bytes=_SETTINGS.limits.request_bytes
    )


async def _scores(traffic: Traffic, parts: Parts, weights: Mapping[str, Weight]) -> Scores:
    scoring = Scoring()
    labels = iter(traffic.labels)
    async for outcome in _replay(parts, weights).outcomes(traffic.lines):
        scoring.add(next(labels), outcome)
    return scoring.scores()


def _replay(parts: Parts, weights: Mapping[str, Weight]) -> Replay:
    clock = VirtualClock()
    buckets = MemoryBuckets(clock)
    # No line has prompts left, so what takes fingerprints is never asked.
    detector = Detection(MemoryEvidence(), Fingerprints(), exempt=parts.policy.exempt, weights=weights)
    fence = Fence(
        in_force_of(parts),
        buckets=buckets,
        local_buckets=buckets,
        detector=detector,
        observers=(),
        clock_us=clock,
        jitter=lambda: 0.0,
        patience=_PATIENCE,
    )
    limits = _SETTINGS.limits
    expected = ExpectedUsage(limits.assumed_tokens, least_tokens=limits.step_tokens)
    return Replay(fence, Requests(_reader(), clock), expected=expected)


def _policy(variant: Variant, folder: Path) -> Path:
    """Return the path of the shipped policy; of a changed copy in the folder, where the variant changes it."""
    if (variant.threshold, variant.rate) == (SUSPICIOUS, 1.0):
        return shipped_policy()
    copied = Path(shutil.copytree(shipped_policy().parent, folder / "policies"))
    pack = copied / "packs" / "extraction.yaml"
    text = pack.read_text(encoding="utf8")
    if _THRESHOLD not in text or not _CAMPAIGN.search(text):
        raise ValueError(f"the pack has changed: neither `{_THRESHOLD}` nor the campaign's rate can be varied")
    text = text.replace(_THRESHOLD, f"extraction.score >= {variant.threshold}")
    text = _CAMPAIGN.sub(lambda found: _scaled(found, variant.rate), text)
    pack.write_text(text, encoding="utf8")
    return copied / shipped_policy().name


def _scaled(found: re.Match[str], factor: float) -> str:
    before, rate, between, burst = found.groups()
    return f"{before}{round(int(rate) * factor)}{between}{round(int(burst) * factor)}"
