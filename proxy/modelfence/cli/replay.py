"""`modelfence replay`: a recording through the same loop, on its own clock: what a policy would have done to it."""

import argparse
import asyncio
import gc
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from modelfence.adapters.recording.lines import RecordingLines, UnreadableError
from modelfence.cli.progress import Progress
from modelfence.cli.replay_tables import lines_of
from modelfence.cli.run import complain
from modelfence.replay.outcomes import Broken, Outcome
from modelfence.replay.summary import Summary, as_json
from modelfence.settings import CannotStartError, Settings
from modelfence.settings_reading import CONFIG_VARIABLE, load
from modelfence.settings_upstreams import DIALECT

STANDARD = "-"
"""The name of standard input as a recording, and of standard output for decisions."""
COMPLAINTS = 20
"""So many broken lines are told one by one."""
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
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument(
        "--dialect", choices=DIALECT.options, help="the API that was called (default: told by each path)"
    )
    whose.add_argument("--config", type=Path, metavar="FILE", help="settings that name the upstreams that were called")
    parser.set_defaults(command=replay)


def replay(options: argparse.Namespace) -> int:
    """Return 0, 1 when the recording has broken lines, 2 when it could not be replayed to its end."""
    try:
        with ExitStack() as ending:
            return asyncio.run(_replay(options, ending))
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence replay: {error}", file=sys.stderr)
    except UnreadableError as error:
        print(f"modelfence replay: the recording {options.recording} can't be read: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("modelfence replay: interrupted", file=sys.stderr)
    return 2


def settings_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Return the settings for a replay. Raises CannotStartError.

    No file is read unless asked for, and no Redis used that was not named here: that of a fence is not meant.
    """
    file = options.config or (Path(named) if (named := environment.get(CONFIG_VARIABLE)) else None)
    flags = {name: value for name in ("policy", "accounts", "store") if (value := getattr(options, name)) is not None}
    settings, problems = load(file, environment, flags, with_secrets=False)
    if settings is None:
        raise CannotStartError("a setting is wrong; mend it and start again", problems)
    complain(problems)
    return settings


async def _replay(options: argparse.Namespace, ending: ExitStack) -> int:
    from modelfence.assembly import anywhere, replaying  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.parts import read_parts  # noqa: PLC0415 - likewise

    settings = settings_of(options, os.environ)
    if options.dialect or not settings.upstreams:
        named = (options.dialect,) if options.dialect else DIALECT.options
        settings = replace(settings, upstreams=anywhere(named))
    parts = read_parts(settings)
    complain(parts.warnings)
    gc.freeze()  # what has been loaded by now stays: collections need not look at it again
    lines = _open(options.recording)
    ending.callback(lines.close)
    out = _open_out(options, ending)
    progress = Progress(lines, sys.stderr)
    telling = _Telling(options.recording, progress)
    summary = Summary()
    try:
        async with replaying(settings, parts) as replayed:
            async for outcome in replayed.outcomes(lines):
                if out is not None:
                    out.write(outcome.as_json() + "\n")
                telling.tell(outcome, summary)
                summary.add(outcome)
                progress.advance()
    finally:
        progress.clear()
    took_s = progress.took_s
    telling.end(summary)
    to = sys.stderr if options.out == STANDARD else sys.stdout
    if options.format == "json":
        print(json.dumps(as_json(summary, policy_hash=parts.policy.hash, took_s=took_s), indent=2), file=to)
    else:
        policy = f"{options.policy or parts.policy_path} ({parts.policy.hash}, {parts.policy.mode})"
        print(*lines_of(summary, policy=policy, took_s=took_s), sep="\n", file=to)
    return 1 if summary.broken else 0


class _Telling:
    """Complains of lines, not of all when they are many."""

    def __init__(self, recording: str, progress: Progress) -> None:
        self._name = "standard input" if recording == STANDARD else recording
        self._progress = progress

    def tell(self, outcome: Outcome, before: Summary) -> None:
        """Complain of a line if there is something wrong; `before` is the summary of those before it."""
        if isinstance(outcome, Broken):
            if before.broken < COMPLAINTS:
                self._say(outcome.n, outcome.error)
        elif outcome.is_late and not before.late:
            self._say(outcome.n, "it is earlier than a line before it, so it is judged at the time of that one")

    def end(self, summary: Summary) -> None:
        """Say how many were not complained of."""
        if summary.broken > COMPLAINTS:
            more = f"… and {summary.broken - COMPLAINTS:,} more broken lines; the decisions (--out) name all of them"
            print(more, file=sys.stderr)

    def _say(self, n: int, words: str) -> None:
        self._progress.clear()
        print(f"{self._name}:{n + 1}: {words}", file=sys.stderr)


def _open(recording: str) -> RecordingLines:
    if recording == STANDARD:
        return RecordingLines(open(0, "rb", buffering=0, closefd=False))
    return RecordingLines.of(Path(recording))


def _open_out(options: argparse.Namespace, ending: ExitStack) -> TextIO | None:
    """Return where decisions go. Raises CannotStartError."""
    if options.out is None:
        return None
    if options.out == STANDARD:
        return sys.stdout
    path = Path(options.out)
    if path.exists() and options.recording != STANDARD and path.samefile(options.recording):
        raise CannotStartError(f"--out {path} is the recording itself")
    try:
        return ending.enter_context(path.open("w", encoding="utf8"))
    except OSError as error:
        raise CannotStartError(f"--out {path} can't be written: {error.strerror}") from None
