"""Anthropic's own SDK reads streams that were ended early, each cut after any of its events."""

import json
import re
from pathlib import Path

import anthropic
import httpx2
import pytest

from modelfence.dialects.anthropic.usage import usage_reader
from modelfence.dialects.shared.sse import EventParser

ANSWERS = Path(__file__).parent / "anthropic" / "answers"
NOT_READ_BY_THE_SDK = {
    "chat-failed.sse", "chat-failed-at-once.sse", "chat-unknown-events.sse", "chat-without-usage.sse",
    "chat-compacted.sse",
}  # fmt: skip
"""Failures, and what only another server or another part of the SDK sends or reads."""
WHOLE = {path.name: path.read_bytes() for path in sorted(ANSWERS.glob("*.sse")) if path.name not in NOT_READ_BY_THE_SDK}
CUTS = [
    pytest.param(stream[:end], id=f"{name} after {count}")
    for name, stream in WHOLE.items()
    for count, end in enumerate([0, *(found.end() for found in re.finditer(b"\n\n", stream))])
]


def ended(sent):
    reader = usage_reader("chat", "text/event-stream")
    reader.feed(sent)
    return sent + reader.ending(with_usage=False, input_tokens=12)


def messages_in(sent):
    return [json.loads(event.data) for event in EventParser().feed(sent)]


def client_of(body):
    def serve(request):
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body, request=request)

    http = httpx2.Client(transport=httpx2.MockTransport(serve))
    return anthropic.Anthropic(api_key="sk-1", base_url="http://fence.test", http_client=http, max_retries=0)


def text_in(messages, name):
    return "".join(m["delta"].get(name, "") for m in messages if m["type"] == "content_block_delta")


@pytest.mark.parametrize("sent", CUTS)
def test_a_message_read_with_the_stream_helper_ends_with_the_text_so_far(sent):
    with client_of(ended(sent)) as client, client.messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        message = stream.get_final_message()
    before = messages_in(sent)
    assert "".join(block.text for block in message.content if block.type == "text") == text_in(before, "text")
    assert "".join(block.thinking for block in message.content if block.type == "thinking") == text_in(
        before, "thinking"
    )
    reasons = [event["delta"]["stop_reason"] for event in before if event["type"] == "message_delta"]
    assert message.stop_reason == (reasons[0] if reasons else "max_tokens")
    assert message.content, "its readers look for the first block"


@pytest.mark.parametrize("sent", CUTS)
def test_a_message_tells_the_usage_that_was_counted(sent):
    with client_of(ended(sent)) as client, client.messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        message = stream.get_final_message()
    reader = usage_reader("chat", "text/event-stream")
    reader.feed(sent)
    counted = reader.usage()
    assert message.usage.output_tokens == reader.output_tokens
    told = message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0)
    told += message.usage.cache_creation_input_tokens or 0
    assert told == (counted.input_tokens if counted else 12)


@pytest.mark.parametrize("sent", CUTS)
def test_the_events_of_a_stream_are_those_the_api_would_send(sent):
    with client_of(ended(sent)) as client:
        events = list(client.messages.create(model="m", max_tokens=9, messages=[], stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [kinds.count(kind) for kind in ("message_start", "message_delta", "message_stop")] == [1, 1, 1]
    opened = None
    for event in events:
        if event.type == "content_block_start":
            assert opened is None
            opened = event.index
        elif event.type in ("content_block_delta", "content_block_stop"):
            assert opened == event.index
            opened = None if event.type == "content_block_stop" else opened
    assert opened is None


@pytest.mark.parametrize("sent", [WHOLE["chat.sse"], (ANSWERS / "chat-failed.sse").read_bytes()])
def test_nothing_follows_a_stream_that_ended_by_itself(sent):
    assert ended(sent) == sent


def test_a_call_of_a_tool_that_was_cut_is_not_to_be_run():
    sent = WHOLE["chat-thinking-and-tools.sse"]
    cut = sent[: sent.index(b"event: content_block_delta", sent.index(b"city"))]
    with client_of(ended(cut)) as client, client.messages.stream(model="m", max_tokens=9, messages=[]) as stream:
        message = stream.get_final_message()
    assert message.content[-1].type == "tool_use"
    assert message.stop_reason == "max_tokens"
