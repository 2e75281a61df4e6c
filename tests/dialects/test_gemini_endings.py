"""Streams of Gemini that end early, cut after any of their events: as events, as one array, and in OpenAI's words."""

import json
from pathlib import Path

import httpx
import pytest
from google import genai
from google.genai import types

from modelfence.core.call import Usage
from modelfence.dialects.gemini.endings import Candidates
from modelfence.dialects.gemini.usage import usage_reader
from modelfence.dialects.openai.endings import MAX_INDEX, MAX_SCALAR
from modelfence.dialects.shared.sse import MAX_BYTES
from modelfence.wire.whole_events import WholeEvents

ANSWERS = Path(__file__).parent / "gemini" / "answers"
SSE, JSON = "text/event-stream", "application/json"
STREAMS = ("stream", "stream-thoughts", "stream-two-candidates", "stream-call", "stream-cut")


def whole_events(name, kind):
    """Return what goes on to the client of a sample, event by event."""
    data = (ANSWERS / name).read_bytes()
    events = WholeEvents(usage_reader("chat", kind).framing)
    return [piece for place in range(len(data)) if (piece := events.pass_on(data[place : place + 1]))]


def cuts(suffix, kind):
    """Return every sample stream, cut before each of its events and after the last."""
    return [
        pytest.param(b"".join(events[:count]), id=f"{name} after {count}")
        for name in STREAMS
        for events in [whole_events(name + suffix, kind)]
        for count in range(len(events) + 1)
    ]


def ending_of(sent, kind, *, input_tokens=0):
    reader = usage_reader("chat", kind)
    reader.feed(sent)
    ending = reader.ending(with_usage=False, input_tokens=input_tokens)
    reader.feed(ending)
    assert reader.ending(with_usage=False, input_tokens=input_tokens) == b""
    return ending


def reasons_in(messages):
    """Return why each candidate ended, None for one that did not."""
    reasons: dict[int, object] = {}
    for message in messages:
        for candidate in message["candidates"]:
            place = candidate["index"]
            reasons[place] = candidate.get("finishReason") or reasons.get(place)
    return reasons


def messages_in(sent):
    return [json.loads(line[6:]) for line in sent.splitlines() if line.startswith(b"data: ")]


@pytest.mark.parametrize("sent", cuts(".sse", SSE))
def test_every_candidate_that_was_open_ends_at_its_limit(sent):
    ending = ending_of(sent, SSE)
    before, after = reasons_in(messages_in(sent)), reasons_in(messages_in(sent + ending))
    assert after == {place: reason or "MAX_TOKENS" for place, reason in (before or {0: None}).items()}
    assert ending.endswith(b"\r\n\r\n") or ending == b""


@pytest.mark.parametrize("sent", cuts("-array.json", JSON))
def test_an_array_is_whole_when_it_was_ended_wherever_it_was_cut(sent):
    messages = json.loads(sent + ending_of(sent, JSON))
    assert set(reasons_in(messages).values()) <= {"STOP", "MAX_TOKENS"}
    assert reasons_in(messages)


@pytest.mark.parametrize("sent", cuts(".sse", SSE))
def test_the_sdk_reads_a_stream_that_was_ended(sent):
    body = sent + ending_of(sent, SSE)

    def serve(request):
        return httpx.Response(200, headers={"content-type": SSE}, content=body, request=request)

    http = httpx.Client(transport=httpx.MockTransport(serve))
    options = types.HttpOptions(base_url="http://fence.test", httpx_client=http)
    with genai.Client(api_key="k", http_options=options) as client:
        chunks = list(client.models.generate_content_stream(model="m", contents="Hi"))
    reasons: dict[int, object] = {}
    for chunk in chunks:
        for candidate in chunk.candidates:
            reasons[candidate.index] = candidate.finish_reason or reasons.get(candidate.index)
    assert set(reasons.values()) <= {types.FinishReason.STOP, types.FinishReason.MAX_TOKENS}
    assert chunks[-1].usage_metadata.total_token_count >= chunks[-1].usage_metadata.candidates_token_count


