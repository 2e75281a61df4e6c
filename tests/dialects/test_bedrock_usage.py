"""What answers of Bedrock's models cost, and how a stream of them is ended, as AWS's own SDK reads it."""

import base64
import io
import json
import struct
import zlib

import pytest
from botocore.eventstream import EventStream  # type: ignore[import-untyped]
from botocore.parsers import EventStreamJSONParser  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from tests.dialects.profile import values

from modelfence.core.call import Usage
from modelfence.dialects.bedrock.event_stream import chunk, message
from modelfence.dialects.bedrock.usage import usage_reader

MODEL = Session().get_service_model("bedrock-runtime")
TEXT = "The fence lets in whom the policy names."
METRICS = {"inputTokenCount": 12, "outputTokenCount": 7, "invocationLatency": 5, "firstByteLatency": 1}


def usage_of(answer, operation="chat"):
    reader = usage_reader(operation, "application/json")
    reader.feed(answer if isinstance(answer, bytes) else json.dumps(answer).encode())
    return reader.usage()


def said(text):
    return {"output": {"message": {"role": "assistant", "content": [{"text": text}]}}, "stopReason": "end_turn"}


PLAIN = {
    "converse": ({**said(TEXT), "usage": {"inputTokens": 12, "outputTokens": 7, "totalTokens": 19}}, Usage(12, 7)),
    "converse, with a cache": (
        {**said(TEXT), "usage": {"inputTokens": 2, "outputTokens": 7, "cacheReadInputTokens": 30, "cacheWriteInputTokens": 10}},
        Usage(42, 7, cached_tokens=30),
    ),
    "Nova": ({**said(TEXT), "usage": {"inputTokens": 12, "outputTokens": 7, "cacheReadInputTokenCount": 3}}, Usage(15, 7, 3)),
    "Claude": (
        {"type": "message", "content": [{"type": "text", "text": TEXT}],
         "usage": {"input_tokens": 2, "output_tokens": 7, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 5}},
        Usage(12, 7, 5),
    ),
    "Titan": (
        {"inputTextTokenCount": 12, "results": [{"tokenCount": 4, "outputText": TEXT}, {"tokenCount": 3, "outputText": TEXT}]},
        Usage(12, 7),
    ),
    "Llama": ({"generation": TEXT, "prompt_token_count": 12, "generation_token_count": 7, "stop_reason": "stop"}, Usage(12, 7)),
    "Mistral, which tells nothing": ({"outputs": [{"text": TEXT, "stop_reason": "stop"}]}, Usage(0, 10, estimated=True)),
    "Mistral's chat": ({"choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}}]}, Usage(0, 10, estimated=True)),
    "Cohere, which repeats the prompt": (
        {"generations": [{"id": "1", "text": TEXT, "finish_reason": "COMPLETE"}], "id": "1", "prompt": "p" * 999},
        Usage(0, 10, estimated=True),
    ),
    "Cohere's chat": ({"text": TEXT, "generation_id": "1", "chat_history": [{"message": TEXT}]}, Usage(0, 10, estimated=True)),
    "a tool's call": (
        {"output": {"message": {"content": [{"toolUse": {"toolUseId": "t" * 99, "name": "look", "input": {"in": "Oslo"}}}]}}},
        Usage(0, 5, estimated=True),
    ),
    "numbers that can't be": ({**said(TEXT), "usage": {"inputTokens": -1, "outputTokens": 10**12}}, Usage(0, 10, estimated=True)),
    "nothing that is read": (b"<html>" + b"x" * 34, Usage(0, 10, estimated=True)),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "expected"), PLAIN.values(), ids=PLAIN)
def test_a_plain_answer_costs_what_it_says_or_else_its_text(answer, expected):
    assert usage_of(answer) == expected


def test_embeddings_cost_their_input():
    assert usage_of({"embedding": [0.1] * 99, "inputTextTokenCount": 12}, "embeddings") == Usage(12, 0)
    assert usage_of({"embeddings": [[0.1] * 99], "texts": ["t" * 99]}, "embeddings") == Usage(estimated=True)


def test_counting_tokens_costs_none():
    assert usage_of({"inputTokens": 812}, "tokens") == Usage()


TOLD = {"usage": {"inputTokens": 12, "outputTokens": 7, "totalTokens": 19}, "metrics": {"latencyMs": 5}}
CONVERSE = [
    message("messageStart", {"role": "assistant", "p": "abcdefgh"}),
    message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm"}}, "p": "abc"}),
    message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "s" * 99}}}),
    message("contentBlockStop", {"contentBlockIndex": 0}),
    message("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Hi"}, "p": "abcdefghijklmnopqrstuv"}),
    message("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": " all of you who are there"}}),
    message("contentBlockStop", {"contentBlockIndex": 1}),
    message(
        "contentBlockStart", {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t" * 40, "name": "look"}}}
    ),
    message("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"toolUse": {"input": '{"in":'}}}),
    message("contentBlockStop", {"contentBlockIndex": 2}),
    message("messageStop", {"stopReason": "tool_use"}),
    message("metadata", TOLD),
]
CLAUDE = [
    chunk({"type": "message_start", "message": {"id": "m", "role": "assistant", "model": "c", "content": [],
           "usage": {"input_tokens": 2, "cache_read_input_tokens": 10, "output_tokens": 1}}}),
    chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    chunk({"type": "ping"}),
    chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
    chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " there"}}),
    chunk({"type": "content_block_stop", "index": 0}),
    chunk({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}),
    chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": {**METRICS, "inputTokenCount": 2, "cacheReadInputTokenCount": 10}}),
]  # fmt: skip
NOVA = [
    chunk({"messageStart": {"role": "assistant"}}),
    chunk({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}}),
    chunk({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": " there"}}}),
    chunk({"contentBlockStop": {"contentBlockIndex": 0}}),
    chunk({"messageStop": {"stopReason": "end_turn"}}),
    chunk({"metadata": TOLD, "amazon-bedrock-invocationMetrics": METRICS}),
]
OTHERS = {
    "Titan": [chunk({"outputText": "Hi", "index": 0, "completionReason": None}),
              chunk({"outputText": " there", "index": 0, "totalOutputTextTokenCount": 7, "inputTextTokenCount": 12, "completionReason": "FINISH"}),
              chunk({"outputText": "", "amazon-bedrock-invocationMetrics": METRICS})],
    "Llama": [chunk({"generation": "Hi", "prompt_token_count": 12, "generation_token_count": 1, "stop_reason": None}),
              chunk({"generation": " there", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None}),
              chunk({"generation": "", "generation_token_count": 7, "stop_reason": "stop", "amazon-bedrock-invocationMetrics": METRICS})],
    "Mistral": [chunk({"outputs": [{"text": "Hi", "stop_reason": None}]}),
                chunk({"outputs": [{"text": " there", "stop_reason": None}]}),
                chunk({"outputs": [{"text": "", "stop_reason": "stop"}], "amazon-bedrock-invocationMetrics": METRICS})],
    "Cohere": [chunk({"is_finished": False, "event_type": "text-generation", "text": "Hi"}),
               chunk({"is_finished": False, "event_type": "text-generation", "text": " there"}),
               chunk({"is_finished": True, "event_type": "stream-end", "response": {"text": "Hi there" * 99}, "amazon-bedrock-invocationMetrics": METRICS})],
}  # fmt: skip


def reader_after(events):
    reader = usage_reader("chat", "application/vnd.amazon.eventstream")
    for event in events:
        reader.feed(event)
    return reader


WHOLE = {
    "converse": (CONVERSE, Usage(12, 7)),
    "Claude": (CLAUDE, Usage(12, 7, cached_tokens=10)),
    "Nova": (NOVA, Usage(12, 7)),
    **{name: (events, Usage(12, 7)) for name, events in OTHERS.items()},
}


@pytest.mark.parametrize(("events", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_whole_stream_costs_what_it_says(events, expected):
    reader = reader_after(events)
    assert reader.usage() == expected
    assert reader.has_ended
    assert reader.ending(with_usage=False, input_tokens=9) == b""
    assert not reader_after(events[:-1]).has_ended


@pytest.mark.parametrize(("events", "_"), WHOLE.values(), ids=WHOLE)
def test_until_then_each_piece_of_text_counts_as_it_passes(events, _):
    counts = [reader_after(events[:count]).output_tokens for count in range(len(events))]
    assert counts == sorted(counts)
    assert 2 <= max(counts) <= 13
    assert reader_after(events[:1]).usage() is not None


def test_what_hides_how_long_an_event_is_costs_nothing():
    assert reader_after(CONVERSE[:1]).output_tokens == 0
    assert reader_after(CONVERSE[:2]).output_tokens == 1
    assert reader_after(CONVERSE[:5]).output_tokens == 2


def test_what_a_stream_says_at_its_start_of_what_it_will_say_counts_for_nothing():
    assert [reader_after(CLAUDE[:count]).output_tokens for count in (1, 4, 5)] == [0, 1, 2]
    assert [reader_after(OTHERS["Cohere"][:count]).output_tokens for count in (1, 2)] == [1, 2]


def test_what_repeats_the_answer_at_its_end_is_not_counted_again():
    event = {"is_finished": True, "event_type": "stream-end", "response": {"text": "Hi there" * 99}}
    assert reader_after([*OTHERS["Cohere"][:2], chunk(event)]).output_tokens == 2


def test_what_is_no_message_is_counted_by_its_size():
    reader = reader_after([CONVERSE[4], b"x" * 400])
    assert reader.output_tokens >= 101
    assert reader.ending(with_usage=True, input_tokens=1) == b""


FAILURES = {
    "an exception": message("throttlingException", {"message": "wait" * 99}, is_exception=True),
    "an error": message("x", {}).replace(b":event-type", b":error-code").replace(b"event", b"error"),
}


def with_checksums(data):
    checked = data[:8] + struct.pack(">I", zlib.crc32(data[:8])) + data[12:-4]
    return checked + struct.pack(">I", zlib.crc32(checked))


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_a_failure_costs_nothing_and_ends_the_stream(failure):
    reader = reader_after([with_checksums(failure)])
    assert reader.usage() is None
    assert reader.has_ended
    assert reader.ending(with_usage=True, input_tokens=1) == b""


STRANGE = [
    {"type": []}, {"type": "content_block_start", "index": "0"}, {"messageStop": []}, {"usage": {"inputTokens": []}},
    {"type": "message_delta", "delta": []}, {"message": {"usage": []}}, {"metadata": {"usage": [1]}}, {"contentBlockStop": None},
    {"contentBlockDelta": {"contentBlockIndex": True, "delta": None}}, {"delta": {"text": {"text": ["x"]}}},
]  # fmt: skip


@pytest.mark.parametrize("strange", STRANGE, ids=map(json.dumps, STRANGE))
def test_nothing_an_upstream_sends_raises(strange):
    for first in ([], [CLAUDE[0]], [NOVA[0]]):
        for event in (chunk(strange), message("contentBlockDelta", strange), message("metadata", strange)):
            reader = reader_after([*first, event])
            assert reader.output_tokens >= 0
            reader.ending(with_usage=True, input_tokens=3)


NAMES_IN_EVENTS = [
    "type", "index", "delta", "text", "message", "usage", "metadata", "messageStart", "messageStop", "contentBlockStart",
    "contentBlockDelta", "contentBlockStop", "contentBlockIndex", "stop_reason", "inputTokens", "output_tokens", "bytes",
    "amazon-bedrock-invocationMetrics", "response", "results", "tokenCount", "outputText", "input", "start",
]  # fmt: skip
KINDS = [
    "chunk",
    "messageStart",
    "contentBlockStart",
    "contentBlockDelta",
    "contentBlockStop",
    "messageStop",
    "metadata",
    "x",
]


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES_IN_EVENTS), values(NAMES_IN_EVENTS)))
    ),
    st.booleans(),
)
def test_any_events_are_counted_and_ended_without_raising(events, in_chunks):
    sent = [chunk(payload) if in_chunks else message(kind, payload) for kind, payload in events]
    reader = reader_after(sent)
    assert reader.output_tokens >= 0
    read_by_sdk(reader.ending(with_usage=True, input_tokens=3), "ConverseStream")
    plain = usage_reader("chat", "application/json")
    plain.feed(json.dumps(events[0][1] if events else {}).encode())
    assert plain.usage() is not None


