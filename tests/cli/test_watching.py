"""`--watch`, as an author sees it who saves files in an editor: processes that run, and what they print by and by."""

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cli.conftest import COMMAND, WITHIN_S, environment

POLICY = """\
version: 1
include: [pack.yaml]
access:
  - {id: active, allow: kyc.status == "active"}
"""
PACK = 'version: 1\naccess:\n  - {id: closed, deny: client.country == "KP"}\n'
CASES = """\
given: {kyc.status: active, client.country: NO}
cases:
  - {name: one, expect: {effect: allow}}
  - {name: two, given: {client.country: KP}, expect: {effect: deny}}
"""
ACCOUNTS = 'accounts:\n  - {{id: acme, keys: ["sha256:{}"], status: {}, tier: basic}}\n'


class Watching:
    """A command that watches."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def until(self, pattern: str) -> str:
        """Read on to a line in which a pattern is found, and return it."""
        assert self.process.stdout is not None
        too_late = threading.Timer(WITHIN_S, self.process.kill)
        too_late.start()
        try:
            for line in self.process.stdout:
                self.said += line
                if re.search(pattern, line):
                    return line
        finally:
            too_late.cancel()
        raise AssertionError(f"no {pattern!r} in {self.said!r}")

    def interrupted(self) -> int:
        """Press Ctrl-C, and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=WITHIN_S)
        self.said += said
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Watching]]:
    """Starts a command in a folder with a policy, its pack and its cases."""
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "pack.yaml").write_text(PACK)
    (tmp_path / "p.cases.yaml").write_text(CASES)
    with ExitStack() as ending:

        def started(*words: str) -> Watching:
            process = subprocess.Popen(  # noqa: S603 - our own command
                [*COMMAND, "policy", *words],
                cwd=tmp_path,
                env=environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            return Watching(process)

        yield started


def exchange(path: Path, text: str) -> None:
    """Save a file as many editors do: another one takes its name."""
    other = path.with_name(f"{path.name}~")
    other.write_text(text)
    other.replace(path)


def test_a_policy_is_checked_again_when_it_or_what_it_includes_is_saved(tmp_path, start):
    watching = start("check", "--watch", "p.yaml")
    assert re.fullmatch(r"\d\d:\d\d:\d\d p\.yaml: fine, 2 rules, hash \w+\n", watching.until("fine"))
    watching.until("watching 3 files; Ctrl-C ends it")
    (tmp_path / "p.yaml").write_text(POLICY.replace("kyc.status", "kyc.state"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d\n", watching.until(r"^\d\d:\d\d:\d\d"))
    watching.until(r"^p\.yaml:4:25: unknown fact `kyc.state` \[unknown-fact\]")
    exchange(tmp_path / "p.yaml", POLICY)
    watching.until("fine, 2 rules")
    exchange(tmp_path / "pack.yaml", PACK + '  - {id: other, deny: client.country == "IR"}\n')
    watching.until("no case expects anything of `other`")
    assert watching.interrupted() == 0
    assert "Traceback" not in watching.said
    assert "\x1b" not in watching.said


def test_files_may_go_and_come_and_be_half_written(tmp_path, start):
    watching = start("check", "--watch", "p.yaml")
    watching.until("watching")
    (tmp_path / "p.yaml").unlink()
    watching.until("p.yaml can't be read: No such file or directory")
    with (tmp_path / "p.yaml").open("w") as file:
        for line in POLICY.splitlines(keepends=True):
            file.write(line)
            file.flush()
    watching.until("fine, 2 rules")
    (tmp_path / "pack.yaml").unlink()
    watching.until("`pack.yaml` can't be read")
    (tmp_path / "pack.yaml").write_text(PACK)
    watching.until("fine, 2 rules")
    assert watching.interrupted() == 0


def test_ctrl_c_ends_with_the_status_of_the_last_round(tmp_path, start):
    (tmp_path / "p.yaml").write_text("version: 2\n")
    watching = start("check", "--watch", "p.yaml")
    watching.until("watching")
    assert watching.interrupted() == 1
    assert "Traceback" not in watching.said


def test_several_fine_files_take_one_line(start):
    watching = start("check", "--watch", "p.yaml", "pack.yaml", "p.cases.yaml")
    assert re.fullmatch(r"\d\d:\d\d:\d\d 3 files, all fine\n", watching.until("fine"))


def test_cases_are_run_again_when_they_or_the_accounts_are_saved_and_when_there_are_more(tmp_path, start):
    digest = "9" * 64
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS.format(digest, "active"))
    (tmp_path / "p.cases.yaml").write_text(
        f"accounts: accounts.yaml\n{CASES}  - {{name: asks, request: {{account: acme, client_ip: 8.8.8.8, body: {{model: m}}}}, expect: {{effect: allow}}}}\n"
    )
    watching = start("test", "--watch")
    assert re.match(r"\d\d:\d\d:\d\d 3 cases in 1 file: all passed", watching.until("cases in"))
    watching.until("watching 4 files")
    exchange(tmp_path / "accounts.yaml", ACCOUNTS.format(digest, "closed"))
    watching.until(r"^FAILED +p\.cases\.yaml:\d+:5: asks")
    exchange(tmp_path / "accounts.yaml", ACCOUNTS.format(digest, "active"))
    watching.until("3 cases in 1 file: all passed")
    (tmp_path / "more.cases.yaml").write_text(f"policy: p.yaml\n{CASES}")
    watching.until("5 cases in 2 files: all passed")
    (tmp_path / "more.cases.yaml").unlink()
    watching.until("3 cases in 1 file: all passed")
    (tmp_path / "p.yaml").write_text(POLICY.replace('"active"', '"closed"'))
    watching.until("^FAILED")
    assert watching.interrupted() == 1


@pytest.mark.usefixtures("start")
def test_a_terminal_shows_the_last_round_alone(tmp_path):
    ours, theirs = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - our own command
        [*COMMAND, "policy", "check", "--watch", "p.yaml"],
        cwd=tmp_path,
        env=environment(),
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        too_late = threading.Timer(WITHIN_S, process.kill)
        too_late.start()
        said = b""
        while b"fine" not in said:
            said += os.read(ours, 1024)
        process.send_signal(signal.SIGINT)
        assert process.wait(WITHIN_S) == 0
        too_late.cancel()
    os.close(ours)
    assert said.startswith(b"\x1b[2J\x1b[H")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("check", "--watch", "missing.yaml"), "missing.yaml can't be read: No such file or directory\n"),
        (("test", "--watch", "missing.yaml"), "missing.yaml can't be read: No such file or directory\n"),
        (
            ("check", "--watch", "--format", "json", "p.yaml"),
            "--watch prints text alone: leave --format out\n",
        ),
        (
            ("test", "--watch", "--format", "json"),
            "--watch prints text alone: leave --format out\n",
        ),
    ],
)
def test_what_can_not_be_done_is_not_waited_for(run_here, words, complaint):
    ended = run_here("policy", *words)
    assert (ended.returncode, ended.stderr) == (2, complaint)
