"""The unit of systemd: held to systemd's own checks, to the settings and to the document that goes with it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from modelfence.cli import parser
from modelfence.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "modelfence.service"
TEXT = UNIT.read_text()
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 1.2
"""Out of ten. What is left: a service on the network needs sockets, and this one the files of its own machine."""

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed: the unit is not checked")


def directive(name):
    return re.findall(rf"^{name}=(.*)$", TEXT, re.MULTILINE)


def analyze(*arguments: str):
    return subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - a linter


@needs_systemd
def test_systemd_understands_every_line(tmp_path):
    # It also looks whether the command is there, which it is where the fence is installed.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", TEXT, flags=re.MULTILINE))
    ended = analyze("verify", "--man=no", str(unit))
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_little_exposed():
    ended = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", ended.stdout)
    assert float(exposure) <= MOST_EXPOSED


def test_the_command_is_understood():
    [command] = directive("ExecStart")
    program, *arguments = command.split()
    assert program == "/opt/modelfence/bin/modelfence"
    assert str(parser().parse_args(arguments).config) == "/etc/modelfence/modelfence.yaml"


def test_it_is_reloaded_and_stopped_as_the_fence_expects():
    assert directive("ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert directive("KillMode") == ["mixed"]
    assert int(directive("TimeoutStopSec")[0]) >= Settings().limits.drain_s + 5
    assert directive("Restart") == ["on-failure"]


def test_it_may_open_the_descriptors_that_its_connections_take():
    [most] = map(int, directive("LimitNOFILE"))
    assert most >= 2 * Settings().limits.connections


def test_it_can_become_nothing_else():
    assert directive("NoNewPrivileges") == ["yes"]
    assert directive("CapabilityBoundingSet") == directive("AmbientCapabilities") == [""]
    assert directive("DynamicUser") == ["yes"]
    assert directive("ProtectSystem") == ["strict"]
    # Workers and their supervisor speak over a pair of local sockets.
    assert directive("RestrictAddressFamilies") == ["AF_INET AF_INET6 AF_UNIX"]
