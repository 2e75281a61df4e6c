"""Hiding reasoning in answers that pass: whole and streamed, however they are cut, and not at all where it can't be."""

import json
from pathlib import Path

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.wire.conftest import POLICY

from modelfence.dialects.anthropic.api import Anthropic
from modelfence.dialects.bedrock.api import Bedrock
from modelfence.dialects.hidden import REASONING
from modelfence.wire.hiding import MAX_ANSWER_BYTES, WholeAnswer, hide_in_event, hide_in_message
from modelfence.wire.meter import Meter
from modelfence.wire.whole_events import WholeEvents

HIDES = POLICY + "reshape:\n  - {id: no-reasoning, hide: [reasoning]}\n"
SECRET = "because of the moon"
OPENAI = REASONING["openai"]
USAGE = {"prompt_tokens": 3, "completion_tokens": 70, "total_tokens": 73}


@pytest.fixture
async def fence(start_fence):
    return await start_fence(policy=HIDES, hidden=REASONING)


async def test_a_plain_answer_comes_without_and_is_charged_for_all_of_it(fence, upstream, wire):
    message = {"content": "yes", "reasoning_content": SECRET}
    upstream.answers.append(wire.answer(json.dumps({"choices": [{"message": message}], "usage": USAGE}).encode()))
    answer = await fence.exchange(wire.post())
    assert answer.json["choices"] == [{"message": {"content": "yes", "reasoning_content": ""}}]
    assert (await fence.watcher.settlement()).usage.output_tokens == 70


def delta(**added):
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": added}]}).encode() + b"\n\n"


@pytest.mark.parametrize("size", [1, 7, 40, 10_000])
async def test_a_stream_comes_without_however_it_is_cut(fence, upstream, wire, size):
    events = b": awake\n\n" + delta(reasoning_content=SECRET) + delta(content="yes") + b"data: [DONE]\n\n"
    pieces = [events[at : at + size] for at in range(0, len(events), size)]
    upstream.answers.append(wire.STREAM_HEAD + b"".join(map(wire.chunk, pieces)) + b"0\r\n\r\n")
    answer = await fence.exchange(wire.post({**wire.BODY, "stream": True}))
    assert SECRET.encode() not in answer.body
    assert b'"content":"yes"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_what_hides_nothing_is_passed_on_as_it_comes(start_fence, upstream, wire):
    fence = await start_fence(hidden=REASONING)
    body = json.dumps({"choices": [{"message": {"content": "yes", "reasoning_content": SECRET}}]}).encode()
    upstream.answers.append(wire.answer(body))
    assert (await fence.exchange(wire.post())).body == body


async def test_an_error_comes_as_it_is(fence, upstream, wire):
    upstream.answers.append(wire.answer(b'{"error": {"reasoning": "x"}}', "400 Bad Request"))
    assert (await fence.exchange(wire.post())).body == b'{"error": {"reasoning": "x"}}'


async def test_where_it_can_not_be_hidden_the_call_is_refused_and_costs_nothing(start_fence, upstream, wire):
    fence = await start_fence(policy=HIDES, hidden={}, dialect=Bedrock())
    answer = await fence.exchange(wire.post({"messages": []}, path="/model/m-1/converse"))
    assert answer.status == 403
    assert "reasoning" in answer.json["message"]
    assert (await fence.watcher.settlement()).usage is None
    assert upstream.requests == []


async def test_an_answer_that_can_not_be_read_does_not_go_on(fence, upstream, wire):
    upstream.answers.append(wire.answer(f'{{"choices": "{SECRET}'.encode()))
    assert (await fence.exchange(wire.post())).body == b""


def test_an_answer_that_is_too_long_to_be_looked_at_does_not_go_on():
    answer = WholeAnswer(OPENAI)
    assert answer.pass_on(b"x" * MAX_ANSWER_BYTES) + answer.pass_on(b"x") + answer.rest() == b""


