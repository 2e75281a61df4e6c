"""The search for a Python on machines of many kinds, each a folder of its own for the path and the home."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "find-python"
SHELL = shutil.which("sh") or "/bin/sh"
GOOD = f'#!{SHELL}\nexec "{sys.executable}" "$@"\n'
SHIM = f"#!{SHELL}\necho 'not installed' >&2\nexit 127\n"
OLD = f"#!{SHELL}\nexit 1\n"


@pytest.fixture
def find_python(tmp_path: Path):
    """Runs the script where nothing is to be found but these files."""

    def run(files: dict[str, str], *wanted: str, **variables: str) -> subprocess.CompletedProcess[str]:
        for name in ("ls", "sort", "cut", "id"):
            (tmp_path / "bin").mkdir(exist_ok=True)
            (tmp_path / "bin" / name).symlink_to(shutil.which(name))
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        given = {name: text.replace("HERE", str(tmp_path)) for name, text in variables.items()}
        environment = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path / "home")} | given
        return subprocess.run(  # noqa: S603 - our own script
            [SHELL, str(SCRIPT), *wanted], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


UV = f'#!{SHELL}\necho "${{0%/*}}/../of-uv/python"\n'


@pytest.mark.parametrize(
    ("files", "variables"),
    [
        ({"own/python": GOOD}, {"PYTHON": "HERE/own/python"}),
        ({"bin/uv": UV, "of-uv/python": GOOD}, {}),
        ({"bin/python3.12": GOOD}, {}),
        ({"bin/uv": OLD, "bin/python3.13": SHIM, "bin/python3.12": OLD, "bin/python3": GOOD}, {}),
        ({"bin/python3": OLD, "home/.pyenv/versions/3.12.4/bin/python3": GOOD}, {}),
        ({"bin/python3.13": SHIM, "else/versions/3.13.0/bin/python3": GOOD}, {"PYENV_ROOT": "HERE/else"}),
        (
            {"home/.pyenv/versions/3.9.1/bin/python3": OLD, "home/.pyenv/versions/3.12.4/bin/python3": GOOD},
            {},
        ),
    ],
)
def test_a_python_that_runs_is_found(find_python, files, variables):
    found = find_python(files, **variables)
    assert (found.returncode, found.stdout.strip()) == (0, sys.executable), found.stderr


def test_a_python_that_was_named_and_does_not_run_is_not_replaced(find_python):
    found = find_python({"bin/python3": GOOD, "own/python": OLD}, PYTHON="HERE/own/python")
    assert (found.returncode, found.stdout) == (1, "")
    assert "point PYTHON at one that does, or unset it" in found.stderr


def test_where_there_is_none_one_sentence_says_what_to_install(find_python):
    found = find_python({"bin/python3": OLD, "bin/python3.13": SHIM})
    assert (found.returncode, found.stdout, found.stderr.count("\n")) == (1, "", 1)
    assert "modelfence needs Python 3.12 or later: install it" in found.stderr


def test_the_version_that_is_wanted_is_found(find_python):
    found = find_python({"bin/python3": GOOD}, f"{sys.version_info.major}.{sys.version_info.minor}")
    assert (found.returncode, found.stdout.strip()) == (0, sys.executable), found.stderr


def test_no_other_version_than_the_wanted_one_is_found(find_python):
    found = find_python({"bin/python3": GOOD}, "3.99")
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "there is no Python 3.99 that runs and has venv\n"
