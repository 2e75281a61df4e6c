"""`modelfence policy explain-problem`."""

import pytest

from modelfence.cli import main
from modelfence.workbench.problems import MEANINGS, PAGES, as_text


@pytest.mark.parametrize("word", ["shadowed-rule", "[shadowed-rule]", "Shadowed-Rule"])
def test_a_code_has_a_page_however_it_was_copied(word, capsys):
    assert main(["policy", "explain-problem", word]) == 0
    assert capsys.readouterr().out == as_text(PAGES["shadowed-rule"])


def test_without_a_code_all_are_listed(capsys):
    assert main(["policy", "explain-problem"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(MEANINGS)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("shadow-rule", "there is no problem `shadow-rule`: did you mean `shadowed-rule`?\n"),
        ("xyzzy", "there is no problem `xyzzy`\n"),
    ],
)
def test_an_unknown_code_is_told_with_those_there_are(word, said, capsys):
    assert main(["policy", "explain-problem", word]) == 2
    ended = capsys.readouterr()
    assert ended.out == ""
    assert ended.err.startswith(said)
    assert all(code in ended.err for code in MEANINGS)
