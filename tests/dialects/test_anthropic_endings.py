import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.dialects.anthropic.endings import MAX_INDEX, MAX_OPEN
from modelfence.dialects.anthropic.usage import usage_reader

ENDINGS = Path(__file__).parent / "anthropic" / "endings"
MARK = b": the fence ends it here\n\n"


def as_stream(messages):
    return b"".join(b"data: " + json.dumps(message).encode() + b"\n\n" for message in messages)


def ending_of(sent, *, operation="chat", input_tokens=0):
    reader = usage_reader(operation, "text/event-stream")
    reader.feed(sent)
    return reader.ending(with_usage=False, input_tokens=input_tokens)


def ended(messages):
    """Return the kinds of the events that end a stream, each with the place of its block."""
    lines = ending_of(as_stream(messages)).splitlines()
    found = [json.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
    return [(message["type"], message.get("index")) for message in found]


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.stem)
def test_a_stream_is_ended_as_its_sample_says(path):
    sent, _, expected = path.read_bytes().partition(MARK)
    assert ending_of(sent, input_tokens=12) == expected


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.stem)
def test_a_stream_that_was_ended_is_not_ended_again(path):
    assert ending_of(path.read_bytes()) == b""


@pytest.mark.parametrize("operation", ["tokens", "batch", "models", "unknown"])
def test_a_stream_of_which_nobody_knows_the_words_just_ends(operation):
    assert ending_of(as_stream([{"text": "1234"}]), operation=operation) == b""


@pytest.mark.parametrize("content_type", ["application/json", "text/html", ""])
def test_what_is_no_stream_has_no_ending(content_type):
    reader = usage_reader("chat", content_type)
    reader.feed(b'{"type": "message"')
    assert reader.ending(with_usage=True, input_tokens=0) == b""


BEGIN = {"type": "message_start", "message": {}}
LAST = [("message_delta", None), ("message_stop", None)]


def test_a_block_without_its_place_is_not_closed():
    places = [None, "0", True, -1, MAX_INDEX + 1, 10**30, 1.0]
    assert ended([BEGIN, *({"type": "content_block_start", "index": place} for place in places)]) == LAST


def test_a_stop_without_its_place_closes_nothing():
    stop: dict[str, object] = {"type": "content_block_stop"}
    assert ended([BEGIN, {"type": "content_block_start", "index": 0}, stop]) == [("content_block_stop", 0), *LAST]


def test_the_blocks_that_are_followed_are_bounded():
    starts = [{"type": "content_block_start", "index": place} for place in range(10 * MAX_OPEN)]
    assert ended([BEGIN, *starts]) == [*(("content_block_stop", place) for place in range(MAX_OPEN)), *LAST]


def test_a_report_on_the_way_is_not_the_reason_why_it_ended():
    on_the_way = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 3}}
    assert ended([BEGIN, {"type": "content_block_start", "index": 0}, on_the_way]) == [("content_block_stop", 0), *LAST]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["type", "index", "delta", "message", "content_block"]),
            st.none()
            | st.integers()
            | st.sampled_from(["message_start", "content_block_start", "content_block_stop", "message_delta"])
            | st.dictionaries(st.just("stop_reason"), st.none() | st.text() | st.integers()),
        )
    )
)
def test_whatever_came_before_an_ending_is_one_message_that_stops_once(messages):
    kinds = [kind for kind, _ in ended(messages)]
    assert kinds[-1] == "message_stop"
    assert kinds.count("message_stop") == 1
    assert kinds.count("message_delta") <= 1