class Raw(io.BytesIO):
    """A body as the SDK streams it."""

    def stream(self):
        yield self.getvalue()


def read_by_sdk(sent, operation):
    shape = MODEL.operation_model(operation).output_shape
    output = shape.members["stream" if operation == "ConverseStream" else "body"]
    return list(EventStream(Raw(sent), output, EventStreamJSONParser(), operation))


def ended(events):
    reader = reader_after(events)
    return b"".join(events) + reader.ending(with_usage=False, input_tokens=33), reader.output_tokens


@pytest.mark.parametrize("count", range(1, len(CONVERSE)))
def test_a_conversation_that_is_cut_anywhere_ends_as_at_its_limit(count):
    sent, output_tokens = ended(CONVERSE[:count])
    events = read_by_sdk(sent, "ConverseStream")
    kinds = [next(iter(event)) for event in events]
    assert kinds[-2:] == ["messageStop", "metadata"]
    assert kinds.count("messageStop") == 1
    assert events[-2]["messageStop"]["stopReason"] == ("tool_use" if count == len(CONVERSE) - 1 else "max_tokens")
    usage = events[-1]["metadata"]["usage"]
    assert usage == {"inputTokens": 33, "outputTokens": output_tokens, "totalTokens": 33 + output_tokens}
    begun = {e["contentBlockDelta"]["contentBlockIndex"] for e in events if "contentBlockDelta" in e}
    begun |= {e["contentBlockStart"]["contentBlockIndex"] for e in events if "contentBlockStart" in e}
    assert sorted(e["contentBlockStop"]["contentBlockIndex"] for e in events if "contentBlockStop" in e) == sorted(
        begun
    )


