import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.openai.texts import only_text
from modelfence.dialects.openai.usage import count as count_into
from modelfence.dialects.openai.usage import usage_reader
from modelfence.dialects.shared.counting import MAX_BODY_BYTES, MAX_TOKENS, Tally
from modelfence.dialects.shared.sse import MAX_BYTES

ANSWERS = Path(__file__).parent / "openai" / "answers"
EXPECTED = json.loads((ANSWERS / "usage.json").read_text())
SSE = "text/event-stream"
CONTENT_TYPES = {".json": "application/json", ".sse": "text/event-stream; charset=utf-8"}


def usage_of(data, *, operation="chat", content_type="application/json"):
    reader = usage_reader(operation, content_type)
    reader.feed(data)
    return reader.usage()


def as_stream(message):
    return b"data: " + json.dumps(message).encode() + b"\n\n"


def test_every_sample_answer_has_its_usage_written_down():
    assert {path.name for path in ANSWERS.iterdir()} - {"usage.json"} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("piece_bytes", [1, 7, 100_000])
def test_an_answer_costs_what_its_sample_says_however_it_is_cut(name, piece_bytes):
    path = ANSWERS / name
    reader = OpenAI().usage_reader(path.stem.partition("-")[0], CONTENT_TYPES[path.suffix])
    data = path.read_bytes()
    for place in range(0, len(data), piece_bytes):
        reader.feed(data[place : place + piece_bytes])
    expected = EXPECTED[name]
    assert reader.usage() == (None if expected is None else Usage(**expected))


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", "text/html", ""])
def test_nothing_that_passed_is_no_usage(content_type):
    assert usage_reader("chat", content_type).usage() is None
    assert usage_of(b"", content_type=content_type) is None


def test_a_plain_answer_that_was_cut_off_is_counted_as_if_all_of_it_were_text():
    assert usage_of(b'{"choices": [{"message": {"content": "1234') == Usage(output_tokens=11, estimated=True)


def test_a_plain_answer_of_embeddings_that_was_cut_off_has_no_output():
    assert usage_of(b'{"data": [{"embedding": [0.0023, -0.00', operation="embeddings") == Usage(estimated=True)


@pytest.mark.parametrize(
    ("answer", "content_type", "tokens"),
    [
        (b"<html>An answer</html>", "text/html", 6),
        (b"x" * 4000, "text/plain", 1000),
        (b'{"text": ["' + b"x" * 4000 + b'"]}', "application/json", 1004),
        (b'{"a": 1}\n{"b": 2}\n', "application/x-ndjson", 5),
        (b"\xff" * 51_200, "audio/mpeg", 100),
        (b"\x89PNG" * 128, "image/png", 1),
    ],
)
def test_an_answer_that_is_not_read_is_never_free(answer, content_type, tokens):
    assert usage_of(answer, operation="unknown", content_type=content_type) == Usage(
        output_tokens=tokens, estimated=True
    )


def test_a_list_of_models_costs_nothing():
    assert usage_of(b'{"object": "list", "data": [{"id": "m"}]}', operation="models") == Usage(estimated=True)


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (b'{"type":"content_block_delta","delta":{"type":"text_delta","text":"word"}}', 19),
        (b'{"text": "word", "meta_info": {}}', 9),
        (b'{"token": {"id": 1, "text": "word"}}', 9),
        (b"just words", 3),
        (b"[1, 2, 3]", 3),
        (b'{"choices":[{"index":0,"delta":{"audio":{"data":"' + b"A" * 5120 + b'"}}}]}', 10),
        (b'{"choices":[{"index":0,"delta":{"audio":{"transcript":"some words here."}}}]}', 4),
        (b'{"choices":[{"index":0,"delta":{"novelty":["word","word"]}}]}', 4),
        (b'{"type":"response.image_generation_call.partial_image","partial_image_b64":"' + b"A" * 5120 + b'"}', 10),
        (b'{"type":"response.novelty.delta","delta":{"words":"word"}}', 15),
        # What wraps the text, or tells of it, is free.
        (b'{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}', 0),
        (b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}', 0),
        (b'{"choices":[],"prompt_filter_results":[]}', 0),
        (b'{"type":"response.output_item.added","item":{"type":"message","content":[]}}', 0),
        (b'{"type":"response.output_text.done","text":"all of it again"}', 0),
        (b'{"type":"error","message":"overloaded"}', 0),
        (b'{"error":{"message":"overloaded"}}', 0),
    ],
)
def test_what_a_stream_says_is_counted_whether_it_is_read_or_not(data, tokens):
    reader = usage_reader("chat", "text/event-stream")
    reader.feed(b": keep-alive\n\n")
    reader.feed(b"data: " + data + b"\n\n")
    assert reader.output_tokens == tokens


