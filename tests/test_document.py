"""Reading what people write: every value with its place, every problem instead of the first."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfence.document import Document, Node, read
from modelfence.source_files import MAX_BYTES
from modelfence.yaml_nodes import MAX_DEPTH


def root_of(text: str) -> Node:
    document = Document("a.yaml", text)
    root = document.compose()
    assert root is not None, document.problems
    return root


def value_of(text: str) -> Node:
    found = root_of(text).free_entries()
    assert found
    return found["key"]


def complaint(node: Node) -> tuple[str, int, int]:
    [problem] = node.document.problems
    return problem.code, problem.line, problem.column


# Files


def test_a_file_is_read_without_its_byte_order_mark(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfkey: v\n")
    assert read(tmp_path / "a.yaml").text == "key: v\n"


def test_a_file_that_is_not_utf_8_is_a_value_error(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"key: \xff\n")
    with pytest.raises(ValueError, match="not UTF-8 at byte 5"):
        read(tmp_path / "a.yaml")


def test_a_file_that_is_too_large_is_a_value_error(tmp_path):
    with (tmp_path / "a.yaml").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 64 MB"):
        read(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("", "empty-document", 1, 1),
        ("# a comment\n", "empty-document", 1, 1),
        ("{", "yaml-syntax", 1, 2),
        ("a: b: c", "yaml-syntax", 1, 5),
        ("a:\n\tb: 1", "yaml-syntax", 2, 1),
        ("a: 1\nb: \x07", "yaml-syntax", 2, 4),
        ("é: 😀\nb: é\x07", "yaml-syntax", 2, 5),
        ("\x00", "yaml-syntax", 1, 1),
        ("a: 1\rb: \ud800", "yaml-syntax", 2, 4),
        ("a: &b 1\nc: *b", "yaml-alias", 2, 4),
        ("a: !b.c", "yaml-tag", 1, 4),
        ("a: !(b in c) || d", "yaml-tag", 1, 4),
        ("a: !b [1]", "yaml-tag", 1, 4),
        ("a: " + "[" * 100_000, "yaml-depth", 1, 3 + MAX_DEPTH),
        ("---\na: 1\n---\nb: 2", "yaml-syntax", 3, 1),
    ],
)
def test_what_is_no_plain_yaml_is_a_problem_with_its_place(text, code, line, column):
    document = Document("a.yaml", text)
    assert document.compose() is None
    [problem] = document.problems
    assert (problem.code, problem.line, problem.column) == (code, line, column)


def test_values_may_be_nested_up_to_the_limit():
    assert root_of("[" * MAX_DEPTH + "]" * MAX_DEPTH)


@given(st.text(alphabet=st.characters(codec=None)))
@settings(deadline=None)
def test_composing_never_raises(text):
    document = Document("a.yaml", text)
    root = document.compose()
    assert (root is None) == bool(document.problems)
    for problem in document.problems:
        assert 1 <= problem.line <= len(document.lines)
        assert 1 <= problem.column <= len(document.lines[problem.line - 1]) + 1


def test_a_whole_text_can_be_one_value():
    document = Document("MODELFENCE_WORKERS", "four")
    assert document.scalar().integer(minimum=1, maximum=8) is None
    assert [problem.render().splitlines()[0] for problem in document.problems] == [
        "MODELFENCE_WORKERS:1:1: a whole number is expected here, not `four` [wrong-type]"
    ]


# Places within a text


@pytest.mark.parametrize(
    ("text", "word", "place"),
    [
        ("key: one two", "two", (1, 10)),
        ("key: one\n  two\n\n  three", "three", (4, 3)),
        ("key: 'it''s two'", "two", (1, 13)),
        ("key: 'one\n  two'", "two", (2, 3)),
        (r'key: "a\tb \"c\" \\ two"', "two", (1, 21)),
        (r'key: "\x41\u0042\U00000043\x20two"', "two", (1, 31)),
        ('key: "one\\\n  two"', "two", (2, 3)),
        ('key: "one\n  two"', "two", (2, 3)),
        ("key: |\n  one\n    two\n", "two", (3, 5)),
        ("key: |2-  # comment\n  one\n\n\n  two\n", "two", (5, 3)),
        ("key: >\n  one\n  two\n\n  three\n", "three", (5, 3)),
        ("key: |\r\n  one\r\n  two\r\n", "two", (3, 3)),
        ("key: |\r  one\r  two\r", "two", (3, 3)),
        ("key: |\u2028  one\u2028  two\u2028", "two", (3, 3)),
        ("key: '😀 é two'", "two", (1, 11)),
        ("# 😀 é\nkey: '😀' # two", "😀", (2, 7)),
    ],
)
def test_a_place_within_a_text_is_where_it_stands_in_the_file(text, word, place):
    node = value_of(text)
    value = node.text()
    assert value is not None
    node.problem_within(value.index(word), "code", "message", length=len(word), hint="hint")
    [problem] = node.document.problems
    assert (problem.line, problem.column) == place
    assert problem.excerpt[problem.column - 1 :].startswith(word)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("key: one", (1, 9)),
        ("key: 'one'", (1, 10)),
        ("key: |\n  one\n\n\nother: 1\n", (2, 6)),
        ("key: ''", (1, 6)),
        ("key: |\n", (1, 6)),
        ("key: |", (1, 6)),
    ],
)
def test_the_end_of_a_text_is_right_after_its_last_character(text, place):
    node = value_of(text)
    node.problem_within(len(node.text() or ""), "code", "message")
    assert complaint(node) == ("code", *place)


def test_a_place_within_a_list_is_where_the_list_begins():
    node = value_of("key: [a, b]")
    node.problem_within(3, "code", "message")
    assert complaint(node) == ("code", 1, 6)


def test_a_value_over_several_lines_is_underlined_in_its_first():
    assert value_of("key: [a,\n  b]").length == 3
    assert value_of("key: 'one'").length == 5
    assert (value_of("a: 1\nkey: b").line, value_of("a: 1\nkey: b").column) == (2, 6)


# Values


@pytest.mark.parametrize("text", ["key:", "key: ~", "key: null", "key: Null", "key: NULL"])
def test_null_is_seen(text):
    assert value_of(text).is_null


@pytest.mark.parametrize("text", ["key: ''", "key: 'null'", "key: [null]", "key: none"])
def test_what_is_quoted_or_otherwise_is_not_null(text):
    assert not value_of(text).is_null


@pytest.mark.parametrize(
    ("read_as", "text", "value"),
    [
        (lambda node: node.text(), "NO", "NO"),
        (lambda node: node.filled_text(), "0x1F", "0x1F"),
        (lambda node: node.choice(("a", "b")), "b", "b"),
        (lambda node: node.boolean(), "true", True),
        (lambda node: node.boolean(), "false", False),
        (lambda node: node.integer(minimum=-5, maximum=5), "-5", -5),
        (lambda node: node.integer(minimum=-5, maximum=5), "+5", 5),
        (lambda node: node.number(minimum=0, maximum=1), "0.25", 0.25),
        (lambda node: node.number(minimum=0, maximum=1), "1", 1.0),
        (lambda node: node.date_us(), "1970-01-02", 86_400_000_000),
        (lambda node: [item.text() for item in node.items()], "[a, NO]", ["a", "NO"]),
        (lambda node: sorted(node.entries(["a", "b"])), "{a: 1, b: 2}", ["a", "b"]),
    ],
)
def test_a_value_is_read(read_as, text, value):
    node = value_of(f"key: {text}")
    assert read_as(node) == value
    assert node.document.problems == []


@pytest.mark.parametrize(
    ("read_as", "text", "message"),
    [
        (lambda node: node.text(), "[a]", "a text is expected here, not a list"),
        (lambda node: node.filled_text(), "", "a value is expected here"),
        (lambda node: node.filled_text(), "{}", "a text is expected here, not a mapping"),
        (lambda node: node.choice(("a", "b")), "c", "`c` is not possible here"),
        (lambda node: node.boolean(), "yes", "`yes` is not possible here"),
        (lambda node: node.boolean(), "[]", "a text is expected here, not a list"),
        (lambda node: node.integer(minimum=1, maximum=5), "6", "`6` is not between 1 and 5"),
        (lambda node: node.integer(minimum=1, maximum=5), "1.5", "a whole number is expected here, not `1.5`"),
        (lambda node: node.integer(minimum=1, maximum=5), "[]", "a text is expected here, not a list"),
        (lambda node: node.number(minimum=0, maximum=1), "1.1", "`1.1` is not between 0 and 1"),
        (lambda node: node.number(minimum=0, maximum=1), "nan", "a number is expected here, not `nan`"),
        (lambda node: node.number(minimum=0, maximum=1), "[]", "a text is expected here, not a list"),
        (lambda node: node.date_us(), "2026-02-30", "a date like 2026-01-31 is expected here, not `2026-02-30`"),
        (lambda node: node.date_us(), "2026-1-1", "a date like 2026-01-31 is expected here, not `2026-1-1`"),
        (lambda node: node.date_us(), "{}", "a text is expected here, not a mapping"),
        (lambda node: node.items() or None, "a", "a list is expected here, not a text"),
        (lambda node: node.free_entries(), "a", "a mapping is expected here, not a text"),
        (lambda node: node.entries(["a"]) or None, "[]", "a mapping is expected here, not a list"),
    ],
)
def test_a_value_of_the_wrong_kind_is_a_problem_and_none(read_as, text, message):
    node = value_of(f"key: {text}")
    assert read_as(node) is None
    assert [problem.message for problem in node.document.problems] == [message]


def test_unknown_repeated_missing_and_odd_keys_are_problems_at_their_places():
    node = root_of("one: 1\ntow: 2\none: 3\n[a]: 4\n")
    assert node.is_mapping
    found = node.entries(["one", "two", "three"], required=["three"], what="top key")
    assert {key: value.text() for key, value in found.items()} == {"one": "1"}
    assert [(p.code, p.line, p.column, p.hint) for p in node.document.problems] == [
        ("duplicate-key", 3, 1, None),
        ("wrong-type", 4, 1, None),
        ("unknown-top-key", 2, 1, "did you mean `two`?"),
        ("missing-top-key", 1, 1, None),
    ]
