"""How conditions are cut into parts."""

import pytest

from modelfence.policy.syntax import Part, PartKind, parse


def shown(source: str, part: Part) -> object:
    text = source[part.start : part.end]
    return (str(part.kind), *(shown(source, one) for one in part.parts)) if part.parts else text


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("kyc.expired", "kyc.expired"),
        ("(kyc.expired)", "kyc.expired"),
        ("a || b || c", ("or", "a", "b", "c")),
        ("a && b || c && d", ("or", ("and", "a", "b"), ("and", "c", "d"))),
        ("a && (b || c)", ("and", "a", ("or", "b", "c"))),
        ("(a || b) && c", ("and", ("or", "a", "b"), "c")),
        ("!a && !(b || c)", ("and", ("not", "a"), ("not", ("or", "b", "c")))),
        ("!!a", ("not", ("not", "a"))),
        ("kyc.tier >= tier.verified", ("relation", "kyc.tier", "tier.verified")),
        ("client.country in lists.embargoed", ("relation", "client.country", "lists.embargoed")),
        ('x in ["a", "b)"]', ("relation", "x", '["a", "b)"]')),
        ("a == b == c", ("relation", ("relation", "a", "b"), "c")),
        ("(a || b) == true", ("relation", ("or", "a", "b"), "true")),
        ("1.0 + 9.0 * extraction.score", "1.0 + 9.0 * extraction.score"),
        ("-(a + b) < -5", ("relation", "-(a + b)", "-5")),
        ("a ? b : c ? d : e", ("choice", "a", "b", ("choice", "c", "d", "e"))),
        ("(a || b) ? c : d", ("choice", ("or", "a", "b"), "c", "d")),
        ("(a ? b : c) || d", ("or", ("choice", "a", "b", "c"), "d")),
        ("lists.x.exists(n, m.startsWith(n) && n != '') && b", ("and", "lists.x.exists(n, m.startsWith(n) && n != '')", "b")),
        ('account.labels["a || b"] == "c"', ("relation", 'account.labels["a || b"]', '"c"')),
        ('has(a.b) && [{"k": 1}][0].k > 0', ("and", "has(a.b)", ("relation", '[{"k": 1}][0].k', "0"))),
        ("a // || b\n && c", ("and", "a", "c")),
        (".a.b == .c", ("relation", ".a.b", ".c")),
    ],
)  # fmt: skip
def test_a_condition_is_cut_where_its_parts_have_values_of_their_own(source, parts):
    assert shown(source, parse(source)) == parts


@pytest.mark.parametrize(
    ("source", "kind"),
    [("true", PartKind.LITERAL), ("-1.5", PartKind.LITERAL), ("r'x'", PartKind.LITERAL), ("a", PartKind.VALUE),
     ("-a", PartKind.VALUE), ("'a'.size()", PartKind.VALUE), ("[1]", PartKind.VALUE), ("1 + 2", PartKind.VALUE)],
)  # fmt: skip
def test_what_never_differs_is_a_literal(source, kind):
    assert parse(source) == Part(kind, 0, len(source))


@pytest.mark.parametrize("source", ["", "a ||", "(", "a ? b", "))", "a.", "[1, (2", "!", "in in in", "&& a"])
def test_what_is_no_condition_is_read_all_the_same(source):
    whole = parse(source)
    assert 0 <= whole.start <= whole.end <= len(source)