@pytest.mark.parametrize("reported", [0, 1])
def test_a_report_that_does_not_grow_covers_nothing_new(reported):
    reader = usage_reader("chat", "text/event-stream")
    piece = {"choices": [{"delta": {"content": "word"}}], "usage": {"prompt_tokens": 5, "completion_tokens": reported}}
    for _ in range(100):
        reader.feed(b"data: " + json.dumps(piece).encode() + b"\n\n")
    assert reader.output_tokens == 100
    piece["usage"] = {"prompt_tokens": 5, "completion_tokens": 101}
    reader.feed(b"data: " + json.dumps(piece).encode() + b"\n\n")
    assert reader.usage() == Usage(5, 101)


@pytest.mark.parametrize(
    ("operation", "last"),
    [
        ("chat", b"data: [DONE]\n\n"),
        ("unknown", b"data: [DONE]\n\n"),
        ("chat", b'data: {"error": {"message": "x"}}\n\n'),
        ("responses", b'data: {"type":"response.completed","response":{"usage":{}}}\n\n'),
    ],
)
def test_a_stream_has_ended_when_its_last_event_has_passed(operation, last):
    reader = usage_reader(operation, "text/event-stream")
    reader.feed(b'data: {"choices":[{"delta":{"content":"word"},"finish_reason":"stop"}]}\n\n')
    assert not reader.has_ended
    reader.feed(last)
    assert reader.has_ended


def test_a_plain_answer_does_not_tell_that_it_has_ended():
    reader = usage_reader("chat", "application/json")
    reader.feed(b"{}")
    assert not reader.has_ended


def test_json_under_another_name_is_read_all_the_same():
    answer = b'{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}'
    assert usage_of(answer, content_type="text/plain") == Usage(1, 2)


