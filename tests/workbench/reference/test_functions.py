"""Each operator, function and macro has examples, and what they come to is what the evaluator says."""

import pytest

from modelfence.core.facts import Facts
from modelfence.core.policy import Unknown
from modelfence.policy import compile_text
from modelfence.policy.codes import CODES
from modelfence.policy.functions import FUNCTIONS, OPERATORS
from modelfence.workbench.cases import read_case_text
from modelfence.workbench.cases.running import run
from modelfence.workbench.reference import CALL, FUNCTION_EXAMPLES, LITERALS, SURPRISES, UNKNOWN

LISTS = "lists: {embargoed: [CU, IR, KP]}"
SHOWN = list(
    dict.fromkeys(shown for many in (*FUNCTION_EXAMPLES.values(), *(one.shown for one in SURPRISES)) for shown in many)
)


def compiled(expression: str, key: str = "deny"):
    """Return what becomes of a policy with a rule that has an expression."""
    quoted = expression.replace("'", "''")
    return compile_text(f"version: 1\n{LISTS}\naccess:\n  - {{id: a, {key}: '{quoted}'}}\n")


def facts() -> Facts:
    """Return the facts of the call that is shown, as a case has them."""
    policy = compiled("client.tor && kyc.owned_by.embargoed > 0.5")
    given = "".join(f"  {line}\n" for line in CALL.splitlines())
    cases = read_case_text(f"given:\n{given}cases:\n  - {{name: it, expect: {{effect: deny}}}}\n", policy)
    [result] = run(cases).results
    assert cases.problems == ()
    return result.seen[0].facts


def said_of(condition: str) -> bool | str:
    """Return what a condition comes to for the call that is shown, or the code of its problem."""
    found = compiled(condition)
    if found.policy is None:
        [code] = {problem.code for problem in found.problems}
        return code
    [group] = found.policy.denies
    value = group.rules[0].condition.evaluate(found.policy.bind(facts()))
    return UNKNOWN if isinstance(value, Unknown) else value


def test_each_operator_function_and_macro_has_examples_that_use_it():
    assert list(FUNCTION_EXAMPLES) == [one.name for one in (*OPERATORS, *FUNCTIONS)]
    for name, examples in FUNCTION_EXAMPLES.items():
        for source, _ in examples:
            assert all(part in source for part in name.split(" "))


@pytest.mark.parametrize(("source", "value"), SHOWN)
def test_an_expression_comes_to_what_is_said(source, value):
    if value == UNKNOWN or value in CODES:
        assert said_of(f"({source}) == ({source})") == value
    else:
        assert said_of(f"({source}) == ({value})") is True


@pytest.mark.parametrize(("source", "kind"), [(source, one.type) for one in LITERALS for source in one.written])
def test_a_value_is_of_the_type_that_is_said(source, kind):
    assert said_of(f"type({source}) == {kind}  // as the table has it") is True
