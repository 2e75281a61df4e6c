"""CEL's complaints where the golden files do not reach."""

import pytest

from modelfence.policy.complaints import Complaint, complaints
from modelfence.policy.tokens import dotted_names, place_of, tokens


def block(line: int, column: int, sentence: str) -> str:
    return f"ERROR: <input>:{line}:{column}: {sentence}\n | excerpt\n | ^"


@pytest.mark.parametrize(
    ("text", "source", "expected"),
    [
        ("something else", "a", [Complaint(0, 1, "condition-syntax", "this is not a condition CEL can read")]),
        (block(-1, -1, "<<nil>> parsetree"), "a", [Complaint(0, 1, "condition-syntax", "<<nil>> parsetree")]),
        (
            block(1, 9, "undeclared reference to 'nowhere' (in container '')"),
            "a + b",
            [Complaint(5, 1, "unknown-fact", "unknown fact `nowhere`", 'a text stands in quotes: `"nowhere"`')],
        ),
        (
            block(2, 3, "found no matching overload for '_+_' applied to '(map(string, int))'"),
            "a\n  + b",
            [Complaint(4, 1, "type-mismatch", "`+` does not go with map(string, int)")],
        ),
        (
            "\n".join(
                (
                    block(1, 1, "undeclared reference to 'a' (in container '')"),
                    block(1, 1, "expression of type '*error*' cannot be the range of a comprehension"),
                )
            ),
            "a",
            [Complaint(0, 1, "unknown-fact", "unknown fact `a`", 'a text stands in quotes: `"a"`')],
        ),
        (
            "\n".join((block(1, 3, "Syntax error: extraneous input 'b' expecting <EOF>"), block(1, 1, "another"))),
            "a " + "b" * 100,
            [Complaint(2, 100, "condition-syntax", f"`{'b' * 60}…` is not expected here")],
        ),
        (
            block(1, 1, "expression of type 'type(int)' cannot be the operand of a select operation and its field"),
            "a.b",
            [Complaint(0, 1, "type-mismatch", "a type(int) has no fields")],
        ),
    ],
)
def test_each_block_becomes_a_complaint_in_plain_words(text, source, expected):
    assert complaints(text, source, ["client.country"]) == tuple(expected)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a.b.c", [("a", "b", "c")]),
        ("a . b\n.c(d)", [("a", "b", "c"), ("d",)]),
        (".a.b", [("a", "b")]),
        ("a[0].b + (c).d + 'e'.f() + {}.g + 1.h", [("a",), ("c",)]),
        ("'a.b' + \"c\" + r'\\' + d // e.f", [("d",)]),
        ('"""a\nb""" + c', [("c",)]),
        ("a.`b-c`", [("a", "b-c")]),
        ("-a + !b", [("a",), ("b",)]),
    ],
)
def test_the_names_of_a_condition_are_found(source, names):
    assert list(dotted_names(tokens(source))) == names


def test_the_nearest_of_several_places_is_found():
    parts = tokens("a.b + a.b(1)")
    near, far = place_of("a.b", parts, near=1), place_of("a.b", parts, near=9)
    assert near is not None
    assert far is not None
    assert (near.start, near.called) == (0, False)
    assert (far.start, far.called) == (6, True)
    assert place_of("b.a", parts, near=1) is None
