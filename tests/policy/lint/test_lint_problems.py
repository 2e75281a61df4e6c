"""Each file of `problems/` is a policy that compiles, beside the warnings its author gets to read.

After a change of wording, `python tests/policy/lint/test_lint_problems.py` writes the texts anew; read the difference.
"""

import os
import re
from datetime import date
from pathlib import Path

import pytest

from modelfence.policy import compile_policy
from modelfence.policy.codes import LINT
from modelfence.policy.lint import lint, untested

FOLDER = Path(__file__).parent / "problems"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
TODAY = date(2026, 11, 29)


def rendered(name: str) -> str:
    """Return all warnings about a policy; run within the folder, so that paths are shown as they were given."""
    compiled = compile_policy(Path(f"{name}.yaml"))
    assert compiled.problems == ()
    return "".join(f"{problem.render()}\n\n" for problem in lint(compiled, today=TODAY)).rstrip("\n") + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_author_reads_what_is_odd_and_where(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert rendered(name) == (FOLDER / f"{name}.txt").read_text()


def test_every_code_is_shown():
    texts = [(FOLDER / f"{name}.txt").read_text() for name in NAMES]
    shown = {
        code for text in texts for code in re.findall(r"^\S+:\d+:\d+: warning: .* \[([a-z-]+)\]$", text, re.MULTILINE)
    }
    assert shown | {"no-case", "no-cases"} == set(LINT)


def test_nothing_is_said_of_a_policy_that_does_not_compile():
    compiled = compile_policy(FOLDER.parents[1] / "problems" / "several.yaml")
    assert (lint(compiled, today=TODAY), untested(compiled, None)) == ((), ())


def test_looking_at_a_policy_adds_nothing_to_its_own_problems():
    compiled = compile_policy(FOLDER / "words.yaml")
    once, twice = lint(compiled, today=TODAY), lint(compiled, today=TODAY)
    assert once == twice
    assert [problem for file in compiled.documents for problem in file.document.problems] == []


def test_rules_without_a_case_are_named(monkeypatch):
    monkeypatch.chdir(FOLDER)
    compiled = compile_policy(Path("ageing.yaml"))
    found = untested(compiled, frozenset(["forgotten", "next-year"]))
    assert "".join(problem.render() for problem in found) == (
        "ageing.yaml:7:9: warning: no case expects anything of `thirty-days` [no-case]\n"
        "  |\n7 |   - id: thirty-days\n  |         ^^^^^^^^^^^"
    )


def test_a_policy_without_cases_is_told_once(monkeypatch):
    monkeypatch.chdir(FOLDER)
    [found] = untested(compile_policy(Path("ageing.yaml")), None)
    assert (found.line, found.code, found.hint) == (1, "no-cases", "write some in `ageing.cases.yaml`")
    assert untested(compile_policy(Path("packs/library.yaml")), None) == ()


if __name__ == "__main__":
    os.chdir(FOLDER)
    for each in NAMES:
        Path(f"{each}.txt").write_text(rendered(each))
