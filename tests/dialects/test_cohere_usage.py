import json
import re
from pathlib import Path
from typing import Any

import cohere
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.dialects.cohere.endings import MAX_KEPT_BYTES
from modelfence.dialects.cohere.usage import usage_reader
from modelfence.dialects.shared.counting import MAX_TOKENS

SAMPLES = Path(__file__).parent / "cohere"
ANSWERS, ENDINGS = SAMPLES / "answers", SAMPLES / "endings"
EXPECTED = json.loads((ANSWERS / "usage.json").read_text())
MARK = b": the fence ends it here\n\n"
SSE = "text/event-stream"
LINES = "application/stream+json"
CONTENT_TYPES = {".json": "application/json", ".sse": SSE, ".lines": LINES}


def reader_of(data, *, operation="chat", content_type=SSE):
    reader = usage_reader(operation, content_type)
    reader.feed(data)
    return reader


def as_stream(messages):
    return b"".join(b"data: " + json.dumps(message).encode() + b"\n\n" for message in messages)


def test_every_sample_answer_has_its_usage_written_down():
    assert {path.name for path in ANSWERS.iterdir()} - {"usage.json"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
def test_an_answer_costs_what_its_sample_says_however_it_is_cut(name, piece_bytes):
    path = ANSWERS / name
    reader = usage_reader(path.stem.partition("-")[0], CONTENT_TYPES[path.suffix])
    data = path.read_bytes()
    for place in range(0, len(data), piece_bytes):
        reader.feed(data[place : place + piece_bytes])
    assert reader.usage() == Usage(**EXPECTED[name])


@pytest.mark.parametrize("content_type", ["application/json", SSE, LINES, ""])
def test_nothing_that_passed_is_no_usage(content_type):
    assert usage_reader("chat", content_type).usage() is None


def test_a_plain_answer_that_was_cut_off_is_counted_as_if_all_of_it_were_text():
    cut = b'{"message": {"content": [{"text": "1234'
    assert reader_of(cut, content_type="application/json").usage() == Usage(output_tokens=10, estimated=True)
    assert reader_of(cut, operation="embeddings", content_type="application/json").usage() == Usage(estimated=True)


def test_a_plain_answer_in_no_shape_that_is_known_is_counted_by_its_size():
    assert reader_of(b'{"song": "la la"}', content_type="application/json").output_tokens == 5


REPORTS = {
    "negative numbers": {"input_tokens": -1, "output_tokens": -1},
    "texts": {"input_tokens": "1", "output_tokens": "2"},
    "flags": {"input_tokens": True, "output_tokens": False},
    "more than any answer costs": {"input_tokens": 1e30, "output_tokens": MAX_TOKENS + 1},
    "no numbers": {"input_tokens": float("nan"), "output_tokens": float("inf")},
    "none": None,
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_a_report_that_cannot_be_is_ignored_for_an_estimate(report):
    end = {"type": "message-end", "delta": {"usage": {"tokens": report}}}
    text = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "1234"}}}}
    assert reader_of(as_stream([text, end])).usage() == Usage(output_tokens=1, estimated=True)


def test_a_part_of_a_token_counts_as_one():
    end = {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 1.5, "output_tokens": 2.0}}}}
    assert reader_of(as_stream([end])).usage() == Usage(2, 2)


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.name)
def test_a_stream_is_ended_as_its_sample_says(path):
    sent, _, expected = path.read_bytes().partition(MARK)
    reader = reader_of(sent, content_type=CONTENT_TYPES[path.suffix])
    assert reader.ending(with_usage=True, input_tokens=12) == expected


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.name)
def test_a_stream_that_was_ended_is_not_ended_again(path):
    reader = reader_of(path.read_bytes().replace(MARK, b""), content_type=CONTENT_TYPES[path.suffix])
    assert reader.has_ended
    assert reader.ending(with_usage=True, input_tokens=12) == b""


