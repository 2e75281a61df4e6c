"""The page on editors: what it shows to copy works as it is."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import COMMAND

from modelfence.cli import parser
from modelfence.workbench.schema import KINDS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "editors.md").read_text()


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the shipped policies, a hook as the page shows it, and the command on the path."""
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "modelfence"
    command.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    command.chmod(0o755)
    git(tmp_path, "init", "--quiet")
    [hook] = [text for text in fenced("sh") if text.startswith("#!")]
    (tmp_path / ".git/hooks/pre-commit").write_text(hook)
    (tmp_path / ".git/hooks/pre-commit").chmod(stat.S_IRWXU)
    git(tmp_path, "add", "policies")
    return tmp_path


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    who = {f"GIT_{role}_{key}": "a@b.test" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(  # noqa: S603 - words of this test
        ["git", *words],  # noqa: S607 - as whoever runs the tests has it
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), **who},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_hook_lets_good_policies_pass_and_stops_a_commit_with_a_bad_one(repository):
    committed = git(repository, "commit", "--message", "all is well")
    assert committed.returncode == 0, committed.stdout + committed.stderr
    policy = repository / "policies/default.yaml"
    policy.write_text(policy.read_text().replace('kyc.status == "active" && ', ""))
    stopped = git(repository, "commit", "--all", "--message", "whoever")
    assert stopped.returncode == 1
    assert "FAILED" in stopped.stdout + stopped.stderr
    policy.write_text(policy.read_text().replace("burst: 120", "burst:   120"))
    stopped = git(repository, "commit", "--all", "--message", "spaces")
    assert "policies/default.yaml: in another form" in stopped.stdout + stopped.stderr


def test_every_command_shown_is_understood():
    text = re.sub(r" (?:>|#) .*", "", "\n".join([*fenced("sh"), *fenced("yaml")]), flags=re.MULTILINE)
    shown = re.findall(r"\bmodelfence (policy .*)$", text, re.MULTILINE)
    assert len(shown) >= 15
    for command in shown:
        words = shlex.split(command)
        parser().parse_args(
            [*words, "x.yaml"] if words[1] in ("fmt", "check") and words[-1] in ("fmt", "--strict") else words
        )


def test_there_is_a_command_for_each_schema():
    assert set(re.findall(r"^modelfence policy schema (\w+) > schemas/\1\.json$", PAGE, re.MULTILINE)) == set(KINDS)


def test_the_settings_of_editors_and_servers_are_what_they_read():
    for text in fenced("json"):
        assert json.loads(text)
    names = [name for text in fenced("yaml") for name in yaml.safe_load(text)]
    assert names == ["version", "repos", "name", True, "jobs"]  # `on` is true to YAML 1.1
