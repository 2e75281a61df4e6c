"""The units that fetch geo databases: held to systemd's own checks, to the command line and to the document."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from modelfence.cli import parser
from modelfence.settings_reading import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
SERVICE, TIMER = FOLDER / "modelfence-geo.service", FOLDER / "modelfence-geo.timer"
ANALYZE = shutil.which("systemd-analyze")
MOST_EXPOSED = 1.4
"""Out of ten. It needs the network, and a folder that it may write to."""

needs_systemd = pytest.mark.skipif(
    ANALYZE is None, reason="systemd-analyze is not installed: the units are not checked"
)


def directive(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", SERVICE.read_text(), re.MULTILINE)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ANALYZE), *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - a linter


@needs_systemd
def test_systemd_understands_every_line(tmp_path):
    # It also looks whether the command is there, which it is where the fence is installed.
    service, timer = tmp_path / SERVICE.name, tmp_path / TIMER.name
    service.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", SERVICE.read_text(), flags=re.MULTILINE))
    timer.write_text(TIMER.read_text())
    ended = analyze("verify", "--man=no", str(service), str(timer))
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_little_exposed():
    ended = analyze("security", "--offline=true", "--no-pager", str(SERVICE))
    [exposure] = re.findall(r"Overall exposure level for \S+: ([\d.]+)", ended.stdout)
    assert float(exposure) <= MOST_EXPOSED


def test_the_command_is_understood():
    [command] = directive("ExecStart")
    program, *arguments = command.split()
    assert program == "/opt/modelfence/bin/modelfence"
    assert str(parser().parse_args(arguments).config) == "/etc/modelfence/modelfence.yaml"


def test_the_document_names_the_key_and_the_folder_that_the_unit_has(tmp_path):
    page = (ROOT / "docs" / "geography.md").read_text()
    [shown] = re.findall(r"^```yaml\n(geo:.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "modelfence.yaml").write_text(shown)
    settings, problems = load(tmp_path / "modelfence.yaml", {}, {})
    assert problems == ()
    [credential] = directive("LoadCredential")
    assert settings.geo_update.license_key == Path("/run/credentials") / SERVICE.name / credential.partition(":")[0]
    [folder] = directive("StateDirectory")
    assert settings.geo.country.parent == settings.geo.asn.parent == Path("/var/lib") / folder
    assert all(unit.name in page for unit in (SERVICE, TIMER))