def test_a_plain_answer_too_long_to_keep_is_estimated_from_its_size():
    reader = usage_reader("chat", "application/json")
    for _ in range(5):
        reader.feed(b"x" * (MAX_BODY_BYTES // 4))
    assert reader.usage() == Usage(output_tokens=5 * MAX_BODY_BYTES // 16, estimated=True)


def test_an_event_too_long_to_keep_is_estimated_from_its_size():
    reader = usage_reader("chat", SSE)
    reader.feed(b"data: " + b"x" * MAX_BYTES + b"\n\n")
    assert reader.usage() == Usage(output_tokens=(MAX_BYTES + 6 + 3) // 4, estimated=True)


def test_the_usage_known_by_now_is_told_while_the_answer_streams():
    reader = usage_reader("chat", "text/event-stream")
    seen = []
    for _ in range(3):
        reader.feed(as_stream({"choices": [{"delta": {"content": "12345678"}}]}))
        seen.append(reader.usage())
    assert seen == [Usage(output_tokens=n, estimated=True) for n in (1, 2, 3)]


ADDED = {
    "nothing": ({}, 0),
    "a role": ({"role": "assistant", "content": ""}, 0),
    "a letter": ({"content": "a"}, 1),
    "sixteen bytes": ({"content": "extraterrestrial"}, 1),
    "sixteen bytes that are few letters": ({"content": "подходя\u00a0"}, 1),
    "seventeen bytes": ({"content": "extraterrestrials"}, 5),
    "several tokens at once": ({"content": "Once upon a time there was a model"}, 9),
    "a refusal": ({"refusal": "No"}, 1),
    "reasoning under two names": ({"reasoning": "Hm", "reasoning_content": "Hm"}, 1),
    "reasoning and text": ({"reasoning": "Hm", "content": "Yes"}, 2),
    "the name of a tool": ({"tool_calls": [{"function": {"name": "sum", "arguments": ""}}]}, 1),
    "two calls": ({"tool_calls": [{"function": {"name": "a", "arguments": "{"}}, {"custom": {"input": "x"}}]}, 3),
    "a call in the old words": ({"function_call": {"arguments": '{"city":"Oslo","unit":"c"}'}}, 7),
}


@pytest.mark.parametrize(("delta", "tokens"), ADDED.values(), ids=ADDED)
def test_each_piece_that_a_stream_adds_is_a_token_unless_it_is_long(delta, tokens):
    for count in (1, 3):
        chunk = {"choices": [{"index": place, "delta": delta} for place in range(count)]}
        finish = {"choices": [{"index": place, "delta": {}, "finish_reason": "stop"} for place in range(count)]}
        assert usage_of(as_stream(chunk) + as_stream(finish), content_type=SSE) == Usage(
            output_tokens=count * tokens, estimated=True
        )


def test_a_plain_answer_is_counted_by_its_bytes():
    answer = {"choices": [{"message": {"content": "a"}}, {"message": {"content": "extraterrestrials"}}]}
    assert usage_of(json.dumps(answer).encode()) == Usage(output_tokens=5, estimated=True)


def test_an_estimate_goes_on_from_the_last_report():
    reader = usage_reader("chat", SSE)
    chunks = [
        ({"choices": [{"delta": {"content": "a"}}]}, 1),
        ({"choices": [{"delta": {"content": "b"}}], "usage": {"prompt_tokens": 5, "completion_tokens": 7}}, 7),
        ({"choices": [{"delta": {"content": "c"}}], "usage": None}, 8),
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 9}}, 9),
    ]
    for chunk, output_tokens in chunks:
        reader.feed(as_stream(chunk))
        assert reader.output_tokens == reader.usage().output_tokens == output_tokens


def test_a_plain_answer_is_read_again_when_more_of_it_has_come():
    reader = usage_reader("chat", "application/json")
    reader.feed(b'{"choices": [{"message": {"content": "1234"}')
    assert reader.output_tokens == 11
    reader.feed(b"}]} \n\n")
    assert reader.output_tokens == 1


ESTIMATE = Usage(output_tokens=1, estimated=True)
REPORTS = {
    "nothing": (None, ESTIMATE),
    "no object": ([1, 2], ESTIMATE),
    "an empty object": ({}, ESTIMATE),
    "negative numbers": ({"prompt_tokens": -1, "completion_tokens": -5}, ESTIMATE),
    "flags": ({"prompt_tokens": True, "completion_tokens": False}, ESTIMATE),
    "texts": ({"prompt_tokens": "1", "completion_tokens": "2"}, ESTIMATE),
    "decimal numbers": ({"prompt_tokens": 1.0, "completion_tokens": 2.0}, ESTIMATE),
    "more than any answer costs": ({"prompt_tokens": 10**30, "completion_tokens": MAX_TOKENS + 1}, ESTIMATE),
    "an input without an output": ({"prompt_tokens": 7, "completion_tokens": -1}, Usage(7, 1, estimated=True)),
    "an output without an input": ({"prompt_tokens": "7", "completion_tokens": 3}, Usage(0, 3, estimated=True)),
    "details that are none": (
        {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": 5, "completion_tokens_details": None},
        Usage(7, 3),
    ),
    "unsound details": (
        {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": -4}},
        Usage(7, 3),
    ),
    "details larger than the whole": (
        {
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 9},
            "completion_tokens_details": {"reasoning_tokens": 9},
        },
        Usage(7, 3, cached_tokens=7, reasoning_tokens=3),
    ),
}


@pytest.mark.parametrize(("report", "expected"), REPORTS.values(), ids=REPORTS)
def test_a_report_that_cannot_be_is_ignored_for_an_estimate(report, expected):
    message = {"choices": [{"message": {"content": "1234"}}], "usage": report}
    assert usage_of(json.dumps(message).encode()) == expected
    chunk = {"choices": [{"delta": {"content": "1234"}}], "usage": report}
    assert usage_of(as_stream(chunk), content_type="text/event-stream") == expected


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices", "message", "delta", "content", "text", "tool_calls", "output", "response", "usage",
                    "error", "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens",
                    "prompt_tokens_details", "output_tokens_details", "cached_tokens", "reasoning_tokens",
                ]
            ),
            inner,
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
    assert_sound(usage_of(as_stream(message), content_type="text/event-stream"))


