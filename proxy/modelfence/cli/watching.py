"""`--watch`: a command runs again whenever a file that it read is saved, until Ctrl-C ends it."""

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelfence.cli.tables import count
from modelfence.source_files import SourceFiles
from modelfence.workers.watch import Watch

_PAUSE_S = 0.2
_WORK = 0.1
"""Looking at files takes no larger part of the time than this, however many they are."""
_COULD_NOT_BE_DONE = 2
_CLEAR = "\x1b[2J\x1b[H"


@dataclass(frozen=True, slots=True)
class Round:
    """What a command came to, and which case files it found that count: another one is a reason to run again."""

    status: int
    found: Collection[Path] = ()
    find: Callable[[], Collection[Path]] = tuple


def add_watch_to(parser: argparse.ArgumentParser) -> None:
    """Add `--watch` to a command."""
    parser.add_argument(
        "--watch", action="store_true", help="do it again whenever a file that counts is saved; Ctrl-C ends it"
    )


def once_or_watching(run: Callable[[SourceFiles], Round], options: argparse.Namespace) -> int:
    """Run a command as its options say, and return its exit status; 2 where they do not go together."""
    if not options.watch:
        return run(SourceFiles()).status
    if options.format != "text":
        print("--watch prints text alone: leave --format out", file=sys.stderr)
        return _COULD_NOT_BE_DONE
    return _watch(run)


def _watch(run: Callable[[SourceFiles], Round]) -> int:
    """Run a command again and again; it reads through the files it is handed, and prints.

    Returns the status of the last round when Ctrl-C ends it, and at once where the first could not be done.
    """
    status: int | None = None
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            files = SourceFiles()
            said, complaints = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaints):
                done = run(files)
            is_first, status = status is None, done.status
            _show(said.getvalue(), complaints.getvalue())
            if is_first and status == _COULD_NOT_BE_DONE:
                return status
            if is_first:
                print(f"watching {count(len(files.stamps), 'file')}; Ctrl-C ends it", file=sys.stderr, flush=True)
            _wait_for_change(files, done)
    return status or 0


def _show(said: str, complaints: str) -> None:
    """Print what a round said below the time, on the same line if it is one; a terminal shows the last round alone."""
    if sys.stdout.isatty():
        print(end=_CLEAR)
    sign = " " if said.count("\n") == 1 else "\n"
    print(f"{datetime.now(UTC).astimezone():%H:%M:%S}{sign}{said}", end="" if said else "\n", flush=True)
    print(complaints, end="", file=sys.stderr, flush=True)


def _wait_for_change(files: SourceFiles, done: Round) -> None:
    watch = Watch()
    watch.expect(files.stamps)
    found = set(done.found)
    while True:
        began_s = time.monotonic()
        if watch.has_changed() or set(done.find()) != found:
            return
        took_s = time.monotonic() - began_s
        time.sleep(max(_PAUSE_S, took_s / _WORK))
