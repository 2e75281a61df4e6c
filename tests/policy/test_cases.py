"""The cases beside the shipped policies: what each rule does, in the words of its readers."""

from pathlib import Path

import pytest
import yaml

from modelfence.policy import compile_policy
from modelfence.workbench.cases import read_cases, rules_exercised, run
from modelfence.workbench.cases.coverage import coverage

FOLDER = Path(__file__).parents[2] / "policies"
FILES = [read_cases(path) for path in sorted(FOLDER.rglob("*.cases.yaml"))]


def named(file) -> str:
    return str(file.path.relative_to(FOLDER))


@pytest.mark.parametrize("file", FILES, ids=named)
def test_a_case_file_has_no_problems(file):
    assert [problem.render() for problem in file.problems] == []
    assert file.cases


@pytest.mark.parametrize("file", FILES, ids=named)
def test_every_case_is_decided_as_it_says(file):
    assert {one.case.title: one.failure.differences for one in run(file).failed} == {}


def test_the_cases_see_every_rule_and_both_sides_of_every_condition():
    found = coverage(run(file) for file in FILES)
    assert found.gaps() == []
    assert found.percent == 100


def rules_of(file: Path) -> set[str]:
    """Return the rules that a file holds itself: what it includes has cases of its own."""
    included = yaml.safe_load(file.read_text()).get("include", [])
    theirs = {rule.id for name in included for rule in compile_policy(file.parent / name).policy.rules()}
    return {rule.id for rule in compile_policy(file).policy.rules()} - theirs


RULES = sorted({*FOLDER.glob("*.yaml"), *FOLDER.glob("packs/*.yaml")} - {file.path for file in FILES})


@pytest.mark.parametrize("file", [one for one in RULES if rules_of(one)], ids=lambda file: file.stem)
def test_every_rule_of_a_file_has_a_case_beside_it(file):
    [beside] = [one for one in FILES if one.path == file.with_suffix(".cases.yaml")]
    assert rules_of(file) <= rules_exercised([run(beside)]).keys()
