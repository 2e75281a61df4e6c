"""The table of functions is what the evaluator takes: no form more, no form less, and no name besides."""

import re
from itertools import product
from pathlib import Path

import pytest
from cel_expr_python import cel

from modelfence.policy.functions import ELSEWHERE, FUNCTIONS, OPERATORS, Function

ENV = cel.NewEnv(variables={})
LIBRARY = Path(cel.__file__).read_bytes()
VALUES = {
    "bool": "true",
    "int": "1",
    "uint": "1u",
    "double": "1.5",
    "string": "'a'",
    "bytes": "b'a'",
    "list": "[1]",
    "map": "{'a': 1}",
    "timestamp": "timestamp(0)",
    "duration": "duration('1h')",
    "type": "int",
}
NUMBERS = ("int", "uint", "double")
ORDERED = (*NUMBERS, "string", "timestamp", "duration", "bool", "bytes")
BINARY = [one for one in OPERATORS if f" {one.name} " in one.forms[0] and "?" not in one.name and one.name != "in"]
CALLED = [one for one in FUNCTIONS if not any(word in one.forms[0] for word in ("(x, ", "has("))]
MACROS = [one for one in FUNCTIONS if one not in CALLED]


def compiles(source: str) -> bool:
    try:
        ENV.compile(source)
    except RuntimeError:
        return False
    return True


def result_of(source: str) -> str | None:
    """Return the type of what comes of an expression, or None where it does not work."""
    try:
        program = ENV.compile(source)
    except RuntimeError:
        return None
    value = program.eval()
    if value.type() == cel.Type.ERROR and "No matching overload" in str(value.value()):
        return None
    return re.sub("<.*", "", program.return_type().name().lower())


def expanded(forms: tuple[str, ...]) -> set[str]:
    """Return the forms with each type that `number` and `any` stand for, where a word stands for one type at a time."""
    found = set()
    for form in forms:
        for word, kinds in (("number", NUMBERS), ("ordered", ORDERED), ("any", tuple(VALUES))):
            if word in form:
                found |= {form.replace(word, kind) for kind in kinds}
        if not {"number", "ordered", "any"} & set(re.findall(r"\w+", form)):
            found.add(form)
    return found


def test_no_name_stands_twice():
    names = [one.name for one in (*OPERATORS, *FUNCTIONS)]
    assert sorted(names) == sorted(set(names))


def test_what_other_languages_call_a_function_is_the_name_of_no_other():
    names = {one.name for one in FUNCTIONS}
    words = [word for many in ELSEWHERE.values() for word in many]
    assert set(ELSEWHERE) <= names
    assert sorted(words) == sorted(set(words) - names)


def test_every_word_of_the_library_that_can_be_called_is_listed():
    words = {word.decode() for word in re.findall(rb"(?<=\x00)[a-z][A-Za-z_]{2,16}(?![A-Za-z0-9_])", LIBRARY)}
    calls = (
        "{}(dyn(1))", "{}(dyn(1), dyn(1))", "dyn(1).{}()", "dyn(1).{}(dyn(1))", "{}({{'a': 1}}.a)",
        "[1].{}(x, x == x)", "[1].{}(x, y, x == y)",
    )  # fmt: skip
    listed = {one.name for one in FUNCTIONS}
    assert listed <= words  # so that the words are a good place to look for names
    assert {word for word in words for call in calls if compiles(call.format(word))} == listed


def test_every_operator_that_the_library_names_is_listed():
    names = {
        name.decode() for name in re.findall(rb"\x00(_[^\w\s.\x00]{1,2}_|_\?_:_|_\[_\]|[-!]_|@in)(?=\x00)", LIBRARY)
    }
    assert len(names) > 10
    listed = {one.name: one for one in OPERATORS}
    assert {{"_?_:_": "? :", "_[_]": "[ ]", "@in": "in"}.get(name, name.strip("_")) for name in names} <= set(listed)


@pytest.mark.parametrize("operator", BINARY, ids=lambda one: one.name)
def test_an_operator_goes_with_the_types_that_are_listed_and_no_others(operator: Function):
    found = {
        f"{left} {operator.name} {right} -> {result}"
        for left, right in product(VALUES, VALUES)
        if (result := result_of(f"({VALUES[left]}) {operator.name} ({VALUES[right]})"))
    }
    assert found == {form for form in expanded(operator.forms) if f" {operator.name} " in form}


@pytest.mark.parametrize("sign", ["-", "!"])
def test_a_sign_goes_with_the_types_that_are_listed_and_no_others(sign):
    forms = next(one.forms for one in OPERATORS if one.name == sign)
    found = {f"{sign}{kind} -> {result}" for kind in VALUES if (result := result_of(f"{sign}({VALUES[kind]})"))}
    assert found == {form for form in forms if form.startswith(sign)}


@pytest.mark.parametrize("operator", ["in", "? :", "[ ]", "."])
def test_the_other_operators_work_as_they_are_listed(operator):
    forms = next(one.forms for one in OPERATORS if one.name == operator)
    shown = {"any": "1", "name": "a", **VALUES}
    for form in forms:
        source, _, result = form.partition(" -> ")
        assert result_of(re.sub(r"\w+", lambda word: shown.get(word[0], word[0]), source)) in (result, "int")


@pytest.mark.parametrize("function", CALLED, ids=lambda one: one.name)
def test_a_function_takes_the_types_that_are_listed_and_no_others(function: Function):
    name, values, found = function.name, VALUES, set()
    for one in values:
        sources = {f"{name}({one})": f"{name}({values[one]})", f"{one}.{name}()": f"({values[one]}).{name}()"}
        for two in values:
            sources[f"{name}({one}, {two})"] = f"{name}({values[one]}, {values[two]})"
            sources[f"{one}.{name}({two})"] = f"({values[one]}).{name}({values[two]})"
        found |= {f"{form} -> {result}" for form, source in sources.items() if (result := result_of(source))}
    to_itself = f"{name}({name}) -> {name}"
    assert found - {to_itself} == expanded(function.forms) - {to_itself}


@pytest.mark.parametrize("macro", MACROS, ids=lambda one: one.name)
def test_a_macro_works_as_it_is_listed(macro: Function):
    for form in macro.forms:
        source, _, result = form.partition(" -> ")
        for word, value in (("list", "['a']"), ("map", "{'a': 1}"), ("condition", "x == 'a'"), ("value", "x.size()")):
            source = re.sub(rf"\b{word}\b(?!\()", value, source)
        assert result_of(source.replace(".name", ".a")) == result


def test_only_what_can_follow_a_dot_is_said_to():
    assert {one.name for one in FUNCTIONS if not one.follows_a_dot} == {
        "has", "timestamp", "duration", "int", "double", "string", "bool", "uint", "bytes", "type", "dyn",
    }  # fmt: skip
