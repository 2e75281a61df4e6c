import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelfence.dialects.shared.sse import MAX_BYTES, Event, EventFraming, EventParser

STREAMS = {
    "one event": (b"data: a\n\n", [Event("message", b"a")]),
    "no space after the colon": (b"data:a\n\n", [Event("message", b"a")]),
    "only one space is taken away": (b"data:  a\n\n", [Event("message", b" a")]),
    "carriage returns and line feeds": (
        b"data: a\r\n\r\ndata: b\r\n\r\n",
        [Event("message", b"a"), Event("message", b"b")],
    ),
    "carriage returns": (b"data: a\r\rdata: b\r\r", [Event("message", b"a"), Event("message", b"b")]),
    "several data lines": (b"data: a\ndata: b\n\n", [Event("message", b"a\nb")]),
    "empty data": (b"data\n\ndata:\n\n", [Event("message", b""), Event("message", b"")]),
    "a name": (b"event: done\ndata: a\n\ndata: b\n\n", [Event("done", b"a"), Event("message", b"b")]),
    "a name without data is no event": (b"event: done\n\ndata: b\n\n", [Event("message", b"b")]),
    "comments": (b": ping\n\n:\ndata: a\n: more\n\n", [Event("message", b"a")]),
    "fields that nobody knows": (b"id: 7\nretry: 10\nwhat\ndata: a\n\n", [Event("message", b"a")]),
    "a byte order mark at the start": (b"\xef\xbb\xbfdata: a\n\n", [Event("message", b"a")]),
    "a byte order mark later on is no field": (b"\n\xef\xbb\xbfdata: a\n\n", []),
    "an event that never ends": (b"data: a\n\ndata: b\n", [Event("message", b"a")]),
    "separators of text that end no line": (
        "data: a\x0b\x0c\x85\u2028b\n\n".encode(),
        [Event("message", "a\x0b\x0c\x85\u2028b".encode())],
    ),
    "a name that is not UTF-8": (b"event: \xff\ndata: a\n\n", [Event("\ufffd", b"a")]),
}


def events_of(pieces):
    parser = EventParser()
    return [event for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_by_the_standard(stream, events):
    assert events_of([stream]) == events


@pytest.mark.parametrize(("stream", "events"), STREAMS.values(), ids=STREAMS)
def test_a_stream_is_read_alike_byte_by_byte(stream, events):
    assert events_of(stream[place : place + 1] for place in range(len(stream))) == events


STREAM_PIECES = st.lists(
    st.sampled_from([b"data: ", b"event: ", b"a", b"\n", b"\r", b"\r\n", b":", b" ", b"\xef\xbb\xbf", b""])
    | st.binary(max_size=4)
)


@given(STREAM_PIECES)
@example([b"data: a\r", b"", b"\n\r\n"])
def test_where_a_stream_is_cut_makes_no_difference(pieces):
    assert events_of(pieces) == events_of([b"".join(pieces)])


@pytest.mark.parametrize("piece_bytes", [64 * 1024, 10 * 1024 * 1024])
def test_a_line_that_is_too_long_is_let_go_and_its_size_remembered(piece_bytes):
    stream = b"data: " + b"x" * MAX_BYTES + b"\n\ndata: b\n\n"
    parser = EventParser()
    pieces = [stream[place : place + piece_bytes] for place in range(0, len(stream), piece_bytes)]
    assert [event for piece in pieces for event in parser.feed(piece)] == [Event("message", b"b")]
    assert parser.dropped_bytes == MAX_BYTES + len(b"data: ")


def test_an_event_of_too_many_lines_is_let_go_and_its_size_remembered():
    parser = EventParser()
    lines = b"data: " + b"x" * 1023 + b"\n"
    assert parser.feed(lines * 1025 + b"\n" + b"data: b\n\n") == [Event("message", b"b")]
    assert parser.dropped_bytes == 1025 * 1024


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS.values()], ids=STREAMS)
def test_events_end_where_they_do_however_they_are_gathered(stream):
    whole = EventFraming().ends(bytearray(stream), 0)
    # With a byte of it known before, each end is looked for by the grammar.
    assert whole == EventFraming().ends(bytearray(stream), 1)


@pytest.mark.parametrize("before", [b"data: a\n", b"event: done\n", b"da", b"data: a\r", b"x" * (MAX_BYTES + 1)])
def test_an_event_in_one_piece_belongs_to_what_came_before_it(before):
    piece = b"data: b\n\n"
    in_one, cut = EventParser(), EventParser()
    in_one.feed(before)
    cut.feed(before)
    assert in_one.feed(piece) == [event for at in range(len(piece)) for event in cut.feed(piece[at : at + 1])]
    assert in_one.feed(piece) == [Event("message", b"b")]
