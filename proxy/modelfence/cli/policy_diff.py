"""`modelfence policy diff`: what changes for recorded requests when one policy takes the place of another."""

import argparse
import gc
import json
import os
import re
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from modelfence.cli.run import complain

if TYPE_CHECKING:
    from modelfence.workbench.comparing import Compared, Comparison

_EXAMPLE = (
    "example:\n"
    "  modelfence policy diff live.yaml new.yaml --on day.jsonl --accounts accounts.yaml --max-newly-refused 0.5%"
)
_LIMIT = re.compile(r"([0-9]{1,15})|([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%")


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests may be newly refused: a number, or per cent of those that the old policy let in."""

    written: str
    most: Decimal
    is_share: bool

    def of(self, let_in: int) -> int:
        """Return how many that are."""
        return int(self.most * let_in / 100) if self.is_share else int(self.most)


def limit(written: str) -> Limit:
    """Return a limit as it is written. Raises ArgumentTypeError."""
    match = _LIMIT.fullmatch(written)
    if match is None or (match[2] and Decimal(match[2]) > 100):  # noqa: PLR2004 - per cent
        raise argparse.ArgumentTypeError(f"`{written}` is neither a number, as in 20, nor a share, as in 0.5%")
    return Limit(written, Decimal(match[1] or match[2]), is_share=match[1] is None)


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "diff",
        help="see what a change of a policy does to recorded traffic",
        description=(
            "Run a recording through two policies and print what changes when NEW takes the place of OLD: for whom, by "
            "which rule, with examples. Exits with 1 when NEW refuses more that OLD let in than --max-newly-refused "
            "allows, or when the recording has broken lines."
        ),
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the policy as it is")
    parser.add_argument("new", type=Path, metavar="NEW", help="the policy as it is to be")
    parser.add_argument(
        "--on", required=True, metavar="RECORDING", help="JSON lines, also as gzip; - is standard input"
    )
    parser.add_argument("--accounts", metavar="FILE", help="who is let in: accounts file, or redis://…")
    parser.add_argument(
        "--max-newly-refused",
        type=limit,
        metavar="N|P%",
        help="how many requests NEW may refuse that OLD let in: a number, or a share of those",
    )
    parser.add_argument("--as-enforced", action="store_true", help="take NEW as if nothing in it were in shadow")
    parser.add_argument("--out", metavar="FILE", help="where the requests that fare otherwise go; - is standard output")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")
    add_reading_to(parser)
    parser.set_defaults(command=diff)


def diff(options: argparse.Namespace) -> int:
    """Return 0, 1 for too many newly refused or for broken lines, 2 when it could not be done to the end."""
    return over_recording("policy diff", options.on, lambda ending: _diff(options, ending))


async def _diff(options: argparse.Namespace, ending: ExitStack) -> int:
    from modelfence.parts import compiled_policy, read_parts, with_policy  # noqa: PLC0415 - help need not wait for it
    from modelfence.source_files import SourceFiles  # noqa: PLC0415 - likewise
    from modelfence.workbench.comparing import compare  # noqa: PLC0415 - likewise

    settings = replace(with_upstreams(settings_of(options, os.environ), options.dialect), policy=options.old)
    old = read_parts(settings)
    new = with_policy(settings, old, compiled_policy(options.new, SourceFiles()), options.new)
    complain(dict.fromkeys((*old.warnings, *new.warnings)))
    gc.freeze()  # what has been loaded by now stays: collections need not look at it again
    lines = open_recording(options.on)
    ending.callback(lines.close)
    watching = _Watching(options, Progress(lines, sys.stderr), ending)
    try:
        comparison = await compare(settings, old, new, lines, as_enforced=options.as_enforced, watch=watching.see)
    finally:
        watching.progress.clear()
    watching.complaints.end()
    _print(options, comparison, watching.progress.took_s)
    return 1 if comparison.recorded.broken or _is_exceeded(options.max_newly_refused, comparison) else 0


class _Watching:
    """What is done with each line on the way."""

    def __init__(self, options: argparse.Namespace, progress: Progress, ending: ExitStack) -> None:
        self.progress = progress
        self.complaints = Complaints(options.on, progress)
        self._out = open_out(options.out, options.on, ending)

    def see(self, compared: "Compared") -> None:
        from modelfence.workbench.comparing import Pair, line_of  # noqa: PLC0415 - loaded already

        self.progress.advance()
        if not isinstance(compared, Pair):
            self.complaints.see(compared)
            return
        self.complaints.see(compared.new)
        if compared.reasons and self._out is not None:
            self._out.write(json.dumps(line_of(compared)) + "\n")


def _is_exceeded(most: Limit | None, comparison: "Comparison") -> bool:
    return most is not None and comparison.newly_refused > most.of(comparison.old.let_in)


def _print(options: argparse.Namespace, comparison: "Comparison", took_s: float) -> None:
    from modelfence.cli.policy_diff_tables import lines_of  # noqa: PLC0415 - help need not wait for it
    from modelfence.workbench.comparing import as_json  # noqa: PLC0415 - likewise

    most: Limit | None = options.max_newly_refused
    to = sys.stderr if options.out == STANDARD else sys.stdout
    allowed = None if most is None else most.of(comparison.old.let_in)
    if options.format == "json":
        said = {"max_newly_refused": allowed, "is_exceeded": _is_exceeded(most, comparison), "took_s": round(took_s, 3)}
        print(json.dumps({**as_json(comparison), **said}, indent=2), file=to)
        return
    verdict = None
    if most is not None and allowed is not None:
        let_in = comparison.old.let_in
        share = f"{most.written} of the {let_in:,} that OLD let in, so {allowed:,}" if most.is_share else f"{allowed:,}"
        than = "more than" if _is_exceeded(most, comparison) else "within"
        verdict = f"That is {than} what --max-newly-refused allows: {share}."
    print(*lines_of(comparison, took_s=took_s, verdict=verdict), sep="\n", file=to)
