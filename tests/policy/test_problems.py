"""Each file of `problems/` is a policy with something wrong, beside the text its author gets to read.

After a change of wording, `python tests/policy/test_problems.py` writes the texts anew; read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from modelfence.core.problem import errors
from modelfence.policy import compile_policy
from modelfence.policy.codes import COMPILING

FOLDER = Path(__file__).parent / "problems"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def rendered(name: str) -> str:
    """Return all problems of a policy; run within the folder, so that paths are shown as they were given."""
    compiled = compile_policy(Path(f"{name}.yaml"))
    assert (compiled.policy is None) == bool(errors(compiled.problems))
    return "".join(f"{problem.render()}\n\n" for problem in compiled.problems).rstrip("\n") + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_author_of_a_faulty_policy_reads_what_is_wrong_and_where(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert rendered(name) == (FOLDER / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_every_underlined_token_stands_where_it_is_said_to(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    for problem in compile_policy(Path(f"{name}.yaml")).problems:
        quoted = re.match(r"unknown (?:fact|function) `(.*)`", problem.message)
        if quoted and "." not in quoted[1]:
            start = problem.column - 1
            assert problem.excerpt[start : start + problem.length] == quoted[1]


def test_each_code_has_a_file_and_each_file_has_known_codes():
    texts = [(FOLDER / f"{name}.txt").read_text() for name in NAMES]
    shown = {code for text in texts for code in re.findall(r"^\S+:\d+:\d+: .* \[([a-z-]+)\]$", text, re.MULTILINE)}
    assert shown == set(COMPILING)


if __name__ == "__main__":
    os.chdir(FOLDER)
    for each in NAMES:
        Path(f"{each}.txt").write_text(rendered(each))
