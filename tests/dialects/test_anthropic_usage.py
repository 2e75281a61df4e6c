import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.dialects.anthropic.batch_results import MAX_LINE_BYTES
from modelfence.dialects.anthropic.usage import usage_reader
from modelfence.dialects.shared.counting import MAX_TOKENS

ANSWERS = Path(__file__).parent / "anthropic" / "answers"
EXPECTED = json.loads((ANSWERS / "usage.json").read_text())
SSE = "text/event-stream; charset=utf-8"
CONTENT_TYPES = {".json": "application/json", ".sse": SSE, ".jsonl": "application/x-jsonl"}


def reader_of(name):
    path = ANSWERS / name
    return usage_reader(path.stem.partition("-")[0], CONTENT_TYPES[path.suffix])


def usage_of(data, *, operation="chat", content_type="application/json"):
    reader = usage_reader(operation, content_type)
    reader.feed(data)
    return reader.usage()


def as_stream(messages):
    return b"".join(f"event: x\ndata: {json.dumps(message)}\n\n".encode() for message in messages)


def test_every_sample_answer_has_its_usage_written_down():
    assert {path.name for path in ANSWERS.iterdir()} - {"usage.json"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
def test_an_answer_costs_what_its_sample_says_however_it_is_cut(name, piece_bytes):
    reader, data = reader_of(name), (ANSWERS / name).read_bytes()
    for place in range(0, len(data), piece_bytes):
        reader.feed(data[place : place + piece_bytes])
    expected = EXPECTED[name]
    assert reader.usage() == (None if expected is None else Usage(**expected))


@pytest.mark.parametrize("name", [name for name in EXPECTED if name.endswith(".sse")])
def test_a_stream_takes_nothing_back_until_it_reports(name):
    reader, counts = reader_of(name), [0]
    for event in (ANSWERS / name).read_bytes().partition(b"event: message_delta")[0].split(b"\n\n"):
        reader.feed(event + b"\n\n")
        counts.append(reader.output_tokens)
    assert counts == sorted(counts)


@pytest.mark.parametrize("name", ["chat.sse", "chat-failed.sse", "chat-failed-at-once.sse"])
def test_a_stream_has_ended_when_its_last_event_has_passed(name):
    reader, data = reader_of(name), (ANSWERS / name).read_bytes()
    *_, last = data.rstrip().split(b"\n\n")
    reader.feed(data.rstrip()[: -len(last)])
    assert not reader.has_ended
    reader.feed(last + b"\n\n")
    assert reader.has_ended


@pytest.mark.parametrize("operation", ["chat", "tokens", "batch", "models", "unknown"])
@pytest.mark.parametrize("content_type", ["application/json", SSE, "application/x-jsonl", ""])
def test_nothing_that_passed_is_no_usage(operation, content_type):
    assert usage_of(b"", operation=operation, content_type=content_type) is None


def test_the_first_tokens_that_a_stream_reports_cover_nothing_that_is_to_come():
    started = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 8}}}
    piece = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "word"}}
    assert usage_of(as_stream([started, piece]), content_type=SSE) == Usage(5, 1, estimated=True)


def test_what_the_last_report_leaves_out_stays_as_it_was():
    started = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 7}}}
    last = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 6, "output_tokens": 3}}
    assert usage_of(as_stream([started, last]), content_type=SSE) == Usage(13, 3, cached_tokens=7)


@pytest.mark.parametrize(
    ("iterations", "expected"),
    [
        ([{"input_tokens": 10, "output_tokens": 20}], Usage(100, 200)),
        ([{"input_tokens": 100, "output_tokens": 200}, {"input_tokens": 1, "output_tokens": 2}], Usage(101, 202)),
        ([{"input_tokens": MAX_TOKENS, "output_tokens": MAX_TOKENS}] * 3, Usage(MAX_TOKENS, MAX_TOKENS)),
        ([{"input_tokens": True, "output_tokens": -5}, 7, None], Usage(100, 200)),
        ({"input_tokens": 1000}, Usage(100, 200)),
    ],
)
def test_what_the_parts_of_an_answer_add_up_to_counts_where_it_is_more(iterations, expected):
    usage = {"input_tokens": 100, "output_tokens": 200, "iterations": iterations}
    assert usage_of(json.dumps({"type": "message", "content": [], "usage": usage}).encode()) == expected


