import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelfence.dialects.shared.lines import LineFraming, LineParser, as_line
from modelfence.dialects.shared.sse import MAX_BYTES, Event

STREAMS = {
    "one line": (b'{"a":1}\n', [b'{"a":1}']),
    "several lines": (b"1\n2\n", [b"1", b"2"]),
    "carriage returns belong to the line's end": (b"1\r\n2\r\n", [b"1", b"2"]),
    "a carriage return alone ends no line": (b"1\r2\n", [b"1\r2"]),
    "empty lines say nothing": (b"\n\n1\n \n\r\n2\n", [b"1", b"2"]),
    "spaces around a line": (b" 1 \n", [b"1"]),
    "a line that never ends": (b"1\n2", [b"1"]),
    "separators of text that end no line": ("\x0b\u2028x\n".encode(), ["\u2028x".encode()]),
}


def lines_of(pieces):
    parser = LineParser()
    return [event for piece in pieces for event in parser.feed(piece)]


def cut(data, places):
    ends = sorted({min(place, len(data)) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in itertools.pairwise(ends)]


@pytest.mark.parametrize(("stream", "lines"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_line_by_line(stream, lines):
    assert lines_of([stream]) == [Event("message", line) for line in lines]


@given(st.text(alphabet="ab\r\n ", max_size=30), st.lists(st.integers(0, 30)))
@example("a\r\n\r\nb\n", [1, 2, 3])
def test_where_a_stream_was_cut_makes_no_difference(text, places):
    data = text.encode()
    assert lines_of(cut(data, places)) == lines_of([data])


def test_a_line_too_long_to_keep_is_let_go_and_its_size_remembered():
    parser = LineParser()
    assert parser.feed(b"x" * MAX_BYTES) == []
    assert parser.dropped_bytes == 0
    assert parser.feed(b"yy") == []
    assert parser.dropped_bytes == MAX_BYTES + 2
    assert parser.feed(b"zzz\n1\n") == [Event("message", b"1")]
    assert parser.dropped_bytes == MAX_BYTES + 5


@given(st.text(alphabet="ab\r\n", max_size=30), st.integers(0, 30))
def test_lines_end_in_the_same_places_however_the_bytes_came(text, before):
    data = bytearray(text.encode())
    whole = LineFraming().ends(data, 0)
    assert [data[end - 1 : end] for end in whole] == [b"\n"] * text.count("\n")
    known = min(before, len(data) if not whole else whole[0] - 1)
    assert LineFraming().ends(data, known) == whole


def test_a_carriage_return_is_no_end_that_a_line_feed_belongs_to():
    assert not LineFraming().ends_lines


@given(st.dictionaries(st.text(), st.text() | st.just("\ud800\u2028\n")))
def test_a_message_is_written_as_one_line_that_reads_back(message):
    (line,) = lines_of([as_line(message)])
    assert line.data + b"\n" == as_line(message)
    assert line.data.isascii()