STARTED = {
    "candidates": [{"content": {"parts": [{"text": "12345678"}]}, "index": 0}],
    "responseId": "r1",
    "modelVersion": "m",
}
USAGE = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 9, "cachedContentTokenCount": 3}


def event(message):
    return b"data: " + json.dumps(message).encode() + b"\r\n\r\n"


def test_the_end_tells_the_usage_so_far_and_which_answer_it_ends():
    (last,) = messages_in(ending_of(event(STARTED | {"usageMetadata": USAGE}), SSE))
    assert last == {
        "candidates": [
            {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}
        ],
        "usageMetadata": {**USAGE, "totalTokenCount": 16},
        "modelVersion": "m",
        "responseId": "r1",
    }


def test_an_input_that_was_not_reported_is_what_the_request_was_read_as():
    (last,) = messages_in(ending_of(event(STARTED), SSE, input_tokens=7))
    assert last["usageMetadata"] == {"promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 9}


def test_an_array_of_which_nothing_came_is_whole_all_the_same():
    (last,) = json.loads(ending_of(b"", JSON))
    assert last["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_what_came_of_an_element_that_is_not_whole_does_not_count_for_the_end():
    reader = usage_reader("chat", JSON)
    reader.feed(b"[" + json.dumps(STARTED).encode() + b',\r\n{"candidates": [{"con')
    messages = json.loads(b"[" + json.dumps(STARTED).encode() + reader.ending(with_usage=False, input_tokens=0))
    assert [reasons_in([message])[0] for message in messages] == [None, "MAX_TOKENS"]


def test_an_element_that_is_no_object_still_needs_a_comma_behind_it():
    assert json.loads(b"[[7]" + ending_of(b"[[7]", JSON))[0] == [7]


def test_an_element_too_long_to_keep_needs_a_comma_behind_it_too():
    sent = b'[{"x": "' + b"a" * MAX_BYTES + b'"}'
    assert len(json.loads(sent + ending_of(sent, JSON))) == 2


def test_what_comes_after_a_candidate_has_finished_does_not_open_it_again():
    finished = {"candidates": [{"index": 0, "finishReason": "STOP"}]}
    assert ending_of(event(STARTED) + event(finished) + event(STARTED), SSE) == b""


def test_nothing_follows_an_error_but_the_bracket():
    failed = json.dumps({"error": {"code": 503}}).encode()
    assert ending_of(b"data: " + failed + b"\r\n\r\n", SSE) == b""
    assert json.loads(b"[" + failed + ending_of(b"[" + failed, JSON)) == [{"error": {"code": 503}}]


@pytest.mark.parametrize("operation", ["embeddings", "models", "tokens", "unknown"])
def test_a_stream_of_which_nobody_knows_the_words_just_ends(operation):
    reader = usage_reader(operation, SSE)
    reader.feed(event(STARTED))
    assert reader.ending(with_usage=True, input_tokens=0) == b""


def test_a_stream_in_openais_words_ends_in_them():
    sent = (ANSWERS / "openai.sse").read_bytes().split(b"\n\n")[0] + b"\n\n"
    reader = usage_reader("chat", SSE)
    reader.feed(sent)
    ending = reader.ending(with_usage=True, input_tokens=3)
    chunk, usage = messages_in(ending.removesuffix(b"data: [DONE]\n\n"))
    assert chunk["choices"][0]["finish_reason"] == "length"
    assert usage["usage"]["prompt_tokens"] == 3
    assert ending.endswith(b"data: [DONE]\n\n")


def test_what_is_kept_of_a_stream_is_bounded():
    candidates = Candidates()
    for place in (*range(300), -1, True, "0", None, 10**30):
        candidates.take(
            {"candidates": [{"index": place}, None], "modelVersion": "x" * (MAX_SCALAR + 1), "responseId": {}}
        )
    last = json.loads(candidates.last(Usage()))
    assert [candidate["index"] for candidate in last["candidates"]] == list(range(MAX_INDEX + 1))
    assert {"modelVersion", "responseId"}.isdisjoint(last)
