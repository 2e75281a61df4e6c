"""Problems as GitHub Actions shows them beside a change."""

from modelfence.core.problem import Problem, Severity
from modelfence.workbench.problems import annotations


def test_a_problem_is_an_annotation_of_its_place():
    problem = Problem("policies/p.yaml", 5, 11, "unknown-fact", "unknown fact `a`", 13, "", "did you mean `b`?")
    [line] = annotations([problem])
    assert line == (
        "::error file=policies/p.yaml,line=5,endLine=5,col=11,endColumn=24,title=unknown-fact"
        "::unknown fact `a`%0Adid you mean `b`?"
    )


def test_nothing_in_a_file_can_end_a_command_or_begin_another():
    problem = Problem("a,b:c%.yaml", 1, 1, "unknown-key", "unknown key `100%\r\n::error::x`", severity=Severity.WARNING)
    [line] = annotations([problem])
    assert line == (
        "::warning file=a%2Cb%3Ac%25.yaml,line=1,endLine=1,col=1,endColumn=2,title=unknown-key"
        "::unknown key `100%25%0D%0A::error::x`"
    )
