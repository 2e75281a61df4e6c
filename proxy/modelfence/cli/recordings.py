"""What the commands that run a recording through fences have in common: how it is opened, read and complained of."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from modelfence.adapters.recording.lines import RecordingLines, UnreadableError
from modelfence.cli.progress import Progress
from modelfence.cli.run import complain
from modelfence.replay.outcomes import Broken, Decided, Rejected
from modelfence.settings import CannotStartError, Settings
from modelfence.settings_reading import CONFIG_VARIABLE, load
from modelfence.settings_upstreams import DIALECT

STANDARD = "-"
"""The name of standard input as a recording, and of standard output for what comes of its lines."""
COMPLAINTS = 20
"""So many broken lines are told one by one."""


def add_reading_to(parser: Any) -> None:
    """Add the options that say whose requests a recording holds."""
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument(
        "--dialect", choices=DIALECT.options, help="the API that was called (default: told by each path)"
    )
    whose.add_argument("--config", type=Path, metavar="FILE", help="settings that name the upstreams that were called")


def over_recording(name: str, recording: str, work: Callable[[ExitStack], Coroutine[Any, Any, int]]) -> int:
    """Return the exit status of what a command does over a recording, 2 when it could not be done to the end.

    `work` gets what is to be closed at its end.
    """
    try:
        with ExitStack() as ending:
            return asyncio.run(work(ending))
    except CannotStartError as error:
        complain(error.problems)
        print(f"modelfence {name}: {error}", file=sys.stderr)
    except UnreadableError as error:
        print(f"modelfence {name}: the recording {recording} can't be read: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"modelfence {name}: interrupted", file=sys.stderr)
    return 2


def settings_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Settings:
    """Return the settings for calls that were recorded. Raises CannotStartError.

    No file is read unless asked for, and no Redis used that was not named here: that of a fence is not meant.
    """
    file = options.config or (Path(named) if (named := environment.get(CONFIG_VARIABLE)) else None)
    given = {name: getattr(options, name, None) for name in ("policy", "accounts", "store")}
    flags = {name: value for name, value in given.items() if value is not None}
    settings, problems = load(file, environment, flags, with_secrets=False)
    if settings is None:
        raise CannotStartError("a setting is wrong; mend it and start again", problems)
    complain(problems)
    return settings


def with_upstreams(settings: Settings, dialect: str | None) -> Settings:
    """Return the settings with upstreams for calls of that dialect, or of any where the settings name none."""
    from modelfence.assembly import anywhere  # noqa: PLC0415 - loads what help need not wait for

    if not dialect and settings.upstreams:
        return settings
    return replace(settings, upstreams=anywhere((dialect,) if dialect else DIALECT.options))


def open_recording(recording: str) -> RecordingLines:
    """Open a recording, or standard input. Raises UnreadableError."""
    if recording == STANDARD:
        return RecordingLines(open(0, "rb", buffering=0, closefd=False))
    return RecordingLines.of(Path(recording))


def open_out(out: str | None, recording: str, ending: ExitStack) -> TextIO | None:
    """Return where what comes of the lines goes, None where it goes nowhere. Raises CannotStartError."""
    if out is None:
        return None
    if out == STANDARD:
        return sys.stdout
    path = Path(out)
    if path.exists() and recording != STANDARD and path.samefile(recording):
        raise CannotStartError(f"--out {path} is the recording itself")
    try:
        return ending.enter_context(path.open("w", encoding="utf8"))
    except OSError as error:
        raise CannotStartError(f"--out {path} can't be written: {error.strerror}") from None


class Complaints:
    """Complains of lines, not of all when they are many."""

    def __init__(self, recording: str, progress: Progress) -> None:
        self._name = "standard input" if recording == STANDARD else recording
        self._progress = progress
        self._broken = 0
        self._was_late = False

    def see(self, outcome: Broken | Rejected | Decided) -> None:
        """Complain of a line if there is something wrong."""
        if isinstance(outcome, Broken):
            self._broken += 1
            if self._broken <= COMPLAINTS:
                self._say(outcome.n, outcome.error)
        elif outcome.is_late and not self._was_late:
            self._was_late = True
            self._say(outcome.n, "it is earlier than a line before it, so it is judged at the time of that one")

    def end(self, where: str = "") -> None:
        """Say how many were not complained of, and where all of them are named."""
        if self._broken > COMPLAINTS:
            print(f"… and {self._broken - COMPLAINTS:,} more broken lines{where}", file=sys.stderr)

    def _say(self, n: int, words: str) -> None:
        self._progress.clear()
        print(f"{self._name}:{n + 1}: {words}", file=sys.stderr)
