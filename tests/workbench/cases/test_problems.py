"""Each case file of `problems/` has something wrong, beside the text its author gets to read.

After a change of wording, `python tests/workbench/cases/test_problems.py` writes the texts anew; read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from modelfence.policy import CODES as POLICY_CODES
from modelfence.policy import compile_text
from modelfence.workbench.cases import CODES, read_case_text, read_cases

FOLDER = Path(__file__).parent / "problems"
NAMES = sorted(path.name.removesuffix(".cases.yaml") for path in FOLDER.glob("*.cases.yaml"))


def rendered(name: str) -> str:
    """Return all problems of a file; run within the folder, so that paths are shown as they were given."""
    read = read_cases(Path(f"{name}.cases.yaml"))
    return "".join(f"{problem.render()}\n\n" for problem in read.problems).rstrip("\n") + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_author_of_faulty_cases_reads_what_is_wrong_and_where(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert rendered(name) == (FOLDER / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_cases_with_an_error_are_not_run(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    read = read_cases(Path(f"{name}.cases.yaml"))
    assert (read.cases == ()) == any("warning" not in problem.severity for problem in read.problems)


def test_each_code_of_cases_has_a_file_and_each_file_has_known_codes():
    texts = [(FOLDER / f"{name}.txt").read_text() for name in NAMES]
    shown = {code for text in texts for code in re.findall(r"^\S+:\d+:\d+: .* \[([a-z-]+)\]$", text, re.MULTILINE)}
    assert set(CODES) <= shown
    assert shown <= {*CODES, *POLICY_CODES}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-document"),
        ("cases: [", "yaml-syntax"),
        ("- a", "wrong-type"),
        ("cases: {a: 1}", "wrong-type"),
        ("cases: [a]", "wrong-type"),
    ],
)
def test_what_are_no_cases_at_all_is_a_problem_and_no_error_of_the_program(text, code):
    read = read_case_text(text, compile_text("version: 1\naccess: [{id: a, allow: 'true'}]\n"))
    assert code in {problem.code for problem in read.problems}
    assert read.cases == ()


def test_a_file_that_is_not_text_is_a_problem(tmp_path):
    (tmp_path / "a.cases.yaml").write_bytes(b"\xff\xfe\x00")
    [problem] = read_cases(tmp_path / "a.cases.yaml").problems
    assert problem.code == "unreadable"


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_cases(tmp_path / "a.cases.yaml")


if __name__ == "__main__":
    os.chdir(FOLDER)
    for each in NAMES:
        Path(f"{each}.txt").write_text(rendered(each))
