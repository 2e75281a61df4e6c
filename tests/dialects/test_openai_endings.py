import json
import re
from bisect import bisect_left
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.openai.endings import MAX_INDEX, MAX_SCALAR
from modelfence.dialects.openai.response_ending import MAX_KEPT_BYTES, MAX_RESPONSE_BYTES
from modelfence.dialects.openai.usage import usage_reader
from modelfence.dialects.shared.sse import MAX_BYTES

ENDINGS = Path(__file__).parent / "openai" / "endings"
MARK = b": the fence ends it here\n\n"
OPERATIONS = ("chat", "completion", "responses")


def as_stream(messages):
    return b"".join(b"data: " + json.dumps(message).encode() + b"\n\n" for message in messages)


def ending_of(sent, *, operation="chat", with_usage=False):
    reader = OpenAI().usage_reader(operation, "text/event-stream")
    reader.feed(sent)
    return reader.ending(with_usage=with_usage, input_tokens=0)


def messages_in(sent):
    return [json.loads(line[6:]) for line in sent.splitlines() if line.startswith(b"data: {")]


def ended(messages, *, operation="responses"):
    return messages_in(ending_of(as_stream(messages), operation=operation))


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.stem)
def test_a_stream_is_ended_as_its_sample_says(path):
    sent, _, expected = path.read_bytes().partition(MARK)
    operation = path.stem.partition("-")[0]
    assert ending_of(sent, operation=operation, with_usage=path.stem.endswith("-with-usage")) == expected


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.stem)
def test_a_stream_that_was_ended_is_not_ended_again(path):
    assert ending_of(path.read_bytes(), operation=path.stem.partition("-")[0]) == b""


@pytest.mark.parametrize("kind", ["completed", "failed", "incomplete", "cancelled"])
def test_nothing_follows_a_response_that_ended_by_itself(kind):
    assert ended([{"type": f"response.{kind}", "response": {"id": "resp_1"}}]) == []


@pytest.mark.parametrize("operation", ["embeddings", "models", "unknown"])
def test_a_stream_of_which_nobody_knows_the_words_just_ends(operation):
    assert ending_of(as_stream([{"text": "1234"}]) + b"data: [DONE]\n\n", operation=operation, with_usage=True) == b""


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("content_type", ["application/json", "text/html", ""])
def test_what_is_no_stream_has_no_ending(operation, content_type):
    reader = usage_reader(operation, content_type)
    reader.feed(b'{"choices": [')
    assert reader.ending(with_usage=True, input_tokens=0) == b""


def test_the_choices_that_are_followed_are_bounded():
    chunks = [{"id": "c", "choices": [{"index": place, "delta": {}}]} for place in (*range(300), -1, True, "0", 10**30)]
    places = [message["choices"][0]["index"] for message in ended(chunks, operation="chat")]
    assert places == list(range(MAX_INDEX + 1))