ESTIMATE = Usage(output_tokens=1, estimated=True)
REPORTS = {
    "nothing": (None, ESTIMATE),
    "no object": ([1, 2], ESTIMATE),
    "an empty object": ({}, ESTIMATE),
    "negative numbers": ({"input_tokens": -1, "output_tokens": -5}, ESTIMATE),
    "flags and texts": ({"input_tokens": True, "output_tokens": "2"}, ESTIMATE),
    "more than any answer costs": ({"input_tokens": 10**30, "output_tokens": MAX_TOKENS + 1}, ESTIMATE),
    "an input without an output": ({"input_tokens": 7}, Usage(7, 1, estimated=True)),
    "an output without an input": ({"output_tokens": 3}, Usage(0, 3, estimated=True)),
    "details that are none": ({"input_tokens": 7, "output_tokens": 3, "output_tokens_details": 5}, Usage(7, 3)),
    "details larger than the whole": (
        {"input_tokens": 7, "output_tokens": 3, "output_tokens_details": {"thinking_tokens": 9}},
        Usage(7, 3, reasoning_tokens=3),
    ),
}


@pytest.mark.parametrize(("report", "expected"), REPORTS.values(), ids=REPORTS)
def test_a_report_that_cannot_be_is_ignored_for_an_estimate(report, expected):
    answer = {"type": "message", "content": [{"type": "text", "text": "1234"}], "usage": report}
    assert usage_of(json.dumps(answer).encode()) == expected
    piece = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "1234"}}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": report}
    assert usage_of(as_stream([piece, last]), content_type=SSE) == expected


ADDED = {
    "a ping": ({"type": "ping"}, 0),
    "the end of a block": ({"type": "content_block_stop", "index": 0}, 0),
    "a block that begins": ({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, 0),
    "a block that begins with text": ({"type": "content_block_start", "content_block": {"type": "text", "text": "1234"}}, 1),
    "a call that begins": ({"type": "content_block_start", "content_block": {"type": "tool_use", "name": "get_sum", "input": {}}}, 2),
    "what a tool of the provider's found": (
        {"type": "content_block_start", "content_block": {"type": "web_fetch_tool_result", "content": {"text": "x" * 99}}}, 0,
    ),
    "a block that nobody knows": ({"type": "content_block_start", "content_block": {"type": "n", "t": "12345"}}, 6),
    "a block that is none": ({"type": "content_block_start", "content_block": 5}, 13),
    "a message that begins with text": ({"type": "message_start", "message": {"content": [{"type": "text", "text": "12345678"}, 7]}}, 2),
    "a letter": ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, 1),
    "several tokens at once": (
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Once upon a time there was a model"}}, 9,
    ),
    "thinking": ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "Hm"}}, 1),
    "a call": ({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": '{"a'}}, 1),
    "a quotation": ({"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": {"cited_text": "x" * 99}}}, 0),
    "an addition that nobody knows": ({"type": "content_block_delta", "delta": {"type": "n", "t": "12345"}}, 6),
    "an addition without a type": ({"type": "content_block_delta", "delta": {"t": "12345"}}, 4),
    "an error": ({"type": "error", "error": {"message": "x" * 99}}, 0),
    "a completion of another API's": ({"choices": [{"delta": {"content": "12345678"}}]}, 13),
}  # fmt: skip


@pytest.mark.parametrize(("event", "tokens"), ADDED.values(), ids=ADDED)
def test_what_a_stream_says_is_counted_whether_it_is_read_or_not(event, tokens):
    reader = usage_reader("chat", SSE)
    reader.feed(as_stream([event]))
    assert reader.output_tokens == tokens


