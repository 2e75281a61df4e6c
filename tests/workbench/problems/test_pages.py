"""Each code has a page, and each page's examples are what it says they are."""

import json
import re
import runpy
from pathlib import Path

import pytest

from modelfence.core.problem import Severity
from modelfence.policy.codes import LINT
from modelfence.workbench.cases import CODES as CASE_CODES
from modelfence.workbench.problems import MEANINGS, PAGES, as_markdown, as_text
from modelfence.workbench.problems.writing import LONGEST

ROOT = Path(__file__).parents[3]


def test_every_code_has_a_page_and_every_page_a_code():
    assert sorted(PAGES) == sorted(MEANINGS)
    assert set(CASE_CODES) <= set(PAGES)


@pytest.mark.parametrize("code", MEANINGS)
def test_the_wrong_example_is_wrong_in_this_way_and_no_other(code):
    assert {problem.code for problem in PAGES[code].said_of_wrong()} == {code}


@pytest.mark.parametrize("code", MEANINGS)
def test_the_right_example_is_right(code):
    assert PAGES[code].said_of_right() == ()


def test_what_lint_finds_and_one_thing_more_is_a_warning():
    warnings = {code for code in MEANINGS for one in PAGES[code].said_of_wrong() if one.severity is Severity.WARNING}
    assert warnings == {*LINT, "cohort-without-score"}


@pytest.mark.parametrize("code", MEANINGS)
def test_a_page_has_no_line_too_long_to_read(code):
    assert all(len(line) <= LONGEST + len("    ") for line in as_text(PAGES[code]).splitlines())


def test_a_page_as_text_is_what_its_readers_know():
    assert as_text(PAGES["no-case"]) == (Path(__file__).parent / "no-case.txt").read_text()


def test_a_page_as_markdown_is_what_its_readers_know():
    assert as_markdown(PAGES["no-case"]) == (Path(__file__).parent / "no-case.md").read_text()


def test_the_document_of_problems_is_what_the_pages_say():
    written = runpy.run_path(str(ROOT / "tools" / "write_problems.py"))["page"]()
    assert written == (ROOT / "docs" / "problems.md").read_text(), "run tools/write_problems.py"


def test_the_document_of_problems_explains_every_name_of_the_json():
    page = (ROOT / "docs" / "problems.md").read_text()
    table = page.partition("`--format json`")[2].partition("\n\nExit")[0]
    named = [
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    ]
    printed = json.loads((ROOT / "tests/cli/policy_check_output/problems.json").read_text())
    assert all(named == list(problem) for problem in printed)