@pytest.mark.parametrize("content_type", [SSE, LINES])
def test_a_stream_of_which_nobody_knows_the_words_just_ends(content_type):
    assert usage_reader("embeddings", content_type).ending(with_usage=True, input_tokens=0) == b""


def test_a_text_too_long_to_keep_is_left_out_of_the_last_line():
    piece = {"event_type": "text-generation", "text": "x" * (MAX_KEPT_BYTES // 2)}
    reader = usage_reader("chat", LINES)
    for kept in (True, True, False, False):
        reader.feed(json.dumps(piece).encode() + b"\n")
        last = json.loads(reader.ending(with_usage=True, input_tokens=0))
        assert bool(last["response"]["text"]) == kept


def client_of(body, content_type) -> Any:
    def serve(request):
        return httpx.Response(200, headers={"content-type": content_type}, content=body, request=request)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    return {"api_key": "k", "base_url": "http://fence.test", "httpx_client": http}


STREAMS = [path for path in sorted(ANSWERS.glob("chat*.sse")) if "not-known" not in path.name]
CUTS = [
    pytest.param(path.read_bytes()[:end], id=f"{path.name} after {count}")
    for path in STREAMS
    for count, end in enumerate([0, *(found.end() for found in re.finditer(b"\n\n", path.read_bytes()))])
]


@pytest.mark.parametrize("sent", CUTS)
def test_the_sdk_reads_a_chat_that_was_ended_after_any_event(sent):
    reader = reader_of(sent)
    counted = reader.output_tokens
    body = sent + reader.ending(with_usage=True, input_tokens=5)
    events: list[Any] = list(cohere.ClientV2(**client_of(body, SSE)).chat_stream(model="m", messages=[]))
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("message-start", "message-end")
    assert kinds.count("message-end") == 1
    assert kinds.count("content-start") == kinds.count("content-end")
    assert kinds.count("citation-start") == kinds.count("citation-end")
    if b"message-end" not in sent:
        assert events[-1].delta.finish_reason == "MAX_TOKENS"
        assert events[-1].delta.usage.tokens.output_tokens == counted


OLD = (ANSWERS / "chat-old.lines").read_bytes()


@pytest.mark.parametrize("end", [0, *(found.end() for found in re.finditer(b"\n", OLD))])
def test_the_sdk_reads_an_old_chat_that_was_ended_after_any_line(end):
    body = OLD[:end] + reader_of(OLD[:end], content_type=LINES).ending(with_usage=True, input_tokens=5)
    events: list[Any] = list(cohere.Client(**client_of(body, LINES)).chat_stream(message="hi"))
    assert events[-1].event_type == "stream-end"
    said = "".join(event.text for event in events if event.event_type == "text-generation")
    assert events[-1].response.text == said


WORDS = st.sampled_from(
    [
        "type", "event_type", "delta", "message", "content", "text", "thinking", "tool_plan", "tool_calls", "function",
        "name", "arguments", "index", "id", "usage", "meta", "tokens", "billed_units", "input_tokens", "output_tokens",
        "image_tokens", "cached_tokens", "response", "generation_id", "tool_call_delta", "message-start",
        "content-start", "content-delta", "content-end", "tool-call-start", "citation-start", "message-end",
        "stream-start", "text-generation", "tool-calls-chunk", "search-queries-generation", "search_queries",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 2) | st.floats() | st.just("\ud800") | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


@given(st.lists(st.dictionaries(WORDS, ANYTHING) | ANYTHING, max_size=6))
def test_whatever_an_upstream_sends_is_counted_and_ended_without_raising(sent):
    as_lines = b"".join(json.dumps(message).encode() + b"\n" for message in sent)
    for content_type, data in ((SSE, as_stream(sent)), (LINES, as_lines), ("application/json", as_lines)):
        reader = reader_of(data, content_type=content_type)
        usage = reader.usage()
        assert usage is None or min(usage.by_direction().values()) >= 0
        ending = reader.ending(with_usage=True, input_tokens=0)
        reader.feed(ending)
        assert reader.ending(with_usage=True, input_tokens=0) == b""
        assert not ending or reader.has_ended
