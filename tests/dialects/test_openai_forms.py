"""Pictures to be edited and sound to be written down, which come as forms."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError, Request
from modelfence.core.extraction import Prompt
from modelfence.core.policy import Reshaping
from modelfence.dialects.openai.api import OpenAI

OPENAI = OpenAI()
TYPE = (("content-type", "multipart/form-data; boundary=B"),)
EDITS, VARIATIONS = "/v1/images/edits", "/v1/images/variations"
WRITTEN, TRANSLATED = "/v1/audio/transcriptions", "/v1/audio/translations"


def file(name, size=1536, filename="a.bin"):
    return (name, filename, b"\x00" * size)


def form_of(path, *fields: tuple[Any, ...]):
    """Return a request with a form; a field is a name and a text, or a name, a filename and bytes."""
    body = b""
    for name, *rest in fields:
        filename = f'; filename="{rest[0]}"' if len(rest) > 1 else ""
        content = rest[-1] if isinstance(rest[-1], bytes) else rest[-1].encode()
        body += f'--B\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'.encode() + content + b"\r\n"
    return Request("POST", path, TYPE, body + b"--B--\r\n", None)


READ = {
    "a picture to edit": (
        form_of(EDITS, file("image"), ("prompt", "a red hat")),
        Reading("image", model=None, input_tokens=768, output_tokens=0),
    ),
    "everything that a fact names": (
        form_of(
            EDITS, ("model", "gpt-image-1"), file("image[]"), file("image[]"), file("mask"), ("prompt", "1234"), ("n", "3"),
            ("stream", "true"), ("partial_images", "2"),
        ),
        Reading("image", model="gpt-image-1", stream=True, choices=3, input_tokens=3 * 765 + 1, output_tokens=0),
    ),
    "a drawing in SVG": (
        form_of(EDITS, ("model", "m"), file("image"), ("svg[model]", "gpt-5"), ("svg[reasoning][effort]", "low")),
        Reading("image", model=None, reasoning=True, input_tokens=765, output_tokens=0),
    ),
    "a drawing in SVG, as JSON": (
        form_of(EDITS, ("model", "m"), file("image"), ("svg", '{"model": "gpt-5", "reasoning": {}}')),
        Reading("image", model=None, reasoning=True, input_tokens=765, output_tokens=0),
    ),
    "variations of a picture": (
        form_of(VARIATIONS, file("image"), ("n", "2"), ("model", "dall-e-2"), ("stream", "false")),
        Reading("image", model="dall-e-2", choices=2, input_tokens=765, output_tokens=0),
    ),
    "sound to be written down": (
        form_of(WRITTEN, file("file", 153_600), ("model", "whisper-1"), ("response_format", "srt")),
        Reading("audio", model="whisper-1", input_tokens=400),
    ),
    "sound with words to expect, and probabilities": (
        form_of(
            WRITTEN, file("file", 384), ("model", "gpt-4o-transcribe"), ("prompt", "12345678"), ("keywords[]", "1234"),
            ("include[]", "logprobs"), ("stream", "true"), ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"), ("known_speaker_references[]", "x" * 512), ("n", "many"),
        ),
        Reading("audio", model="gpt-4o-transcribe", stream=True, logprobs=True, input_tokens=5),
    ),
    "sound to be translated": (
        form_of(TRANSLATED, file("file", 384), ("model", "whisper-1"), ("include", "other")),
        Reading("audio", model="whisper-1", input_tokens=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("call", "expected"), READ.values(), ids=READ)
def test_a_form_is_read(call, expected):
    reading = OPENAI.read(call)
    assert reading == expected
    assert OPENAI.reshape(call, Reshaping(frozenset({"logit_bias"}), {"choices": 3})) is None


def test_what_is_said_in_a_form_is_looked_at():
    assert OPENAI.read(form_of(EDITS, file("image"), ("prompt", "a red hat"))).prompt == Prompt(user=("a red hat",))
    assert "a red hat" not in repr(asdict(OPENAI.read(form_of(EDITS, file("image")))))


GIVEN = [file("file"), ("model", "m")]
REFUSED = {
    "no model": (form_of(WRITTEN, file("file")), "you must provide a model parameter"),
    "an empty model": (form_of(WRITTEN, file("file"), ("model", "")), "you must provide a model parameter"),
    "an empty model of a picture": (form_of(EDITS, ("model", "")), "you must provide a model parameter"),
    "two models": (form_of(WRITTEN, *GIVEN, ("model", "other")), "The field 'model' must be given once."),
    "two numbers": (form_of(EDITS, ("n", "1"), ("n", "9")), "The field 'n' must be given once."),
    "a list of models": (
        form_of(WRITTEN, *GIVEN, ("model[]", "o")),
        "Unknown parameter: 'model[]'. Did you mean 'model'?",
    ),
    "another case": (form_of(WRITTEN, *GIVEN, ("Model", "o")), "Unknown parameter: 'Model'. Did you mean 'model'?"),
    "another case of a list": (
        form_of(WRITTEN, *GIVEN, ("Include[]", "logprobs")),
        "Unknown parameter: 'Include[]'. Did you mean 'include'?",
    ),
    "a model in a file": (form_of(WRITTEN, file("file"), file("model")), "The field 'model' must be a text."),
    "probabilities asked for in a file": (
        form_of(WRITTEN, *GIVEN, file("include[]")),
        "The field 'include[]' must be a text.",
    ),
    "sound in a text": (form_of(WRITTEN, ("file", "x"), ("model", "m")), "The field 'file' must be a file."),
    "a picture in a text": (form_of(EDITS, ("image[]", "x")), "The field 'image[]' must be a file."),
    "a picture twice, once in a text": (
        form_of(EDITS, file("image"), ("image", "x")),
        "The field 'image' must be a file.",
    ),
    "no pictures": (form_of(EDITS, ("n", "0")), "Invalid type for 'n': expected an integer, but got a string instead."),
    "a number in another script": (
        form_of(EDITS, ("n", "٣")),
        "Invalid type for 'n': expected an integer, but got a string instead.",
    ),
    "a flag that is none": (
        form_of(WRITTEN, *GIVEN, ("stream", "True")),
        "Invalid type for 'stream': expected true or false, but got a string instead.",
    ),
    "a model with a line end": (
        form_of(WRITTEN, file("file"), ("model", "m\n")),
        "Invalid value for 'model': it holds control characters, or spaces around it.",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_a_form_that_could_be_read_otherwise_is_refused(call, message):
    with pytest.raises(MalformedRequestError) as refused:
        OPENAI.read(call)
    assert (refused.value.status, refused.value.message) == (400, message)


@pytest.mark.parametrize("path", [EDITS, VARIATIONS, WRITTEN, TRANSLATED])
def test_json_where_a_form_belongs_is_refused(path):
    with pytest.raises(MalformedRequestError) as refused:
        OPENAI.read(Request("POST", path, (("content-type", "application/json"),), b"{}", {}))
    assert refused.value.status == 415


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/images/generations", "/v1/audio/speech", "/v1/moderations"]
)
def test_a_form_where_json_belongs_is_refused(path):
    call = form_of(path, ("model", "m"))
    with pytest.raises(MalformedRequestError) as refused:
        OPENAI.read(call)
    assert refused.value.status == 415


CAN_NOT = {
    "probabilities": (form_of(WRITTEN, *GIVEN, ("include[]", "logprobs")), Reshaping(frozenset({"logprobs"}))),
    "a limit on what is written down": (form_of(WRITTEN, *GIVEN), Reshaping(cap={"output_tokens": 4096})),
    "fewer pictures": (form_of(EDITS, file("image"), ("n", "3")), Reshaping(cap={"choices": 2})),
}


@pytest.mark.parametrize(("call", "reshaping"), CAN_NOT.values(), ids=CAN_NOT)
def test_a_form_that_would_have_to_be_changed_is_refused(call, reshaping):
    with pytest.raises(MalformedRequestError) as refused:
        OPENAI.reshape(call, reshaping)
    assert refused.value.status == 403


def test_a_form_that_asks_for_no_more_than_there_may_be_goes_up_as_it_came():
    reshaping = Reshaping(frozenset({"logprobs", "logit_bias"}), {"choices": 1, "output_tokens": 1})
    assert OPENAI.reshape(form_of(EDITS, file("image")), reshaping) is None
    assert OPENAI.asking_for_usage(form_of(WRITTEN, *GIVEN, ("stream", "true"))) is None


FIELDS = st.tuples(
    st.sampled_from(
        [
            "model",
            "model[]",
            "Model",
            "n",
            "stream",
            "prompt",
            "image",
            "image[]",
            "file",
            "svg",
            "svg[model]",
            "include[]",
            "x",
        ]
    ),
    st.sampled_from(["", "m", "2", "true", "logprobs", "{}"]),
) | st.sampled_from([file("image"), file("image[]"), file("file"), file("model")])


@pytest.mark.parametrize("path", [EDITS, VARIATIONS, WRITTEN, TRANSLATED])
@given(fields=st.lists(FIELDS, max_size=5))
def test_any_form_is_read_or_refused_and_its_model_is_the_one_it_names(path, fields):
    try:
        reading = OPENAI.read(form_of(path, *fields))
    except MalformedRequestError:
        return
    models = {rest[-1] for name, *rest in fields if name.partition("[")[0].casefold() == "model"}
    second = any(name.startswith("svg") for name, *_ in fields)
    assert {reading.model} == models if models and not second else reading.model in {None, *models}
