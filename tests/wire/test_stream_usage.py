"""Usage is asked for on every stream, and what the caller did not ask for is not shown to him."""

import json

import pytest

from modelfence.core.call import Usage
from modelfence.core.upstream import Upstream
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.shared.sse import EventFraming
from modelfence.wire.meter import Meter
from modelfence.wire.whole_events import MAX_EVENT_BYTES, WholeEvents


def stream(wire, *events: bytes) -> bytes:
    return wire.STREAM_HEAD + b"".join(wire.chunk(event) for event in events) + b"0\r\n\r\n"


async def asked(fence, upstream, wire, **options):
    """Send a stream's call, and return what the upstream and what the client got to read."""
    words, report = wire.event("one"), wire.event(usage=wire.USAGE)
    upstream.answers.append(stream(wire, words, report, b"data: [DONE]\n\n"))
    answer = await fence.exchange(wire.post({**wire.BODY, "stream": True, **options}))
    assert answer.status == 200
    return json.loads(upstream.requests[-1].body), answer.body


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
async def test_a_stream_is_asked_for_usage_and_the_report_is_withheld(fence, upstream, wire, options):
    sent, received = await asked(fence, upstream, wire, **options)
    assert sent == {**wire.BODY, "stream": True, "stream_options": {"include_usage": True}}
    assert received == wire.event("one") + b"data: [DONE]\n\n"
    assert (await fence.watcher.settlement()).usage == Usage(input_tokens=3, output_tokens=7)


async def test_other_stream_options_stay(fence, upstream, wire):
    sent, _ = await asked(fence, upstream, wire, stream_options={"include_obfuscation": False})
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}


async def test_a_caller_who_asks_gets_the_report(fence, upstream, wire):
    options = {"stream_options": {"include_usage": True}}
    sent, received = await asked(fence, upstream, wire, **options)
    assert sent == {**wire.BODY, "stream": True, **options}
    assert wire.event(usage=wire.USAGE) in received


async def test_an_upstream_that_knows_no_such_option_is_not_asked(start_fence, upstream, wire):
    one = Upstream("openai", "openai", "http", "127.0.0.1", upstream.port, secret="sk-real", stream_usage=False)
    fence = await start_fence(upstreams=[one])
    sent, received = await asked(fence, upstream, wire)
    assert "stream_options" not in sent
    assert wire.event(usage=wire.USAGE) in received


async def test_a_plain_call_goes_up_as_it_came(fence, upstream, wire):
    assert (await fence.exchange(wire.post(wire.BODY))).status == 200
    assert json.loads(upstream.requests[0].body) == wire.BODY


EVENTS = [
    (b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n', True),
    (b'data: {"choices": [ ], "usage": {}}\r\n\r\n', True),
    (b'data: {"choices":[],"usage":null}\n\n', False),
    (b'data: {"choices":[],"prompt_filter_results":[]}\n\n', False),
    (b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":null}\n\n', False),
    (b'data: {"choices":[]\n\n', False),
    (b"data: [DONE]\n\n", False),
    (b": a comment\n\n", False),
]


@pytest.mark.parametrize(("event", "is_report"), EVENTS)
def test_only_a_report_of_usage_and_nothing_else_is_one(event, is_report):
    assert OpenAI().only_reports_usage(event) is is_report


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_withheld_wherever_the_bytes_are_cut(size):
    data = b"".join(event for event, _ in EVENTS) + b"data: cut off"
    events = WholeEvents(EventFraming(), OpenAI().only_reports_usage)
    passed = b"".join(events.pass_on(data[at : at + size]) for at in range(0, len(data), size))
    assert passed + events.rest() == b"".join(event for event, report in EVENTS if not report) + b"data: cut off"


@pytest.mark.parametrize("ends", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\n\r", b"\r\n\r"])
def test_an_event_goes_on_when_its_empty_line_has_come_however_lines_end(ends):
    events = WholeEvents(EventFraming())
    assert events.pass_on(b"data: one" + ends) == b"data: one" + ends
    assert events.pass_on(b"data: t") == b""
    assert events.rest() == b"data: t"


def test_what_can_not_be_looked_at_is_passed_on():
    def fails(_event: bytes) -> bool:
        raise ZeroDivisionError

    meter = Meter(None, counts=True, events=WholeEvents(EventFraming(), fails))
    assert meter(b"data: o") == []
    assert meter(b"ne\n\ndata: tw") == b"data: one\n\ndata: tw"
    assert meter(b"o\n\n") == b"o\n\n"
    assert meter(b"") == []


def test_an_event_without_end_is_not_held_back_for_ever():
    events = WholeEvents(EventFraming(), lambda _: True)
    assert events.pass_on(b"x" * MAX_EVENT_BYTES) == b""
    assert len(events.pass_on(b"x")) == MAX_EVENT_BYTES + 1
    assert events.rest() == b""
