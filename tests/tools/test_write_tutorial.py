"""The tutorial is done as it is written: each file, each change, each command; what comes must be what it shows."""

import re

import pytest
from tools import write_tutorial

from modelfence.cli import parser

COMMITTED = write_tutorial.TARGET.read_text()


def test_what_comes_of_the_tutorial_is_what_it_shows(tmp_path):
    assert write_tutorial.page(tmp_path) == COMMITTED, "look at what changed, and run tools/write_tutorial.py"
    told = "unknown fact `client.contry`", "FAILED", "all passed", "Refused (403)", "NEW refuses 1 of the 5", "status 1"
    assert [text for text in told if text not in COMMITTED] == []


def test_no_step_of_it_is_passed_over():
    passed_over = write_tutorial._STEP.sub("", COMMITTED)
    [(language, command)] = re.findall(r"^```(\w*)\n(.*?)^```", passed_over, re.DOTALL | re.MULTILINE)
    assert language == "sh"
    parser().parse_args(command.removeprefix("modelfence ").split())
    assert not re.search(r"(Write|Add to the end of|replace)\s+`", passed_over)


@pytest.mark.parametrize("text", ["twice twice", "never"])
def test_a_change_that_is_not_clear_is_refused(tmp_path, monkeypatch, text):
    page = tmp_path / "page.md"
    page.write_text(f"Write `a.txt`:\n\n```text\n{text}\n```\n\nIn `a.txt`, replace `twice` with `once`.\n")
    monkeypatch.setattr(write_tutorial, "TARGET", page)
    with pytest.raises(ValueError, match=r"`twice` stands (2|0) times in a\.txt"):
        write_tutorial.page(tmp_path)
