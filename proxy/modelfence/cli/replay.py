"""`modelfence replay`: a recording through the same loop, on its own clock: what a policy would have done to it."""

import argparse
import gc
import json
import os
import sys
from contextlib import ExitStack
from typing import Any

from modelfence.cli.progress import Progress
from modelfence.cli.recordings import (
    STANDARD,
    Complaints,
    add_reading_to,
    open_out,
    open_recording,
    over_recording,
    settings_of,
    with_upstreams,
)
from modelfence.cli.replay_tables import lines_of
from modelfence.cli.run import complain
from modelfence.replay.summary import Summary, as_json

_EXAMPLE = "example:\n  modelfence replay day.jsonl --policy new.yaml --accounts accounts.yaml --out decisions.jsonl"


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        help="see what a policy would have done to recorded traffic",
        description=(
            "Run a recording through the fence on the recording's own clock. Prints a summary; --out takes a line of "
            "JSON for each line of the recording. Exits with 1 when the recording has broken lines."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", metavar="RECORDING", help="JSON lines, also as gzip; - is standard input")
    parser.add_argument("--policy", metavar="FILE", help="policy file (default: the one that comes with modelfence)")
    parser.add_argument("--accounts", metavar="FILE", help="who is let in: accounts file, or redis://…")
    parser.add_argument("--store", metavar="URL", default="memory", help="memory (default), or redis://…")
    parser.add_argument("--out", metavar="FILE", help="where decisions go; - is standard output")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    add_reading_to(parser)
    parser.set_defaults(command=replay)


def replay(options: argparse.Namespace) -> int:
    """Return 0, 1 when the recording has broken lines, 2 when it could not be replayed to its end."""
    return over_recording("replay", options.recording, lambda ending: _replay(options, ending))


async def _replay(options: argparse.Namespace, ending: ExitStack) -> int:
    from modelfence.assembly import replaying  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.parts import read_parts  # noqa: PLC0415 - likewise

    settings = with_upstreams(settings_of(options, os.environ), options.dialect)
    parts = read_parts(settings)
    complain(parts.warnings)
    gc.freeze()  # what has been loaded by now stays: collections need not look at it again
    lines = open_recording(options.recording)
    ending.callback(lines.close)
    out = open_out(options.out, options.recording, ending)
    progress = Progress(lines, sys.stderr)
    complaints = Complaints(options.recording, progress)
    summary = Summary()
    try:
        async with replaying(settings, parts) as replayed:
            async for outcome in replayed.outcomes(lines):
                if out is not None:
                    out.write(outcome.as_json() + "\n")
                complaints.see(outcome)
                summary.add(outcome)
                progress.advance()
    finally:
        progress.clear()
    took_s = progress.took_s
    complaints.end("; the decisions (--out) name all of them")
    to = sys.stderr if options.out == STANDARD else sys.stdout
    if options.format == "json":
        print(json.dumps(as_json(summary, policy_hash=parts.policy.hash, took_s=took_s), indent=2), file=to)
    else:
        policy = f"{options.policy or parts.policy_path} ({parts.policy.hash}, {parts.policy.mode})"
        print(*lines_of(summary, policy=policy, took_s=took_s), sep="\n", file=to)
    return 1 if summary.broken else 0