def test_a_signature_counts_only_where_the_thinking_is_not_shown():
    shown = {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "Hm"}}
    signature = {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x" * 400}}
    block = {"type": "content_block_start", "content_block": {"type": "thinking", "thinking": ""}}
    for events, tokens in (
        ([block, signature], 100),
        ([block, shown, signature], 1),
        ([block, shown, signature, block, signature], 101),
    ):
        reader = usage_reader("chat", SSE)
        reader.feed(as_stream(events))
        assert reader.output_tokens == tokens


def test_a_plain_answer_that_was_cut_off_is_counted_as_if_all_of_it_were_text():
    assert usage_of(b'{"type": "message", "content": [{"text": "1234') == Usage(output_tokens=12, estimated=True)


def test_a_result_too_long_to_keep_is_counted_by_its_size():
    reader = usage_reader("batch", "application/x-jsonl")
    for _ in range(5):
        reader.feed(b"x" * (MAX_LINE_BYTES // 2))
    assert reader.usage() == Usage(output_tokens=5 * MAX_LINE_BYTES // 8, estimated=True)
    result = b'{"result": {"type": "succeeded", "message": {"type": "message", "content": [], "usage": {"output_tokens": 7}}}}'
    reader.feed(b"\n" + result + b"\n")
    assert reader.output_tokens == 5 * MAX_LINE_BYTES // 8 + 7


def test_the_end_of_a_result_too_long_to_keep_is_no_result_of_its_own():
    reader = usage_reader("batch", "application/x-jsonl")
    reader.feed(b"x" * MAX_LINE_BYTES)
    reader.feed(b"x")
    result = b'{"result":{"message":{"usage":{"input_tokens":9,"output_tokens":9}}}}'
    reader.feed(result + b"\n")
    assert reader.output_tokens == -(-(MAX_LINE_BYTES + 1 + len(result)) // 4)


def test_a_list_of_batches_costs_nothing_of_its_own():
    assert usage_of(b'{"data": [], "has_more": false}', operation="batch") == Usage(estimated=True)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type", "message", "delta", "content", "content_block", "text", "input", "name", "index", "usage",
                    "error", "input_tokens", "output_tokens", "cache_read_input_tokens", "iterations", "result",
                    "output_tokens_details", "thinking_tokens", "signature", "partial_json", "stop_reason",
                ]
            ),
            inner | st.sampled_from(
                [
                    "message_start", "content_block_start", "content_block_delta", "message_delta", "text_delta",
                    "signature_delta", "thinking", "tool_use", "tool_result", "message",
                ]
            ),
            max_size=5,
        )
    ),
    max_leaves=30,
)  # fmt: skip


def assert_sound(usage):
    if usage is not None:
        assert all(type(value) is int and value >= 0 for value in usage.by_direction().values())


@given(ANYTHING)
def test_any_json_an_upstream_sends_is_counted_without_raising(message):
    assert_sound(usage_of(json.dumps(message).encode()))
    assert_sound(usage_of(as_stream([message]), content_type=SSE))
    assert_sound(usage_of(json.dumps(message).encode() + b"\n", operation="batch", content_type="application/x-jsonl"))


@pytest.mark.parametrize("levels", [500, 900, 1500, 100_000])
def test_an_answer_nested_beyond_reading_is_counted_without_raising(levels):
    nested = b"[" * levels + b"]" * levels
    answer = b'{"type": "content_block_start", "content": ' + nested + b', "content_block": {"type": "n", "input": '
    answer += nested + b"}}"
    assert_sound(usage_of(answer))
    assert_sound(usage_of(b"data: " + answer + b"\n\n", content_type=SSE))
    result = b'{"result": {"message": ' + answer + b"}}\n"
    assert_sound(usage_of(result, operation="batch", content_type="application/x-jsonl"))