@given(st.lists(st.binary() | st.sampled_from([b"data: ", b"\n\n", b'{"choices":', b"[DONE]"])))
def test_any_bytes_an_upstream_sends_are_counted_without_raising(pieces):
    for content_type in ("application/json", "text/event-stream", "audio/mpeg"):
        reader = usage_reader("chat", content_type)
        for piece in pieces:
            reader.feed(piece)
            assert_sound(reader.usage())


@pytest.mark.parametrize("levels", [500, 900, 1500, 100_000])
def test_an_answer_nested_beyond_reading_is_counted_without_raising(levels):
    nested = b'{"choices": [{"delta": {"content": ' + b"[" * levels + b"]" * levels + b', "tool_calls": '
    nested += b"[" * levels + b"]" * levels + b"}}]}"
    assert_sound(usage_of(nested))
    assert_sound(usage_of(b"data: " + nested + b"\n\n", content_type="text/event-stream"))


def test_what_a_tool_drew_comes_on_top_of_what_is_reported():
    item = {"type": "image_generation_call", "id": "ig_1", "result": "A" * 512 * 100}
    response = {"object": "response", "output": [item], "usage": {"input_tokens": 5, "output_tokens": 7}}
    expected = Usage(5, 107, estimated=True)
    assert usage_of(json.dumps(response).encode(), operation="responses") == expected
    done = as_stream({"type": "response.output_item.done", "output_index": 0, "item": item})
    assert usage_of(done, operation="responses", content_type=SSE) == Usage(output_tokens=100, estimated=True)
    completed = as_stream({"type": "response.completed", "response": response})
    assert usage_of(done + completed, operation="responses", content_type=SSE) == expected


CHUNKS = st.fixed_dictionaries(
    {"choices": st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "index": st.just(0),
                "delta": st.dictionaries(
                    st.sampled_from(["content", "role", "refusal", "reasoning", "tool_calls", "unheard_of"]),
                    st.sampled_from(["", "word", "a text of several words", "\u00e6\u00f8\u00e5", None, [{"function": {"arguments": "{"}}]]),
                    max_size=2,
                ),
                "message": st.sampled_from([None, {"content": "more"}]),
                "text": st.just("completed"),
                "finish_reason": st.none(),
            },
        ),
        max_size=2,
    )},
    optional={
        "id": st.just("chatcmpl-1"),
        "usage": st.sampled_from([None, {"prompt_tokens": 3, "completion_tokens": 7}]),
        "error": st.just({"message": "no"}),
        "item": st.just({"type": "image_generation_call", "result": "QUJD"}),
        "response": st.sampled_from([{}, {"usage": {"input_tokens": 1, "output_tokens": 2}}]),
    },
)  # fmt: skip


@given(CHUNKS)
def test_a_chunk_of_text_alone_counts_as_it_would_beside_others(chunk):
    quick, thorough = Tally(), Tally()
    count_into(chunk, 100, quick, True)
    # What stands in no chunk of OpenAI's is looked for in the long way, and adds nothing when it is null.
    count_into({**chunk, "unheard_of": None}, 100, thorough, True)
    assert vars(quick) == vars(thorough)


@pytest.mark.parametrize(
    ("chunk", "text"),
    [
        ({"choices": [{"index": 0, "delta": {"content": "word"}, "finish_reason": None}]}, "word"),
        ({"choices": [{"delta": {"content": "word"}}], "usage": None, "obfuscation": "xx"}, "word"),
        ({"choices": [{"delta": {"content": "word"}}], "usage": {"completion_tokens": 1}}, None),
        ({"choices": [{"delta": {"content": "word", "refusal": "no"}}]}, None),
        ({"choices": [{"delta": {"content": "word"}, "message": {"content": "more"}}]}, None),
        ({"choices": [{"delta": {"content": "word"}}] * 2}, None),
        ({"choices": [{"delta": {"content": ["word"]}}]}, None),
    ],
)
def test_only_chunks_that_hold_a_text_and_nothing_else_are_counted_the_short_way(chunk, text):
    assert only_text(chunk) == text