def inner_events(sent):
    events = read_by_sdk(sent, "InvokeModelWithResponseStream")
    return [json.loads(event["chunk"]["bytes"]) for event in events]


@pytest.mark.parametrize("count", range(1, len(CLAUDE)))
def test_claudes_own_stream_that_is_cut_anywhere_ends_as_at_its_limit(count):
    sent, output_tokens = ended(CLAUDE[:count])
    events = inner_events(sent)
    kinds = [event["type"] for event in events]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 1
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert events[-2]["delta"]["stop_reason"] == ("end_turn" if count == len(CLAUDE) - 1 else "max_tokens")
    told = events[-1]["amazon-bedrock-invocationMetrics"]
    counts = (told["inputTokenCount"], told["cacheReadInputTokenCount"], told["outputTokenCount"])
    assert counts == (2, 10, output_tokens)


@pytest.mark.parametrize("count", range(1, len(NOVA)))
def test_novas_own_stream_that_is_cut_anywhere_ends_as_at_its_limit(count):
    sent, output_tokens = ended(NOVA[:count])
    *_, stop, last = inner_events(sent)
    assert stop["messageStop"]["stopReason"] == ("end_turn" if count == len(NOVA) - 1 else "max_tokens")
    assert last["metadata"]["usage"]["outputTokens"] == output_tokens
    assert last["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == output_tokens


@pytest.mark.parametrize("events", OTHERS.values(), ids=OTHERS)
def test_streams_of_other_families_just_end(events):
    sent, _ = ended(events[:2])
    assert sent == b"".join(events[:2])
    assert len(inner_events(sent)) == 2


def test_amid_a_message_that_is_too_long_nothing_is_added():
    long = message(
        "contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": base64.b64encode(b"x" * 2_000_000).decode()}}
    )
    reader = reader_after([CONVERSE[0], long[:1_500_000]])
    assert reader.ending(with_usage=True, input_tokens=1) == b""
    reader.feed(long[1_500_000:])
    assert reader.ending(with_usage=True, input_tokens=1) != b""
    assert reader.output_tokens >= 600_000