def test_a_choice_without_its_place_is_the_first():
    (chunk,) = ended([{"choices": [{"delta": {"content": "1"}}, None, 7]}], operation="chat")
    assert chunk["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}]


def test_what_comes_after_a_choice_has_finished_does_not_open_it_again():
    chunks = [{"choices": [{"index": 0, "finish_reason": reason}]} for reason in (None, "stop", None)]
    assert ended(chunks, operation="chat") == []


def test_the_head_is_that_of_the_first_chunk_with_a_choice():
    chunks = [{"id": name, "choices": [{"index": 0, "delta": {}}] if name else []} for name in ("", "a", "b")]
    (chunk,) = ended(chunks, operation="chat")
    assert chunk["id"] == "a"


ODD_HEADS = {
    "nested": {"id": {"a": 1}, "model": ["m"], "created": None},
    "long": {"id": "x" * (MAX_SCALAR + 1), "model": "y" * (MAX_SCALAR + 1), "created": ""},
}


@pytest.mark.parametrize("head", ODD_HEADS.values(), ids=ODD_HEADS)
def test_a_head_that_is_none_is_made_up(head):
    (chunk,) = ended([{**head, "choices": [{"index": 0, "delta": {}}]}], operation="chat")
    assert (chunk["id"], chunk["created"], chunk["model"]) == ("chatcmpl-0", 0, "")


def test_a_response_too_large_to_keep_leaves_its_short_fields():
    response = {"id": "resp_1", "model": "gpt-5", "temperature": 0.5, "tools": [{"name": "f"}]}
    response["instructions"] = "x" * MAX_RESPONSE_BYTES
    (last,) = ended([{"type": "response.created", "response": response}])
    kept = last["response"]
    assert (kept["id"], kept["model"], kept["temperature"]) == ("resp_1", "gpt-5", 0.5)
    assert (kept["instructions"], kept["tools"], kept["status"]) == (None, [], "incomplete")


CREATED = {"type": "response.created", "response": {"id": "resp_1"}}


def item_added(place=0, **fields):
    item = {"id": f"msg_{place}", "type": "message", "status": "in_progress", "content": []} | fields
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def of_part(kind, place=0, number=0, **fields):
    return {"type": f"response.{kind}", "output_index": place, "content_index": number, **fields}


TEXT = {"type": "output_text", "text": "", "annotations": []}


def test_halves_of_a_character_that_came_apart_are_put_together():
    deltas = [of_part("output_text.delta", delta=half) for half in ("\ud83d", "\ude00")]
    *_, last = ended([CREATED, item_added(), of_part("content_part.added", part=TEXT), *deltas])
    assert last["response"]["output"][0]["content"][0]["text"] == "😀"


def test_a_part_that_is_done_stays_as_it_was_said():
    cited = {"type": "output_text", "text": "Here", "annotations": [{"type": "url_citation"}]}
    *_, last = ended([CREATED, item_added(), of_part("content_part.added", part=TEXT), of_part("output_text.delta", delta="Here"),
        of_part("output_text.done", text="Here"), of_part("content_part.done", part=cited)])  # fmt: skip
    assert last["response"]["output"][0]["content"] == [cited]


def test_an_item_is_called_incomplete_only_where_it_has_a_status():
    *_, last = ended([CREATED, item_added(), {**item_added(1), "item": {"id": "rs_1", "type": "reasoning"}}])
    assert last["response"]["output"][0]["status"] == "incomplete"
    assert last["response"]["output"][1] == {"id": "rs_1", "type": "reasoning"}


def test_several_open_items_are_closed_in_their_order_each_with_its_own_parts():
    begun = [
        event
        for place in (1, 0)
        for event in (
            item_added(place),
            of_part("content_part.added", place, part=TEXT),
            of_part("output_text.delta", place, delta=f"text {place}"),
        )
    ]
    *closing, last = ended([CREATED, *begun])
    assert [event["output_index"] for event in closing] == [0, 0, 0, 1, 1, 1]
    texts = [part["text"] for item in last["response"]["output"] for part in item["content"]]
    assert texts == ["text 0", "text 1"]


def test_an_item_too_long_to_keep_is_left_out_and_what_was_done_before_stays():
    piece = "x" * (MAX_BYTES // 2)
    deltas = [of_part("output_text.delta", 1, delta=piece)] * (2 * MAX_KEPT_BYTES // MAX_BYTES + 1)
    done = {"type": "response.output_item.done", "output_index": 0, "item": {"id": "msg_0", "type": "message"}}
    begun = [CREATED, item_added(0), done, item_added(1), of_part("content_part.added", 1, part=TEXT)]
    *_, last = ended([*begun, *deltas[:-2]])
    assert [item["id"] for item in last["response"]["output"]] == ["msg_0", "msg_1"]
    later = [item_added(2), of_part("content_part.added", 2, part=TEXT), {**done, "output_index": 3}]
    (last,) = ended([*begun, *deltas, *later])
    assert last["response"]["output"] == [done["item"]]


def test_the_text_of_items_that_are_done_takes_no_room():
    text = of_part("output_text.delta", delta="x" * (MAX_BYTES // 2))
    done = {"type": "response.output_item.done", "output_index": 0, "item": {"id": "msg_0", "type": "message"}}
    begun = [item_added(), of_part("content_part.added", part=TEXT), of_part("content_part.added", 0, 1, part=TEXT)]
    *_, last = ended([CREATED, *[*begun, text, done] * 10, item_added(1), of_part("content_part.added", 1, part=TEXT)])
    assert [item["id"] for item in last["response"]["output"]] == ["msg_0", "msg_1"]


def test_a_part_that_ends_when_there_is_no_room_left_is_let_go_with_its_item():
    long = {**TEXT, "text": "x" * (MAX_BYTES - 1000)}
    parts = [
        of_part(f"content_part.{kind}", number=number, part=long) for kind in ("added", "done") for number in (0, 1)
    ]
    (last,) = ended([CREATED, item_added(), *parts])
    assert last["response"]["output"] == []


ODD_EVENTS = {
    "an item that is none": [{**item_added(), "item": 7}],
    "the end of an item that is none": [{"type": "response.output_item.done", "output_index": 0, "item": None}],
    "an item beyond those followed": [item_added(MAX_INDEX + 1)],
    "a flag for a place": [item_added(place=True)],
    "a part without its item": [of_part("content_part.added", part=TEXT)],
    "text without its part or item": [of_part("output_text.delta", delta="1234")],
}  # fmt: skip


@pytest.mark.parametrize("events", ODD_EVENTS.values(), ids=ODD_EVENTS)
def test_what_makes_no_sense_is_left_out_of_the_end(events):
    (last,) = ended([CREATED, *events])
    assert last["response"]["output"] == []


ODD_PARTS = {
    "a part that is none": [of_part("content_part.added", part=[])],
    "a part of no known type": [of_part("content_part.added", part={"type": ["audio"]})],
    "a part beyond those followed": [of_part("content_part.added", number=MAX_INDEX + 1, part=TEXT)],
    "text without its part": [of_part("output_text.delta", delta="1234")],
}


@pytest.mark.parametrize("events", ODD_PARTS.values(), ids=ODD_PARTS)
def test_a_part_that_makes_no_sense_is_left_out_of_its_item(events):
    _, last = ended([CREATED, item_added(), *events])
    assert [item["content"] for item in last["response"]["output"]] == [[]]


def test_the_end_of_a_part_that_is_none_leaves_the_part_open():
    odd = [of_part("content_part.done", part=None), of_part("output_text.delta", delta=None)]
    *_, last = ended([CREATED, item_added(), of_part("content_part.added", part=TEXT), *odd])
    assert last["response"]["output"][0]["content"] == [TEXT]


NUMBERS = {"none": (None, 1), "the last one": (41, 42), "negative": (-9, 1), "a text": ("7", 1), "huge": (10**40, 1)}


@pytest.mark.parametrize(("number", "following"), NUMBERS.values(), ids=NUMBERS)
def test_the_end_goes_on_counting_events(number, following):
    (last,) = ended([{**CREATED, "sequence_number": number}])
    assert last["sequence_number"] == following


NESTED = {
    "a response": b'{"type": "response.created", "response": {"id": "resp_1", "tools": %b}}',
    "an item": b'{"type": "response.output_item.done", "output_index": 0, "item": {"id": "msg_1", "content": %b}}',
}


def is_readable(event):
    try:
        return bool(json.loads(event))
    except RecursionError:
        return False


@pytest.mark.parametrize("event", NESTED.values(), ids=NESTED)
def test_what_can_be_read_but_not_written_is_left_out_of_the_end(event):
    """Nested to about the depth that can be read, where writing fails first."""
    readable = bisect_left(range(10**6), 1, key=lambda levels: not is_readable(event % (b"[" * levels + b"]" * levels)))
    kept = []
    for levels in range(readable - 100, readable + 10):
        nested = event % (b"[" * levels + b"]" * levels)
        sent = as_stream([CREATED]) + b"data: " + nested + b"\n\n"
        *_, last = messages_in(ending_of(sent, operation="responses"))
        assert (last["type"], last["response"]["id"]) == ("response.incomplete", "resp_1")
        kept.append(bool(last["response"]["tools"] or last["response"]["output"]))
    assert kept == sorted(kept, reverse=True)
    assert set(kept) == {True, False}


KINDS = st.sampled_from(
    [
        "response.created", "response.in_progress", "response.output_item.added", "response.output_item.done",
        "response.content_part.added", "response.content_part.done", "response.output_text.delta",
        "response.output_text.done", "response.reasoning_summary_part.added", "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.delta", "message", "reasoning", "output_text", "refusal", "summary_text",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 2) | st.floats() | st.text() | st.just("\ud800") | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | KINDS, inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={"type": KINDS | ANYTHING, "text": ANYTHING, "content": ANYTHING, "summary": ANYTHING, "status": ANYTHING},
)
EVENTS = st.fixed_dictionaries(
    {"type": KINDS | ANYTHING},
    optional={
        "output_index": st.integers(0, 2) | ANYTHING,
        "content_index": st.integers(0, 2) | ANYTHING,
        "summary_index": st.integers(0, 2) | ANYTHING,
        "sequence_number": st.integers(0, 9) | ANYTHING,
        "item": OBJECTS | ANYTHING,
        "part": OBJECTS | ANYTHING,
        "delta": st.text() | ANYTHING,
        "response": OBJECTS | ANYTHING,
        "id": ANYTHING,
        "error": ANYTHING,
        "usage": ANYTHING,
        "choices": st.lists(st.dictionaries(st.sampled_from(["index", "delta", "finish_reason"]), ANYTHING), max_size=3)
        | ANYTHING,
    },
)


@pytest.mark.parametrize("operation", OPERATIONS)
@given(sent=st.lists(EVENTS | ANYTHING, max_size=8), with_usage=st.booleans())
def test_whatever_an_upstream_sent_there_is_an_ending_that_ends_it(operation, sent, with_usage):
    reader = usage_reader(operation, "text/event-stream")
    reader.feed(as_stream(sent))
    ending = reader.ending(with_usage=with_usage, input_tokens=0)
    events = re.findall(rb"(?:event: ([a-z_.]+)\n)?data: ([^\n]+)\n\n", ending)
    assert (
        b"".join(b"event: %b\ndata: %b\n\n" % event if event[0] else b"data: %b\n\n" % event[1] for event in events)
        == ending
    )
    if not ending:
        return
    kind, last = events[-1]
    assert kind == b"response.incomplete" if operation == "responses" else last == b"[DONE]"
    reader.feed(ending)
    assert reader.ending(with_usage=with_usage, input_tokens=0) == b""
