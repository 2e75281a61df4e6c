import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.dialects.gemini.usage import usage_reader
from modelfence.dialects.shared.counting import MAX_TOKENS
from modelfence.dialects.shared.sse import MAX_BYTES

ANSWERS = Path(__file__).parent / "gemini" / "answers"
EXPECTED = json.loads((ANSWERS / "usage.json").read_text())
TYPES = {".json": "application/json; charset=UTF-8", ".sse": "text/event-stream"}


def reader_of(name):
    path = ANSWERS / name
    return usage_reader("embeddings" if path.stem == "embedding" else "chat", TYPES[path.suffix])


def usage_of(message, *, operation="chat"):
    """Return what is made of a message as a plain answer."""
    reader = usage_reader(operation, TYPES[".json"])
    reader.feed(json.dumps(message).encode())
    return reader.usage()


def candidate(*parts: object, **fields: object) -> dict[str, object]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **fields}]}


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


@pytest.mark.parametrize("kind", TYPES.values())
def test_nothing_that_passed_is_no_usage(kind):
    reader = usage_reader("chat", kind)
    reader.feed(b"")
    reader.feed(b" \r\n")
    assert reader.usage() is None


def test_each_piece_of_a_stream_tells_the_sum_so_far_and_what_follows_is_estimated():
    reader = usage_reader("chat", "text/event-stream")
    seen = []
    for output in (3, None, 9):
        usage = {"promptTokenCount": 5, "candidatesTokenCount": output, "totalTokenCount": 5 + (output or 0)}
        message = candidate({"text": "a"}) | ({"usageMetadata": usage} if output else {})
        reader.feed(b"data: " + json.dumps(message).encode() + b"\r\n\r\n")
        seen.append(reader.output_tokens)
    assert seen == [3, 4, 9]
    assert reader.usage() == Usage(5, 9)


ESTIMATED = {
    "a text": (candidate({"text": "12345678"}), 2),
    "a thought": (candidate({"text": "1234", "thought": True, "thoughtSignature": "A" * 400}), 1),
    "a call": (candidate({"functionCall": {"name": "f", "args": {}}}), 6),
    "a picture": (candidate({"inlineData": {"mimeType": "image/png", "data": "A" * 5120}}), 10),
    "code and what it printed": (candidate({"executableCode": {"code": "1"}}, {"codeExecutionResult": {"x": 1}}), 5),
    "a part of no known kind": (candidate({"novelty": ["word", "word"]}), 4),
    "what tells of the text": (candidate({"text": ""}, groundingMetadata={"x": "y" * 99}, avgLogprobs=-0.1), 0),
    "a field of a candidate of no known kind": (candidate({"text": ""}, novelty="1234567890"), 3),
    "nothing that is known": ({"novelty": "1234"}, 5),
}


@pytest.mark.parametrize(("message", "tokens"), ESTIMATED.values(), ids=ESTIMATED)
def test_what_no_report_covers_is_estimated_whether_it_is_read_or_not(message, tokens):
    assert usage_of(message) == Usage(output_tokens=tokens, estimated=True)


UNSOUND = {
    "negative": {"promptTokenCount": -1, "candidatesTokenCount": -1},
    "texts": {"promptTokenCount": "1", "candidatesTokenCount": "1"},
    "flags": {"promptTokenCount": True, "candidatesTokenCount": True},
    "more than any answer costs": {"promptTokenCount": MAX_TOKENS + 1, "candidatesTokenCount": MAX_TOKENS + 1},
    "none": [],
}


@pytest.mark.parametrize("usage", UNSOUND.values(), ids=UNSOUND)
def test_a_report_that_can_not_be_is_none(usage):
    assert usage_of(candidate({"text": "12345678"}) | {"usageMetadata": usage}) == Usage(
        output_tokens=2, estimated=True
    )


@pytest.mark.parametrize(
    ("operation", "message"), [("tokens", {"totalTokens": 31}), ("models", {"models": [{"name": "m"}]})]
)
def test_what_only_counts_or_lists_costs_no_output(operation, message):
    assert usage_of(message, operation=operation) == Usage(estimated=True)


@pytest.mark.parametrize("operation", ["tokens", "embeddings", "models"])
def test_what_has_no_text_costs_no_output_even_when_it_was_cut_off(operation):
    reader = usage_reader(operation, TYPES[".json"])
    reader.feed(b'{"totalTokens": 3')
    assert reader.usage() == Usage(estimated=True)


def test_a_plain_answer_is_passed_on_as_it_comes_and_can_not_be_ended():
    reader, data = reader_of("generate.json"), (ANSWERS / "generate.json").read_bytes()
    for place in range(0, len(data), 50):
        piece = data[place : place + 50]
        assert reader.framing.ends(bytearray(piece), 0) == [len(piece)]
        reader.feed(piece)
        assert reader.has_ended
        assert reader.ending(with_usage=True, input_tokens=0) == b""


@pytest.mark.parametrize("name", ["stream-array.json", "stream-failed-array.json", "openai.sse", "stream-failed.sse"])
def test_a_stream_has_ended_when_its_last_event_has_passed(name):
    reader, data = reader_of(name), (ANSWERS / name).read_bytes()
    reader.feed(data[: len(data) // 2])
    assert not reader.has_ended
    reader.feed(data[len(data) // 2 :])
    assert reader.has_ended


def test_an_element_too_long_to_keep_is_estimated_from_its_size():
    reader = usage_reader("chat", TYPES[".json"])
    reader.feed(b'[{"x": "' + b"a" * MAX_BYTES + b'"}')
    assert reader.output_tokens >= MAX_BYTES // 4


KEYS = st.sampled_from(
    [
        "candidates", "content", "parts", "text", "index", "finishReason", "usageMetadata", "error", "inlineData", "data",
        "promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount", "choices", "object",
    ]
)  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@given(st.lists(ANYTHING, max_size=4), st.integers(1, 50))
def test_any_json_an_upstream_sends_is_counted_without_raising_and_can_be_ended(messages, piece_bytes):
    array = json.dumps(messages).encode()
    events = b"".join(b"data: " + json.dumps(message).encode() + b"\r\n\r\n" for message in messages)
    for kind, data in ((TYPES[".json"], array), (TYPES[".json"], array[1:]), (TYPES[".sse"], events)):
        reader = usage_reader("chat", kind)
        for place in range(0, len(data), piece_bytes):
            reader.feed(data[place : place + piece_bytes])
            usage = reader.usage()
            assert usage is None or min(usage.by_direction().values()) >= 0
            assert isinstance(reader.ending(with_usage=True, input_tokens=3), bytes)


@pytest.mark.parametrize("levels", [500, 900, 1500, 100_000])
def test_an_answer_nested_beyond_reading_is_counted_without_raising(levels):
    nested = b'{"candidates": [{"content": {"parts": [{"x": ' + b"[" * levels + b"]" * levels + b"}]}}]}"
    for kind, data in (
        (TYPES[".json"], nested),
        (TYPES[".json"], b"[%b]" % nested),
        (TYPES[".sse"], b"data: %b\n\n" % nested),
    ):
        reader = usage_reader("chat", kind)
        reader.feed(data)
        assert reader.output_tokens > 0
