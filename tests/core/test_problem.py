"""How problems are shown and ordered."""

import pytest

from modelfence.core.problem import Problem, Severity, errors, first_of, in_order


def problem(line: int = 1, column: int = 1, **more: object) -> Problem:
    return Problem("a.yaml", line, column, "some-code", "something is `off`", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (problem(), "a.yaml:1:1: something is `off` [some-code]"),
        (problem(hint="try this"), "a.yaml:1:1: something is `off` [some-code]\n = try this"),
        (problem(severity=Severity.WARNING), "a.yaml:1:1: warning: something is `off` [some-code]"),
        (
            problem(3, 5, excerpt="key: off", length=3),
            "a.yaml:3:5: something is `off` [some-code]\n  |\n3 | key: off\n  |     ^^^",
        ),
        (
            problem(12, 6, excerpt="key: off", length=99, hint="try `on`"),
            "a.yaml:12:6: something is `off` [some-code]\n   |\n12 | key: off\n   |      ^^^\n   = try `on`",
        ),
        (
            problem(2, 9, excerpt="key: off"),
            "a.yaml:2:9: something is `off` [some-code]\n  |\n2 | key: off\n  |         ^",
        ),
        (
            problem(2, 2, excerpt="\tkey\u202e"),
            "a.yaml:2:2: something is `off` [some-code]\n  |\n2 |  key \n  |  ^",
        ),
        (
            problem(2, 4, excerpt="国e\u0301x 国x", length=3),
            "a.yaml:2:4: something is `off` [some-code]\n  |\n2 | 国e\u0301x 国x\n  |    ^^^^",
        ),
        (
            Problem("a.yaml", 1, 1, "some-code", "unknown key `a\n\x1b[2Jb`"),
            "a.yaml:1:1: unknown key `a\\n\\x1b[2Jb` [some-code]",
        ),
    ],
)
def test_a_problem_is_shown_with_the_token_underlined(shown, text):
    assert shown.render() == text


def test_problems_are_ordered_by_place_and_each_stands_once():
    first, second, third = problem(1, 2), problem(1, 10), problem(2, 1)
    assert in_order([third, first, second, first]) == (first, second, third)


def test_of_many_problems_the_first_are_told_and_the_others_counted():
    many = [problem(line) for line in range(1, 1_022)]
    assert first_of(many[:20]) == (many[:20], None)
    assert first_of(many) == (many[:20], "… and 1,001 more")


def test_warnings_are_no_errors():
    warning = problem(severity=Severity.WARNING)
    assert errors([warning, problem()]) == (problem(),)