def test_what_fails_hides_everything():
    class Fails:
        def pass_on(self, _data: bytes) -> bytes:
            raise ZeroDivisionError

        def rest(self) -> bytes:
            return SECRET.encode()

    meter = Meter(None, counts=True, events=Fails(), hides=True)  # type: ignore[arg-type]
    assert meter(SECRET.encode()) == []
    assert meter(SECRET.encode()) == []
    assert meter(b"") == []


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (b"data: [DONE]\n\n", b"data: [DONE]\n\n"),
        (b": awake\n\n", b": awake\n\n"),
        (b"event: ping\ndata: {}\n\n", b"event: ping\ndata: {}\n\n"),
        (b'event: e\r\ndata: {"reasoning":"x"}\r\n\r\n', b'event: e\ndata: {"reasoning":""}\n\n'),
        (b'data: {"reasoning":\ndata: "x"}\n\n', b'data: {"reasoning":""}\n\n'),
        (b'data:{"reasoning":"x"}\r\r', b'data: {"reasoning":""}\n\n'),
        (b'data: {"type":"response.reasoning_text.delta","delta":"x"}\n\n', b""),
        (b"data: no json\n\n", b""),
        (b"no json\n", b""),
        (b'{"reasoning":"x"}\n', b'{"reasoning":""}\n'),
        (b'[{"reasoning":"x"}', b'[{"reasoning":""}'),
        (b',\r\n{"reasoning":"x"}', b',\r\n{"reasoning":""}'),
        (b"]", b"]"),
        (b"", b""),
    ],
)
def test_events_of_every_kind_are_shown_without(event, shown):
    assert hide_in_event(event, OPENAI) == shown


@given(event=st.binary())
def test_nothing_that_is_no_event_goes_on(event):
    shown = hide_in_event(event, OPENAI)
    assert shown in {b"", event} or b"{" in shown or b"data: " in shown


def test_messages_keep_their_kind():
    assert hide_in_message('{"reasoning":"x"}', OPENAI) == '{"reasoning":""}'
    assert hide_in_message(b'{"reasoning":"x"}', OPENAI) == b'{"reasoning":""}'
    assert hide_in_message("no json", OPENAI) == ""
    part = {"serverContent": {"modelTurn": {"parts": [{"text": SECRET, "thought": True}, {"text": "yes"}]}}}
    shown = hide_in_message(json.dumps(part).encode(), REASONING["gemini"])
    assert (SECRET.encode() in shown, b"yes" in shown) == (False, True)


def test_an_event_that_never_ends_is_not_passed_on():
    class Lines:
        ends_lines = True

        def ends(self, data: bytearray, _before: int) -> list[int]:
            end = data.find(b"\n")
            return [] if end < 0 else [end + 1]

    events = WholeEvents(Lines(), shaped=lambda event: hide_in_event(event, OPENAI))
    assert events.pass_on(b'{"reasoning":"' + b"x" * (1 << 20)) == b""
    assert events.pass_on(b'x"}\n') == b""
    assert events.pass_on(b'{"a":1}\n') == b'{"a":1}\n'


async def test_anthropics_own_client_reads_a_stream_whose_thoughts_are_hidden(start_fence, upstream, wire):
    sample = (
        Path(__file__).parents[1] / "dialects" / "anthropic" / "answers" / "chat-thinking-and-tools.sse"
    ).read_bytes()
    fence = await start_fence(policy=HIDES, hidden={"openai": REASONING["anthropic"]}, dialect=Anthropic())
    upstream.answers.append(wire.STREAM_HEAD + wire.chunk(sample) + b"0\r\n\r\n")
    async with (
        anthropic.AsyncAnthropic(api_key=wire.KEY, base_url=f"http://127.0.0.1:{fence.port}", max_retries=0) as client,
        client.messages.stream(model="m-1", max_tokens=9_000, messages=[{"role": "user", "content": "hi"}]) as stream,
    ):
        message = await stream.get_final_message()
    thoughts = [block.thinking for block in message.content if block.type == "thinking"]
    assert thoughts
    assert set(thoughts) == {""}
    assert any(block.type == "tool_use" and block.input for block in message.content)
