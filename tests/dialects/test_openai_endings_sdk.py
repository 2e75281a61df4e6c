"""OpenAI's own SDK reads streams that were ended early, each cut after any of its events."""

import itertools
import json
import re
from pathlib import Path

import httpx2
import openai
import pytest

from modelfence.dialects.openai.usage import usage_reader
from modelfence.dialects.shared.sse import EventParser

ANSWERS = Path(__file__).parent / "openai" / "answers"
FAILED = {"chat-failed.sse", "responses-error.sse", "responses-failed.sse"}
WHOLE = {path.name: path.read_bytes() for path in sorted(ANSWERS.glob("*.sse")) if path.name not in FAILED}


def cuts(start, names=tuple(WHOLE)):
    """Return every stream whose name starts so, cut before each of its events and after the last."""
    return [
        pytest.param(WHOLE[name][:end], id=f"{name} after {count}")
        for name in names
        if name.startswith(start)
        for count, end in enumerate([0, *(found.end() for found in re.finditer(b"\n\n", WHOLE[name]))])
    ]


def ended(sent, *, operation, with_usage=False):
    reader = usage_reader(operation, "text/event-stream")
    reader.feed(sent)
    return sent + reader.ending(with_usage=with_usage, input_tokens=0)


def messages_in(sent):
    return [json.loads(event.data) for event in EventParser().feed(sent) if event.data != b"[DONE]"]


def client_of(body):
    def serve(request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body, request=request)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    return openai.OpenAI(api_key="sk-1", base_url="http://fence.test/v1", http_client=http, max_retries=0)


def choices_in(messages):
    return [choice for message in messages for choice in message.get("choices", [])]


def texts_of(choices, text_of):
    """Return the text of each choice, all its pieces together."""
    places = sorted({choice["index"] for choice in choices})
    return {place: "".join(text_of(choice) for choice in choices if choice["index"] == place) for place in places}


def reasons_of(choices):
    return {choice["index"]: choice["finish_reason"] for choice in choices if choice.get("finish_reason")}


@pytest.mark.parametrize("with_usage", [False, True])
@pytest.mark.parametrize("sent", cuts("chat"))
def test_every_choice_of_a_chat_that_was_open_ends_at_its_limit(sent, with_usage):
    body = ended(sent, operation="chat", with_usage=with_usage)
    with client_of(body) as client:
        chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
    before = choices_in(messages_in(sent))
    seen = [choice.to_dict() for chunk in chunks for choice in chunk.choices]
    texts = texts_of(before, lambda choice: choice["delta"].get("content") or "") or {0: ""}
    assert texts_of(seen, lambda choice: choice["delta"].get("content") or "") == texts
    by_itself = b"[DONE]" in sent
    assert reasons_of(seen) == ({} if by_itself else dict.fromkeys(texts, "length")) | reasons_of(before)
    assert body.endswith(b"data: [DONE]\n\n")
    assert body.count(b"[DONE]") == 1


CHATS_FOR_THE_HELPER = ("chat.sse", "chat-two-choices.sse", "chat-call-with-usage.sse", "chat-azure.sse")
"""The helper passes over chunks that don't say what they are, as some servers' don't."""


@pytest.mark.parametrize("sent", cuts("chat", CHATS_FOR_THE_HELPER))
def test_a_chat_read_with_the_stream_helper_ends_with_the_text_so_far(sent):
    body = ended(sent, operation="chat", with_usage=True)
    with client_of(body) as client, client.chat.completions.stream(model="m", messages=[]) as stream:
        list(stream)
        completion = stream.current_completion_snapshot
    before = choices_in(messages_in(sent))
    texts = texts_of(before, lambda choice: choice["delta"].get("content") or "") or {0: ""}
    assert {choice.index: choice.message.content or "" for choice in completion.choices} == texts
    reasons = dict.fromkeys(texts, "length") | reasons_of(before)
    assert {choice.index: choice.finish_reason for choice in completion.choices} == reasons


