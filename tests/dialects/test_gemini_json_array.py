"""Where the elements of a streamed JSON array end, however its bytes arrive."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.dialects.gemini.json_array import END, ArrayFraming, ArrayParser
from modelfence.dialects.shared.sse import MAX_BYTES
from modelfence.wire.whole_events import WholeEvents


def passed(pieces):
    """Return what is passed on after each of these pieces."""
    events = WholeEvents(ArrayFraming())
    return [events.pass_on(piece) for piece in pieces]


def parsed(pieces):
    parser = ArrayParser()
    return [event.data for piece in pieces for event in parser.feed(piece)]


ARRAYS = {
    "two elements": (b'[{"a":1}\n,\r\n{"b":2}\n]\n', [b'{"a":1}', b'{"b":2}', END]),
    "nothing in it": (b"[]", [END]),
    "brackets in a text": (b'[{"a":"}]{[\\"]}"},{"b":"\\\\"}]', [b'{"a":"}]{[\\"]}"}', b'{"b":"\\\\"}', END]),
    "one within another": (b'[{"a":[{},[{"b":{}}]]}]', [b'{"a":[{},[{"b":{}}]]}', END]),
    "blanks before it": (b' \r\n\t[{"a":1}]', [b'{"a":1}', END]),
    "what is no object": (b'[1, "]", {"a":1}, 2]', [b'1, "]", {"a":1}', b"2", END]),
    "no end": (b'[{"a":1},{"b"', [b'{"a":1}']),
}


@pytest.mark.parametrize(("array", "elements"), ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("piece_bytes", [1, 3, 1000])
def test_elements_are_found_however_the_array_is_cut(array, elements, piece_bytes):
    assert parsed(array[place : place + piece_bytes] for place in range(0, len(array), piece_bytes)) == elements


def test_an_element_goes_on_as_soon_as_it_is_whole_along_with_the_comma_before_it():
    pieces = [b'[{"a"', b":1", b"}\n", b',{"b":2},{"c', b'":3}]', b"\n"]
    assert passed(pieces) == [b"", b"", b'[{"a":1}', b'\n,{"b":2}', b',{"c":3}]', b""]


@pytest.mark.parametrize("answer", [b'{"candidates": [{"a": 1}]}', b"<html>", b"7"])
def test_what_is_no_array_goes_on_as_it_comes(answer):
    pieces = [answer[place : place + 3] for place in range(0, len(answer), 3)]
    assert passed(pieces) == pieces


def test_blanks_are_kept_until_it_is_known_what_they_are_before():
    assert passed([b" ", b"\n", b"{", b"}"]) == [b"", b"", b" \n{", b"}"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from('"\\[]{},'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=15,
)


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=4), st.none() | st.just(2), st.data())
def test_any_array_is_read_as_any_reader_of_json_does(elements, indent, data):
    array = json.dumps(elements, indent=indent).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(array)), max_size=9)))
    pieces = [array[start:end] for start, end in zip([0, *cuts], [*cuts, len(array)], strict=True)]
    *found, last = parsed(pieces)
    assert json.dumps([json.loads(element) for element in found]) == json.dumps(elements)
    assert last == END
    assert b"".join(passed(pieces)) == array


def test_an_element_beyond_the_bound_is_let_go_and_only_its_size_remembered():
    parser = ArrayParser()
    for _ in range(5):
        assert parser.feed(b'[{"a": "' + b"x" * MAX_BYTES) == []
    assert parser.dropped_bytes == 5 * (MAX_BYTES + 8)
    assert [event.data for event in parser.feed(b'"}, {"b": 2}')] == []


def test_what_comes_behind_the_end_is_counted_and_not_read():
    parser = ArrayParser()
    assert [event.data for event in parser.feed(b'[{"a":1}] {"b":2}')] == [b'{"a":1}', END]
    assert parser.feed(b"[{}] \n") == []
    assert parser.dropped_bytes == 11


def test_an_element_that_comes_byte_by_byte_is_looked_at_once():
    took_s = []
    for size in (20_000, 80_000):
        events, parser = WholeEvents(ArrayFraming()), ArrayParser()
        started = time.perf_counter()
        for _ in range(size):
            events.pass_on(b"[")
            parser.feed(b"[")
        took_s.append(time.perf_counter() - started)
    assert took_s[1] < 12 * took_s[0]  # four times as long, not sixteen
