"""AWS's own reader and the fence's agree on messages, however they arrive."""

import base64
import itertools
import json
import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from modelfence.dialects.bedrock.event_stream import (
    MAX_BYTES,
    MAX_KEPT_BYTES,
    MessageFraming,
    MessageParser,
    chunk,
    message,
)
from modelfence.wire.whole_events import WholeEvents

DELTA = message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "grüße"}, "p": "abcdef"})
STOP = message("messageStop", {"stopReason": "end_turn"})
EVENTS = [DELTA, chunk({"type": "ping"}), STOP]
STREAM = b"".join(EVENTS)
LONG = message("metadata", {"trace": "x" * (MAX_KEPT_BYTES + 5)})


def in_pieces(data, cuts):
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


def with_headers(headers, payload=b"{}"):
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    checked = lengths + struct.pack(">I", zlib.crc32(lengths)) + headers + payload
    return checked + struct.pack(">I", zlib.crc32(checked))


def events_in(pieces):
    parser = MessageParser()
    return [event for piece in pieces for event in parser.feed(piece)], parser.dropped_bytes


@pytest.mark.parametrize("is_exception", [False, True])
def test_awss_own_reader_takes_what_is_written(is_exception):
    buffer = EventStreamBuffer()
    buffer.add_data(message("throttlingException", {"message": "wait"}, is_exception=is_exception))
    (read,) = list(buffer)
    kind = "exception" if is_exception else "event"
    assert read.headers[":message-type"] == kind
    assert read.headers[f":{kind}-type"] == "throttlingException"
    assert json.loads(read.payload) == {"message": "wait"}


def test_an_events_data_is_its_payload_under_its_name():
    events, _ = events_in([STREAM])
    assert [event.name for event in events] == ["contentBlockDelta", "chunk", "messageStop"]
    assert [json.loads(event.data) for event in events] == [
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "grüße"}, "p": "abcdef"}},
        {"chunk": {"type": "ping"}},
        {"messageStop": {"stopReason": "end_turn"}},
    ]


@given(cuts=st.lists(st.integers(0, len(STREAM))))
def test_where_the_bytes_were_cut_changes_nothing(cuts):
    pieces = in_pieces(STREAM, cuts)
    assert events_in(pieces) == events_in([STREAM])
    whole = WholeEvents(MessageFraming())
    passed = [whole.pass_on(piece) for piece in pieces]
    assert b"".join(passed) == STREAM
    ends = {0, len(DELTA), len(DELTA) + len(EVENTS[1]), len(STREAM)}
    so_far = 0
    for one in passed:
        so_far += len(one)
        assert so_far in ends


@pytest.mark.parametrize("size", [1000, 65_536, len(LONG), len(LONG) + 50])
def test_a_message_too_long_to_keep_is_passed_on_and_the_next_is_found(size):
    data = DELTA + LONG + STOP + DELTA
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    events, dropped_bytes = events_in(pieces)
    assert [event.name for event in events] == ["contentBlockDelta", "messageStop", "contentBlockDelta"]
    assert dropped_bytes == len(LONG)
    whole, ended = WholeEvents(MessageFraming()), 0
    for piece in pieces:
        ended += len(whole.pass_on(piece))
    assert ended == len(data)
    assert whole.pass_on(STOP[:20]) == b""
    assert whole.pass_on(STOP[20:]) == STOP


BROKEN = {
    "a checksum that is wrong": STOP[:8] + b"\0\0\0\0" + STOP[12:],
    "a length beyond the longest": struct.pack(">III", MAX_BYTES + 1, 0, zlib.crc32(struct.pack(">II", MAX_BYTES + 1, 0))),
    "headers longer than the message": struct.pack(">III", 20, 5, zlib.crc32(struct.pack(">II", 20, 5))),
    "no length at all": struct.pack(">III", 0, 0, zlib.crc32(bytes(8))),
    "server-sent events": b'data: {"a": 1}\n\n',
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_after_what_is_no_message_all_is_passed_on_as_it_comes_and_counted_by_size(broken, size):
    data = DELTA + broken + STOP * 3
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    events, dropped_bytes = events_in(pieces)
    assert [event.name for event in events] == ["contentBlockDelta"]
    assert dropped_bytes == len(broken) + 3 * len(STOP)
    whole = WholeEvents(MessageFraming())
    passed = b"".join(whole.pass_on(piece) for piece in pieces)
    assert passed == data


HEADERS = {
    "of every kind": b"\1a\0" b"\1b\1" b"\1c\2x" b"\1d\3xx" b"\1e\4xxxx" b"\1f\5xxxxxxxx" b"\1g\6\0\2xx" b"\1h\10xxxxxxxx"
                     b"\1i\11xxxxxxxxxxxxxxxx" b"\13:event-type\7\0\4stop",
    "another name first": b"\1z\7\0\1z\13:event-type\7\0\4stop",
}  # fmt: skip


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_the_kind_is_found_among_headers_of_any_type(headers):
    events, _ = events_in([with_headers(headers)])
    assert [(event.name, event.data) for event in events] == [("stop", b'{"stop":{}}')]


@pytest.mark.parametrize("headers", [b"", b"\1", b"\1a", b"\1a\7", b"\1a\7\0", b"\1a\x63", b"\xff" * 9])
def test_a_message_of_no_kind_is_counted_by_its_payload(headers):
    assert events_in([with_headers(headers, b"{1234}")]) == ([], 6)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b"{}", b'{"bytes": 1}', b'{"bytes": "%%%"}', b'{"bytes": "aGk="}', b"[" * 5000]
)
def test_a_chunk_that_holds_no_event_is_handed_on_without_raising(payload):
    events, _ = events_in([with_headers(b"\13:event-type\7\0\5chunk", payload)])
    assert len(events) == 1


def test_a_chunk_carries_an_event_in_base64():
    buffer = EventStreamBuffer()
    buffer.add_data(chunk({"type": "message_stop"}))
    (read,) = list(buffer)
    assert base64.b64decode(json.loads(read.payload)["bytes"]) == b'{"type":"message_stop"}'
