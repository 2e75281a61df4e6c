"""`modelfence demo`: everyone meets the fate the policy says, and the demo notices when not."""

import os
import pty
import re
import signal
import subprocess
import threading
from dataclasses import replace

from tests.cli.conftest import COMMAND, WITHIN_S, environment

from modelfence.core.decision import Effect
from modelfence.demo.callers import CALLERS
from modelfence.demo.scoreboard import Scoreboard


def test_each_caller_meets_the_fate_the_policy_says(modelfence):
    ended = modelfence("demo")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Each caller met the fate the policy says." in ended.stdout
    for caller in CALLERS:
        assert caller.name in ended.stdout
    for rule in (
        "embargoed-region",
        "deep-research-needs-verification",
        "requests-per-account",
        "active-customers",
        "output-tokens-per-campaign",
    ):
        assert rule in ended.stdout
    assert "Traceback" not in ended.stderr
    assert ended.stdout.endswith("\n\nTo keep it up, and call it by hand: modelfence demo --forever\n")


def interrupted_once_it_shows(shown: bytes, *arguments: str, cwd) -> tuple[int, str]:
    """Run the command on a terminal, press Ctrl-C, and return its exit status and all that it showed."""
    ours, theirs = pty.openpty()
    with subprocess.Popen([*COMMAND, *arguments], cwd=cwd, env=environment(), stdout=theirs, stderr=theirs) as process:  # noqa: S603 - our own command
        os.close(theirs)
        too_late = threading.Timer(WITHIN_S, process.kill)
        too_late.start()
        said = b""
        while not re.search(shown, said):
            said += os.read(ours, 1024)
        process.send_signal(signal.SIGINT)
        while more := read_or_end(ours):
            said += more
        status = process.wait(WITHIN_S)
        too_late.cancel()
    os.close(ours)
    return status, said.decode().replace("\r\n", "\n")


def read_or_end(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1024)
    except OSError:  # what Linux says once nobody holds the other end
        return b""


def test_ctrl_c_while_callers_call_ends_it_without_a_complaint(tmp_path):
    status, said = interrupted_once_it_shows(rb"hasty .* [0-9]", "demo", cwd=tmp_path)
    assert status == 2
    assert said.endswith("\ninterrupted\n")
    assert "Traceback" not in said
    assert "exception" not in said


def test_what_is_kept_up_says_how_to_call_it_and_ends_by_ctrl_c(tmp_path):
    status, said = interrupted_once_it_shows(rb"Ctrl-C ends it", "demo", "--forever", cwd=tmp_path)
    assert status == 0
    assert "/v1/chat/completions" in said
    assert re.search(r"\n  modelfence extraction cohorts --admin 127\.0\.0\.1:\d+\nCtrl-C ends it\.\n$", said)


def test_a_caller_who_was_not_seen_is_a_surprise():
    (surprise, *_) = Scoreboard(CALLERS[:1]).surprises()
    assert surprise.startswith("acme: allow by active-customers expected, met nothing")


def test_the_callers_show_every_fate():
    assert {caller.fate for caller in CALLERS} == {Effect.ALLOW, Effect.DENY, Effect.THROTTLE}
    assert len({caller.country for caller in CALLERS}) >= 4
    assert replace(CALLERS[0], name="x").key == "sk-demo-x"
