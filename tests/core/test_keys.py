"""What a table says may be written."""

import pytest

from modelfence.core.keys import Text


@pytest.mark.parametrize(
    ("shape", "text", "is_possible"),
    [
        (Text(), "x", True),
        (Text(), " ", False),
        (Text(), "", False),
        (Text(may_be_empty=True), "", True),
        (Text(r"[a-z]+"), "abc", True),
        (Text(r"[a-z]+"), "abc\n", False),
        (Text(r"[a-z]+", may_be_empty=True), "", True),
        (Text(longest=3), "abc", True),
        (Text(longest=3), "abcd", False),
        (Text(r"[a-z]+", without=("if",)), "if", False),
        (Text(r"[a-z]+", without=("if",)), "iff", True),
    ],
)
def test_a_text_is_possible_where_it_fits(shape, text, is_possible):
    assert shape.admits(text) is is_possible
