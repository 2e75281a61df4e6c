"""What Mistral's answers cost, and how its streams end; its own SDK reads each of them, cut after any of its events."""

import json
import re
from pathlib import Path

import httpx2
import pytest
from mistralai.client import Mistral as Client

from modelfence.core.call import Usage
from modelfence.dialects.mistral.api import Mistral

ANSWERS = Path(__file__).parent / "mistral" / "answers"
USAGE = json.loads((ANSWERS / "usage.json").read_text())
STREAMS = {path.name: path.read_bytes() for path in sorted(ANSWERS.glob("*.sse")) if path.name != "chat-failed.sse"}
TYPES = {".sse": "text/event-stream; charset=utf-8", ".json": "application/json"}


def reader_of(name, operation="chat"):
    return Mistral().usage_reader(operation, TYPES[Path(name).suffix])


def cuts():
    """Return every stream, cut before each of its events and after the last."""
    return [
        pytest.param(sent[:end], id=f"{name} after {count}")
        for name, sent in STREAMS.items()
        for count, end in enumerate([0, *(found.end() for found in re.finditer(b"\n\n", sent))])
    ]


def chunks_of(body):
    """Return the chunks that the SDK makes of a stream."""

    def serve(request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body, request=request)

    with httpx2.Client(transport=httpx2.MockTransport(serve)) as http:
        client = Client(api_key="sk-1", server_url="http://fence.test", client=http)
        return [event.data for event in client.chat.stream(model="m", messages=[])]


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("name", USAGE)
def test_an_answer_is_counted_as_reported_or_estimated_in_whatever_pieces_it_comes(name, size):
    operation, expected = USAGE[name]
    reader, sent = reader_of(name, operation), (ANSWERS / name).read_bytes()
    for start in range(0, len(sent), size):
        reader.feed(sent[start : start + size])
    assert reader.usage() == (None if expected is None else Usage(**expected))
    assert reader.has_ended == (name in {"chat.sse", "chat-failed.sse"})


@pytest.mark.parametrize("sent", cuts())
def test_a_stream_cut_anywhere_ends_each_choice_at_its_limit_and_tells_its_usage_once(sent):
    reader = reader_of("chat.sse")
    reader.feed(sent)
    before = chunks_of(sent)
    chunks = chunks_of(sent + reader.ending(with_usage=False, input_tokens=5))
    finished = {choice.index for chunk in before for choice in chunk.choices if choice.finish_reason}
    open_choices = ({choice.index for chunk in before for choice in chunk.choices} or {0}) - finished
    added = chunks[len(before) :]
    assert [choice.index for chunk in added for choice in chunk.choices] == sorted(open_choices)
    assert {choice.finish_reason for chunk in added for choice in chunk.choices} <= {"length"}
    told = [chunk.usage for chunk in chunks if chunk.usage]
    assert len(told) == 1
    assert chunks[-1].usage is told[0]
    if open_choices:
        assert (told[0].prompt_tokens, told[0].completion_tokens) == (5, reader.output_tokens)
        assert {chunk.model for chunk in added} == ({before[0].model} if before else {""})


@pytest.mark.parametrize("sent", cuts())
def test_a_stream_says_it_is_done_once(sent):
    reader = reader_of("chat.sse")
    reader.feed(sent)
    body = sent + reader.ending(with_usage=True, input_tokens=0)
    assert body.count(b"[DONE]") == 1
    assert body.endswith(b"data: [DONE]\n\n")


def test_code_in_between_ends_like_a_chat_and_nothing_else_has_an_ending():
    endings = {operation: ended(operation) for operation in ("chat", "completion", "embeddings", "unknown")}
    assert endings["chat"] == endings["completion"] != b""
    assert endings["embeddings"] == endings["unknown"] == b""


def ended(operation):
    reader = reader_of("chat.sse", operation)
    reader.feed(STREAMS["chat-call.sse"])
    return reader.ending(with_usage=True, input_tokens=3)


def test_nothing_follows_an_error():
    reader = reader_of("chat.sse")
    reader.feed((ANSWERS / "chat-failed.sse").read_bytes())
    assert reader.ending(with_usage=True, input_tokens=0) == b""


def test_what_is_nested_too_deeply_is_counted_by_its_size():
    reader = reader_of("chat.sse")
    depth = 20_000
    deep = '{"thinking":[' * depth + "]}" * depth
    reader.feed(f'data: {{"choices":[{{"delta":{{"content":[{deep}]}}}}]}}\n\n'.encode())
    assert reader.output_tokens > 0
    assert reader.ending(with_usage=True, input_tokens=0)
