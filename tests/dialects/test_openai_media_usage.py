"""What is counted of pictures and sound beyond the sample answers: long events, other types, and anything at all."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Usage
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.openai.media_endings import MAX_TEXT_BYTES
from modelfence.dialects.openai.media_usage import LONGEST_RUN
from modelfence.dialects.shared.counting import MAX_BODY_BYTES
from modelfence.dialects.shared.sse import MAX_BYTES

SSE = "text/event-stream"
PICTURE = "iVBORw0KGgo/+AA=" * (MAX_BYTES // 4)
REPORT = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210}


def reader_of(operation, content_type, *pieces: bytes):
    reader = OpenAI().usage_reader(operation, content_type)
    for piece in pieces:
        reader.feed(piece)
    return reader


def as_event(message):
    return b"data: " + json.dumps(message).encode() + b"\n\n"


@pytest.mark.parametrize("piece_bytes", [1_000, 65_536, LONGEST_RUN + 1, 10**9])
def test_a_picture_larger_than_any_event_that_is_kept_is_counted_by_its_report(piece_bytes):
    sent = as_event({"type": "image_generation.partial_image", "b64_json": PICTURE})
    sent += as_event({"type": "image_generation.completed", "b64_json": PICTURE, "usage": REPORT})
    reader = reader_of("image", SSE, *(sent[at : at + piece_bytes] for at in range(0, len(sent), piece_bytes)))
    assert reader.usage() == Usage(50, 4160)


def test_the_next_run_of_base64_is_kept_from_its_beginning():
    events = [
        {"type": "image_generation.partial_image", "b64_json": PICTURE, "size": "1024x1024"},
        {"type": "image_generation.completed", "b64_json": "A" * LONGEST_RUN, "usage": REPORT},
    ]
    assert reader_of("image", SSE, b"".join(map(as_event, events))).usage() == Usage(50, 4160)
    # Nothing that was fed breaks no run.
    halves = as_event(events[0])[:700_000], b"", as_event(events[0])[700_000:], as_event(events[1])
    assert reader_of("image", SSE, *halves).usage() == Usage(50, 4160)


def test_an_event_of_pictures_that_is_too_long_to_keep_is_counted_as_pictures():
    usage = reader_of("image", SSE, b"data: " + b"!" * 2 * MAX_BYTES + b"\n\n").usage()
    assert usage == Usage(output_tokens=-(-(2 * MAX_BYTES + 6) // 512), estimated=True)


def test_pictures_too_long_to_keep_are_counted_by_their_size():
    sent = b'{"data": [{"b64_json": "' + b"A" * MAX_BODY_BYTES + b'"}]}'
    assert reader_of("image", "application/json", sent).usage() == Usage(
        output_tokens=-(-len(sent) // 512), estimated=True
    )


def test_a_plain_answer_is_counted_once_however_often_it_is_asked_for():
    reader = reader_of("image", "application/json", json.dumps({"data": [{}], "usage": REPORT}).encode())
    for _ in range(3):
        assert reader.usage() == Usage(50, 4160)
        reader.feed(b"\n")


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "text/vtt", "application/x-subrip", ""])
def test_a_transcript_in_plain_text_reports_nothing_whatever_was_said(content_type):
    said = json.dumps({"text": "a", "usage": {"input_tokens": 0, "output_tokens": 1}}).encode()
    usage = reader_of("audio", content_type, said).usage()
    assert usage == Usage(output_tokens=-(-len(said) // 4), estimated=True)


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/wav", "application/octet-stream"])
def test_speech_is_counted_as_sound(content_type):
    assert reader_of("audio", content_type, b"\xff" * 51_200).usage() == Usage(output_tokens=100, estimated=True)


def test_a_file_is_counted_as_text_for_it_may_hold_the_answers_of_a_batch():
    line = b'{"response": {"body": {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}}}\n'
    assert reader_of("files", "application/octet-stream", line * 50).usage() == Usage(
        output_tokens=-(-len(line) * 50 // 4), estimated=True
    )


OTHERS = {
    "an event of pictures that is not known": ("image", {"type": "image_generation.novelty", "a": 1}),
    "an event of sound that is not known": ("audio", {"type": "transcript.novelty", "a": 1}),
    "a text that is none": ("audio", {"type": "transcript.text.delta", "delta": ["word"]}),
    "sound that is none": ("audio", {"type": "speech.audio.delta", "audio": ["A"]}),
}


@pytest.mark.parametrize(("operation", "message"), OTHERS.values(), ids=OTHERS)
def test_what_is_not_known_is_counted_by_its_size(operation, message):
    size = len(json.dumps(message))
    assert reader_of(operation, SSE, as_event(message)).output_tokens == -(-size // 4)


@pytest.mark.parametrize("operation", ["image", "audio"])
@pytest.mark.parametrize("content_type", ["application/json", SSE])
def test_an_error_costs_nothing(operation, content_type):
    error = {"type": "error", "error": {"message": "Overloaded"}}
    sent = as_event(error) if content_type == SSE else json.dumps(error).encode()
    assert reader_of(operation, content_type, sent).usage() is None


def test_a_stream_of_sound_has_ended_when_its_last_event_has_passed():
    for last in (
        {"type": "transcript.text.done", "text": ""},
        {"type": "speech.audio.done"},
        {"error": {}, "type": "error"},
    ):
        reader = reader_of("audio", SSE, as_event({"type": "transcript.text.delta", "delta": "a"}))
        assert not reader.has_ended
        reader.feed(as_event(last))
        assert reader.has_ended


def test_a_transcript_is_repeated_only_as_far_as_it_is_kept():
    piece = "x" * (MAX_BYTES // 2)
    events = [as_event({"type": "transcript.text.delta", "delta": text}) for text in ("I", piece, piece, "too late")]
    ending = reader_of("audio", SSE, *events).ending(with_usage=False, input_tokens=7)
    done = json.loads(ending.removeprefix(b"data: "))
    assert done["text"] == "I" + piece
    assert len(done["text"]) <= MAX_TEXT_BYTES
    assert done["usage"]["input_tokens"] == 7


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "delta", "audio", "data", "b64_json", "usage", "svg_usage", "error", "choices", "input_tokens",
                 "output_tokens", "reasoning_tokens"]
            ),
            inner | st.sampled_from(
                ["transcript.text.delta", "transcript.text.done", "transcript.text.segment", "speech.audio.delta",
                 "speech.audio.done", "image_generation.partial_image", "image_edit.completed", "error"]
            ),
            max_size=5,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.parametrize("operation", ["image", "audio", "files", "batch", "tuning", "moderation", "tokens"])
@given(messages=st.lists(ANYTHING, max_size=3))
def test_anything_an_upstream_sends_is_counted_and_ended_without_raising(operation, messages):
    for content_type in ("application/json", SSE):
        reader = OpenAI().usage_reader(operation, content_type)
        for message in messages:
            sent = json.dumps(message).encode()
            reader.feed(b"data: " + sent + b"\n\n" if content_type == SSE else sent)
            usage = reader.usage()
            assert usage is None or all(type(value) is int and value >= 0 for value in usage.by_direction().values())
            ending = reader.ending(with_usage=True, input_tokens=1)
            assert not ending or ending.endswith(b"\n\n")