@pytest.mark.parametrize("sent", cuts("chat"))
def test_a_chat_tells_its_usage_last_to_those_who_asked(sent):
    reader = usage_reader("chat", "text/event-stream")
    reader.feed(sent)
    counted = reader.output_tokens
    with client_of(ended(sent, operation="chat", with_usage=True)) as client:
        *_, last = client.chat.completions.create(model="m", messages=[], stream=True)
    if b"[DONE]" not in sent:
        assert last.choices == []
        assert last.usage.completion_tokens == counted
        assert last.usage.total_tokens == last.usage.prompt_tokens + counted


@pytest.mark.parametrize("with_usage", [False, True])
@pytest.mark.parametrize("sent", cuts("completion"))
def test_every_choice_of_a_completion_that_was_open_ends_at_its_limit(sent, with_usage):
    body = ended(sent, operation="completion", with_usage=with_usage)
    with client_of(body) as client:
        chunks = list(client.completions.create(model="m", prompt="p", stream=True))
    before = choices_in(messages_in(sent))
    seen = [choice.to_dict() for chunk in chunks for choice in chunk.choices]
    texts = texts_of(before, lambda choice: choice["text"]) or {0: ""}
    assert texts_of(seen, lambda choice: choice["text"]) == texts
    assert reasons_of(seen) == dict.fromkeys(texts, "length") | reasons_of(before)


@pytest.mark.parametrize("sent", cuts("responses"))
def test_a_response_ends_as_incomplete(sent):
    with client_of(ended(sent, operation="responses")) as client:
        *_, last = client.responses.create(model="m", input="i", stream=True)
    if b'"response.completed"' in sent:
        assert last.response.status == "completed"
        return
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")
    if b"300}" not in sent:  # the sample that reached the limit by itself says no more
        assert last.response.incomplete_details.reason == "max_output_tokens"
        assert last.response.usage.total_tokens == last.response.usage.output_tokens


RESPONSES_FOR_THE_HELPER = ("responses-whole.sse", "responses-reasoning.sse")
"""The helper wants every item and part to be opened before its text."""


@pytest.mark.parametrize("sent", cuts("responses", RESPONSES_FOR_THE_HELPER))
def test_a_response_read_with_the_stream_helper_ends_with_the_text_so_far(sent):
    before = messages_in(sent)
    body = ended(sent, operation="responses")
    with client_of(body) as client, client.responses.stream(model="m", input="i") as stream:
        events = list(stream)
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    last = events[-1].response
    deltas = {
        kind: "".join(message["delta"] for message in before if message["type"] == f"response.{kind}.delta")
        for kind in ("output_text", "refusal", "reasoning_summary_text", "reasoning_text")
    }
    assert last.output_text == deltas["output_text"]
    parts = list(itertools.chain(*(parts_of(item) for item in last.output if item.type != "function_call")))
    if last.status == "incomplete":
        assert "".join(parts) == "".join(
            deltas[kind] for kind in ("reasoning_summary_text", "reasoning_text", "output_text", "refusal")
        )


def parts_of(item):
    for part in (*(getattr(item, "summary", None) or ()), *(item.content or () if hasattr(item, "content") else ())):
        yield part.refusal if part.type == "refusal" else part.text


@pytest.mark.parametrize("sent", cuts("responses", RESPONSES_FOR_THE_HELPER))
def test_what_a_response_opened_is_closed_from_the_inside_out(sent):
    opened = []
    for message in messages_in(ended(sent, operation="responses")):
        kind = message["type"]
        place = tuple(message.get(name) for name in ("output_index", "summary_index", "content_index"))
        if kind.endswith(".added"):
            opened.append(place)
        elif kind.endswith(("item.done", "part.done")):
            assert opened.pop() == place
    calls = [place for place in opened if place == (2, None, None)]
    assert opened == calls, "nothing but the call of a tool stays open"
