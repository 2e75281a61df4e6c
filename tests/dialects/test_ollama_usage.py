import json
import re
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.dialects.ollama.usage import usage_reader
from modelfence.dialects.shared.counting import MAX_TOKENS
from modelfence.dialects.shared.sse import MAX_BYTES

SAMPLES = Path(__file__).parent / "ollama"
ANSWERS, ENDINGS = SAMPLES / "answers", SAMPLES / "endings"
EXPECTED = json.loads((ANSWERS / "usage.json").read_text())
MARK = b": the fence ends it here\n\n"
LINES = "application/x-ndjson"
CONTENT_TYPES = {".json": "application/json; charset=utf-8", ".sse": "text/event-stream", ".lines": LINES}


def reader_of(data, *, operation="chat", content_type=LINES):
    reader = usage_reader(operation, content_type)
    reader.feed(data)
    return reader


def as_lines(messages):
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


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
    expected = EXPECTED[name]
    assert reader.usage() == (None if expected is None else Usage(**expected))


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", LINES, ""])
def test_nothing_that_passed_is_no_usage(content_type):
    assert usage_reader("chat", content_type).usage() is None


def test_a_plain_answer_that_was_cut_off_is_counted_as_if_all_of_it_were_text():
    cut = b'{"message": {"content": "1234'
    assert reader_of(cut, content_type="application/json").usage() == Usage(output_tokens=8, estimated=True)
    assert reader_of(cut, operation="embeddings", content_type="application/json").usage() == Usage(estimated=True)


def test_a_line_too_long_to_keep_is_counted_by_its_size():
    assert reader_of(b"x" * (MAX_BYTES + 4)).output_tokens == (MAX_BYTES + 4) // 4


@pytest.mark.parametrize("count", [-1, "2", True, 1.5, MAX_TOKENS + 1, None, [1]])
def test_a_count_that_cannot_be_is_ignored_for_an_estimate(count):
    last = {"message": {"content": "1234"}, "done": True, "prompt_eval_count": count, "eval_count": count}
    assert reader_of(as_lines([last])).usage() == Usage(output_tokens=1, estimated=True)


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.name)
def test_a_stream_is_ended_as_its_sample_says(path):
    sent, _, expected = path.read_bytes().partition(MARK)
    reader = reader_of(sent, operation=path.stem.partition("-")[0])
    assert reader.ending(with_usage=False, input_tokens=12) == expected


@pytest.mark.parametrize("path", sorted(ENDINGS.iterdir()), ids=lambda path: path.name)
def test_a_stream_that_was_ended_is_not_ended_again(path):
    reader = reader_of(path.read_bytes().replace(MARK, b""), operation=path.stem.partition("-")[0])
    assert reader.has_ended
    assert reader.ending(with_usage=True, input_tokens=12) == b""


def test_a_stream_in_openais_words_is_ended_in_them():
    whole = (ANSWERS / "chat-openai.sse").read_bytes()
    sent = whole[: whole.index(b"\n\n") + 2]
    ending = reader_of(sent, content_type="text/event-stream").ending(with_usage=False, input_tokens=0)
    assert b'"finish_reason":"length"' in ending
    assert ending.endswith(b"data: [DONE]\n\n")


def test_a_name_too_long_to_keep_is_left_out_of_the_last_line():
    ending = reader_of(as_lines([{"model": "m", "done": False}, {"model": "x" * 2000, "created_at": 7}])).ending(
        with_usage=True, input_tokens=0
    )
    assert json.loads(ending)["model"] == "m"
    assert json.loads(ending)["created_at"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("operation", ["embeddings", "models", "unknown"])
def test_a_stream_of_which_nobody_knows_the_words_just_ends(operation):
    assert reader_of(b'{"status":"x"}\n', operation=operation).ending(with_usage=True, input_tokens=0) == b""


def client_of(body) -> Any:
    def serve(request):
        return httpx.Response(200, headers={"content-type": LINES}, content=body, request=request)

    return ollama.Client(host="http://fence.test", transport=httpx.MockTransport(serve))


CUTS = [
    pytest.param(path.stem.partition("-")[0], path.read_bytes()[:end], id=f"{path.name} after {count}")
    for path in sorted(ANSWERS.glob("*.lines"))
    if "failed" not in path.name
    for count, end in enumerate([0, *(found.end() for found in re.finditer(b"\n", path.read_bytes()))])
]


@pytest.mark.parametrize(("operation", "sent"), CUTS)
def test_the_client_reads_an_answer_that_was_ended_after_any_line(operation, sent):
    reader = reader_of(sent, operation=operation)
    counted = reader.output_tokens
    client = client_of(sent + reader.ending(with_usage=True, input_tokens=5))
    if operation == "chat":
        parts = list(client.chat(model="m", messages=[], stream=True))
    else:
        parts = list(client.generate(model="m", prompt="hi", stream=True))
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    if b'"done":true' not in sent:
        assert parts[-1].done_reason == "length"
        assert (parts[-1].prompt_eval_count, parts[-1].eval_count) == (5, counted)


WORDS = st.sampled_from(
    [
        "model", "created_at", "message", "content", "thinking", "response", "tool_calls", "done", "done_reason",
        "error", "prompt_eval_count", "eval_count", "image", "images", "object", "choices", "usage", "prompt_tokens",
        "completion_tokens", "chat.completion", "song",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(0, 2) | st.floats() | st.just("\ud800") | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=25,
)


@pytest.mark.parametrize("operation", ["chat", "completion"])
@given(sent=st.lists(st.dictionaries(WORDS, ANYTHING) | ANYTHING, max_size=6))
def test_whatever_an_upstream_sends_is_counted_and_ended_without_raising(operation, sent):
    for content_type in (LINES, "application/json"):
        reader = reader_of(as_lines(sent), operation=operation, content_type=content_type)
        usage = reader.usage()
        assert usage is None or min(usage.by_direction().values()) >= 0
        ending = reader.ending(with_usage=True, input_tokens=0)
        reader.feed(ending)
        assert reader.ending(with_usage=True, input_tokens=0) == b""
        assert not ending or reader.has_ended
