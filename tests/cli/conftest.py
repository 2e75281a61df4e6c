"""The command as a person runs it: a process of its own, in an empty folder, with no settings from outside."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

WITHIN_S = 30.0
COMMAND = [sys.executable, "-c", "import sys; from modelfence.cli import main; sys.exit(main())"]


def environment(**variables: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MODELFENCE_")} | variables


@pytest.fixture
def modelfence(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command to its end."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own command
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )

    return run


class Running:
    """A fence that `modelfence run` has started, with what it said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        too_late = threading.Timer(WITHIN_S, process.kill)
        too_late.start()
        assert process.stderr is not None
        for line in process.stderr:
            self.said += line
            if "admin" in line:
                break
        too_late.cancel()

    @property
    def url(self) -> str:
        found = re.search(r"listens on (http://\S+)", self.said)
        assert found, self.said
        return found[1]

    @property
    def admin(self) -> str:
        found = re.search(r"admin +(http://\S+)/metrics", self.said)
        assert found, self.said
        return found[1]


@pytest.fixture
def start_modelfence(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a command that stays up, and ends it."""
    with ExitStack() as ending:

        def start(*arguments: str | Path, **variables: str) -> Running:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*COMMAND, *map(str, arguments)],
                cwd=tmp_path,
                env=environment(**variables),
                stderr=subprocess.PIPE,
                text=True,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            return Running(process)

        yield start
