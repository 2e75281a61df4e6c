"""Measure detection, and write the page about it. See README.md.

Run: make detection [TRAFFIC=DIR] [OUT=docs/detection.md], or python -m bench.detection [DIR] [--out FILE]
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.detection.prompts import read_prompts
from bench.detection.replaying import Traffic, Variant, read_traffic, run, run_each, run_seeds, without
from bench.detection.report import Changed, Findings, failures, page
from bench.detection.scenario import read_scenario
from bench.detection.scoring import Scores
from bench.detection.simulate import write

from modelfence.assembly import read_policy
from modelfence.extraction.weights import SUSPICIOUS, WEIGHTS, Scope
from modelfence.settings import Settings

SEEDS = (1, 2, 3, 4, 5)
THRESHOLDS = (0.4, 0.45, 0.55, 0.6, 0.7)

ABLATIONS = (
    without(*Scope, name="**no detection**"),
    without(Scope.COHORT, name="**no signal of cohorts**"),
    without(Scope.ACCOUNT, name="**no signal of accounts**"),
    without(Scope.CALL, name="**no signal of calls**"),
    *(Variant(f"without `{signal}`", {signal: 0.0}) for signal in WEIGHTS),
)
SENSITIVITY = (
    *(Variant(f"threshold {threshold} in place of {SUSPICIOUS}", threshold=threshold) for threshold in THRESHOLDS),
    Variant("all weights x 0.8", dict.fromkeys(WEIGHTS, 0.8)),
    Variant("all weights x 1.2", dict.fromkeys(WEIGHTS, 1.2)),
    Variant("half the campaign's rate and burst", rate=0.5),
    Variant("twice the campaign's rate and burst", rate=2.0),
)


def main() -> int:
    """Return 0; 2 when the recording can't be read."""
    parser = argparse.ArgumentParser(prog="python -m bench.detection", description="measure detection")
    parser.add_argument("traffic", type=Path, nargs="?", metavar="DIR", help="holds recording.jsonl and accounts.yaml")
    parser.add_argument("--out", type=Path, default=Path("docs/detection.md"), metavar="FILE", help="the page")
    options = parser.parse_args()
    try:
        given = None if options.traffic is None else read_traffic(options.traffic)
    except (ValueError, OSError) as error:
        print(f"{options.traffic}: {error}", file=sys.stderr)
        return 2
    options.out.write_text(page(_found(given)) + "\n", encoding="utf8")
    print(f"written: {options.out}")
    return 0


def _found(given: Traffic | None) -> Findings:
    scenario, prompts = read_scenario(), read_prompts()
    of_given = None if given is None else _told("TRAFFIC", run(given))
    _progress(f"own scenario, {len(SEEDS)} seeds")
    own = run_seeds(scenario, prompts, SEEDS)
    _told("own scenario", own[0])
    with tempfile.TemporaryDirectory() as folder:
        if given is None:
            write(scenario, prompts, Path(folder))
            given = read_traffic(Path(folder))
        changed = _changed(given, (*ABLATIONS, *SENSITIVITY))
    return Findings(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        policy=read_policy(Settings()).hash,
        given=of_given,
        own=own,
        ablations=changed[: len(ABLATIONS)],
        sensitivity=changed[len(ABLATIONS) :],
    )


def _changed(traffic: Traffic, variants: Sequence[Variant]) -> Sequence[Changed]:
    found = []
    for variant, scores in zip(variants, run_each(traffic, variants), strict=True):
        _progress(variant.name)
        found.append(Changed(variant.name, scores))
    return found


def _told(name: str, scores: Scores) -> Scores:
    failed = failures(scores)
    _progress(f"{name}: {'all classes held' if not failed else 'FAIL: ' + ', '.join(failed)}")
    return scores


def _progress(words: str) -> None:
    print(words, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
