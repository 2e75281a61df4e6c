import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, MalformedRequestError, Request
from modelfence.core.policy import Reshaping
from modelfence.core.strict_json import parse
from modelfence.dialects.openai.api import OpenAI

OPENAI = OpenAI()
SAMPLES = Path(__file__).parent / "openai" / "requests"
PATHS = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "responses": "/v1/responses",
    "embeddings": "/v1/embeddings",
    "tokens": "/v1/responses/input_tokens",
    "moderation": "/v1/moderations",
    "image": "/v1/images/generations",
    "audio": "/v1/audio/speech",
}
OPERATIONS = {
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/v1/completions"): "completion",
    ("POST", "/v1/responses"): "responses",
    ("POST", "/v1/embeddings"): "embeddings",
    ("GET", "/v1/models"): "models",
    ("GET", "/v1/models/gpt-4o"): "models",
    ("GET", "/v1/models/ft:gpt-4o-mini:acme::B7xYz"): "models",
    ("GET", "/v1/models/meta-llama%2FLlama-3.1-8B"): "models",
    ("GET", "/v1/chat/completions"): "unknown",
    ("post", "/v1/chat/completions"): "unknown",
    ("POST", "/v1/chat/completions/"): "unknown",
    ("POST", "/v1//chat/completions"): "unknown",
    ("POST", "/V1/chat/completions"): "unknown",
    ("POST", "/v1/chat%2Fcompletions"): "unknown",
    ("POST", "/v1/chat/completions?n=5"): "unknown",
    ("POST", "/v1/chat/completions\n"): "unknown",
    ("POST", "/v1/chat/completions/chatcmpl-1"): "unknown",
    ("GET", "/v1/responses/resp_1"): "unknown",
    ("POST", "/v1/models"): "unknown",
    ("DELETE", "/v1/models/ft:gpt-4o-mini:acme"): "unknown",
    ("GET", "/v1/models/"): "unknown",
    ("GET", "/v1/models/.."): "unknown",
    ("GET", "/v1/models/%2e%2e%2ffiles"): "unknown",
    ("GET", "/v1/models/a%2F..%2F..%2Ffiles"): "unknown",
    ("GET", "/v1/models/meta-llama/Llama-3.1-8B"): "unknown",
    ("POST", "/v1/responses/input_tokens"): "tokens",
    ("GET", "/v1/responses/input_tokens"): "unknown",
    ("POST", "/v1/responses/resp_1/cancel"): "unknown",
    ("DELETE", "/v1/responses/resp_1"): "unknown",
    ("POST", "/v1/moderations"): "moderation",
    ("POST", "/v1/images/generations"): "image",
    ("POST", "/v1/images/edits"): "image",
    ("POST", "/v1/images/variations"): "image",
    ("GET", "/v1/images/generations"): "unknown",
    ("POST", "/v1/images/generations/"): "unknown",
    ("POST", "/v1/images"): "unknown",
    ("POST", "/v1/audio/speech"): "audio",
    ("POST", "/v1/audio/transcriptions"): "audio",
    ("POST", "/v1/audio/translations"): "audio",
    ("POST", "/v1/audio/voices"): "unknown",
    ("POST", "/v1/batches"): "batch",
    ("GET", "/v1/batches"): "batch",
    ("GET", "/v1/batches/batch_1"): "batch",
    ("POST", "/v1/batches/batch_1/cancel"): "batch",
    ("POST", "/v1/batches/batch_1"): "unknown",
    ("GET", "/v1/batches/batch_1/cancel"): "unknown",
    ("GET", "/v1/batches/.."): "unknown",
    ("GET", "/v1/batches/a%2Fb"): "unknown",
    ("POST", "/v1/files"): "files",
    ("GET", "/v1/files"): "files",
    ("GET", "/v1/files/file-1"): "files",
    ("DELETE", "/v1/files/file-1"): "files",
    ("GET", "/v1/files/file-1/content"): "files",
    ("POST", "/v1/files/file-1/content"): "unknown",
    ("GET", "/v1/files/file-1/content/"): "unknown",
    ("GET", "/v1/files/../models"): "unknown",
    ("POST", "/v1/uploads"): "files",
    ("POST", "/v1/uploads/upload_1/parts"): "files",
    ("POST", "/v1/uploads/upload_1/complete"): "files",
    ("POST", "/v1/uploads/upload_1/cancel"): "files",
    ("GET", "/v1/uploads/upload_1"): "unknown",
    ("POST", "/v1/fine_tuning/jobs"): "tuning",
    ("GET", "/v1/fine_tuning/jobs"): "tuning",
    ("GET", "/v1/fine_tuning/jobs/ftjob-1"): "tuning",
    ("GET", "/v1/fine_tuning/jobs/ftjob-1/events"): "tuning",
    ("GET", "/v1/fine_tuning/jobs/ftjob-1/checkpoints"): "tuning",
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/cancel"): "tuning",
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/pause"): "tuning",
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/resume"): "tuning",
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/events"): "unknown",
    ("GET", "/v1/fine_tuning/checkpoints/ft:m/permissions"): "unknown",
    ("GET", "/"): "unknown",
    ("GET", ""): "unknown",
}


def samples():
    return [
        pytest.param(operation, sample, id=f"{operation}: {sample['name']}")
        for operation in PATHS
        for sample in json.loads((SAMPLES / f"{operation}.json").read_text())
    ]


def facts_of(reading):
    """Return what a reading says beside the prompt's texts."""
    return {name: value for name, value in asdict(reading).items() if name not in {"prompt", "seen_input_tokens"}}


def request(operation, body, *, content_type="application/json"):
    headers = () if content_type is None else (("content-type", content_type),)
    return Request("POST", PATHS[operation], headers, json.dumps(body).encode(), body)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert OPENAI.operation(*call) == operation


@pytest.mark.parametrize(("operation", "sample"), samples())
def test_a_request_is_read_as_its_sample_says(operation, sample):
    call = request(operation, sample["body"])
    if "refused" in sample:
        with pytest.raises(MalformedRequestError) as refused:
            OPENAI.read(call)
        assert refused.value.message == sample["refused"]
        assert refused.value.status == 400
    else:
        assert facts_of(OPENAI.read(call)) == facts_of(Reading(operation)) | sample["reading"]


CONTENT_TYPES = {
    None: True,
    "application/json": True,
    "Application/JSON": True,
    "application/json; charset=utf-8": True,
    'application/json;charset="UTF-8"': True,
    "application/json; charset=utf-16": False,
    "application/json, text/plain": False,
    "text/plain": False,
    "": False,
    "multipart/form-data; boundary=x": False,
    "application/x-www-form-urlencoded": False,
    "application/vnd.api+json": False,
}


@pytest.mark.parametrize(("content_type", "accepted"), CONTENT_TYPES.items())
def test_a_body_that_may_be_read_as_something_else_than_json_is_refused(content_type, accepted):
    call = request("chat", {"model": "m"}, content_type=content_type)
    if accepted:
        assert OPENAI.read(call).model == "m"
    else:
        with pytest.raises(MalformedRequestError) as refused:
            OPENAI.read(call)
        assert refused.value.status == 415
        assert refused.value.message == "The Content-Type of this request must be application/json in UTF-8."


def test_one_content_type_of_several_that_is_not_json_is_enough_to_refuse():
    headers = (("content-type", "application/json"), ("content-type", "text/plain"))
    with pytest.raises(MalformedRequestError):
        OPENAI.read(Request("POST", PATHS["chat"], headers, b"", {"model": "m"}))


MODELS = {
    "/v1/models": "",
    "/v1/models/gpt-4o": "gpt-4o",
    "/v1/models/ft%3Agpt-4o:acme": "ft:gpt-4o:acme",
    "/v1/models/meta-llama%2FLlama-3.1-8B": "meta-llama/Llama-3.1-8B",
}


@pytest.mark.parametrize(("path", "model"), MODELS.items())
def test_a_models_listing_asks_for_no_answer_and_for_the_model_of_its_path(path, model):
    assert OPENAI.read(Request("GET", path, ())) == Reading("models", model=model, output_tokens=0)


def test_nothing_is_known_of_an_unknown_operation_whatever_its_body():
    reading = facts_of(OPENAI.read(Request("POST", "/v1/else", (("content-type", "text/plain"),), b"\xff", None)))
    assert reading.pop("operation") == "unknown"
    assert set(reading.values()) == {None}


LOOKS = [
    ("GET", "/v1/batches"), ("POST", "/v1/batches/batch_1/cancel"), ("DELETE", "/v1/files/file-1"),
    ("GET", "/v1/files/file-1/content"), ("POST", "/v1/uploads/upload_1/cancel"), ("GET", "/v1/fine_tuning/jobs/ftjob-1"),
    ("POST", "/v1/fine_tuning/jobs/ftjob-1/pause"), ("POST", "/v1/fine_tuning/jobs/ftjob-1/resume"),
]  # fmt: skip
BRINGS = {
    "/v1/batches": "batch",
    "/v1/files": "files",
    "/v1/uploads": "files",
    "/v1/uploads/upload_1/parts": "files",
    "/v1/uploads/upload_1/complete": "files",
    "/v1/fine_tuning/jobs": "tuning",
}


@pytest.mark.parametrize("call", LOOKS, ids=str)
def test_what_only_looks_at_batches_files_and_tuning_asks_for_no_answer(call):
    method, path = call
    operation = OPENAI.operation(method, path)
    assert OPENAI.read(Request(method, path, ())) == Reading(operation, output_tokens=0)


@pytest.mark.parametrize(("path", "operation"), BRINGS.items())
def test_of_what_is_brought_to_batches_files_and_tuning_nothing_is_known(path, operation):
    reading = facts_of(OPENAI.read(Request("POST", path, (), b'{"model": "gpt-4o"}', {"model": "gpt-4o"})))
    assert reading.pop("operation") == operation
    assert set(reading.values()) == {None}


@pytest.mark.parametrize("path", [*BRINGS, "/v1/batches/batch_1/cancel"])
def test_a_batch_that_would_have_to_be_reshaped_is_refused(path):
    call = Request("POST", path, (), b"{}", {"endpoint": "/v1/chat/completions"})
    if path != "/v1/batches":
        assert OPENAI.reshape(call, Reshaping(frozenset({"logprobs"}))) == call.json
        return
    for reshaping in (Reshaping(frozenset({"logprobs"})), Reshaping(cap={"output_tokens": 1})):
        with pytest.raises(MalformedRequestError) as refused:
            OPENAI.reshape(call, reshaping)
        assert refused.value.status == 403


@pytest.mark.parametrize("path", [PATHS["image"], PATHS["audio"], PATHS["moderation"], "/v1/batches", "/v1/files"])
def test_a_model_in_the_query_is_refused(path):
    with pytest.raises(MalformedRequestError):
        OPENAI.read(Request("POST", path, (), b"{}", {"model": "m"}, "model=other"))


RESHAPED = {
    "nothing to do": ("chat", {"model": "m"}, Reshaping(), {"model": "m"}),
    "probabilities in chat": (
        "chat",
        {"model": "m", "logprobs": True, "top_logprobs": 5, "prompt_logprobs": 1, "logit_bias": {"1": 1}},
        Reshaping(remove=frozenset({"logprobs"})),
        {"model": "m", "logit_bias": {"1": 1}},
    ),
    "probabilities and biases in completions": (
        "completion",
        {"model": "m", "logprobs": 5, "logit_bias": {"1": 1}},
        Reshaping(remove=frozenset({"logprobs", "logit_bias"})),
        {"model": "m"},
    ),
    "probabilities in responses": (
        "responses",
        {"model": "m", "top_logprobs": 5, "include": ["reasoning.encrypted_content", "message.output_text.logprobs"]},
        Reshaping(remove=frozenset({"logprobs"})),
        {"model": "m", "include": ["reasoning.encrypted_content"]},
    ),
    "both limits in chat are lowered": (
        "chat",
        {"model": "m", "max_tokens": 5000, "max_completion_tokens": 100},
        Reshaping(cap={"output_tokens": 4096}),
        {"model": "m", "max_tokens": 4096, "max_completion_tokens": 100},
    ),
    "a limit is added in the field that chat reads today": (
        "chat",
        {"model": "m", "max_tokens": None},
        Reshaping(cap={"output_tokens": 4096}),
        {"model": "m", "max_tokens": None, "max_completion_tokens": 4096},
    ),
    "a limit is added in the field that completions read": (
        "completion",
        {"model": "m"},
        Reshaping(cap={"output_tokens": 4096}),
        {"model": "m", "max_tokens": 4096},
    ),
    "a limit is added in the field that responses read": (
        "responses",
        {"model": "m"},
        Reshaping(cap={"output_tokens": 4096}),
        {"model": "m", "max_output_tokens": 4096},
    ),
    "fewer choices": (
        "completion",
        {"model": "m", "n": 8, "best_of": 20},
        Reshaping(cap={"choices": 10}),
        {"model": "m", "n": 8, "best_of": 10},
    ),
    "the default of one choice stays unsaid": ("chat", {"model": "m"}, Reshaping(cap={"choices": 1}), {"model": "m"}),
    "the limit is shared by the choices that are left": (
        "chat",
        {"model": "m", "n": 8, "max_tokens": 1000},
        Reshaping(cap={"choices": 4, "output_tokens": 1000}),
        {"model": "m", "n": 4, "max_tokens": 250},
    ),
    "the limit is shared by the prompts of a batch": (
        "completion",
        {"model": "m", "prompt": ["a", "b"], "n": 5},
        Reshaping(cap={"choices": 4, "output_tokens": 100}),
        {"model": "m", "prompt": ["a", "b"], "n": 2, "max_tokens": 25},
    ),
    "each choice keeps a token": (
        "chat",
        {"model": "m", "n": 8},
        Reshaping(cap={"output_tokens": 4}),
        {"model": "m", "n": 8, "max_completion_tokens": 1},
    ),
    "what vLLM and SGLang show of probabilities": (
        "chat",
        {"model": "m", "return_logprob": True, "top_logprobs_num": 5, "logprob_start_len": 0, "token_ids_logprob": [1]}
        | {"return_hidden_states": True, "return_tokens_as_token_ids": True},
        Reshaping(remove=frozenset({"logprobs"})),
        {"model": "m", "return_tokens_as_token_ids": True},
    ),
    "what vLLM and SGLang take beside biases": (
        "completion",
        {
            "model": "m",
            "logit_bias": {},
            "allowed_token_ids": [1],
            "logits_processors": [],
            "custom_logit_processor": "",
        },
        Reshaping(remove=frozenset({"logit_bias"})),
        {"model": "m"},
    ),
    "a lower limit may not be above the upper one": (
        "chat",
        {"model": "m", "min_tokens": 500},
        Reshaping(cap={"output_tokens": 100}),
        {"model": "m", "min_tokens": 100, "max_completion_tokens": 100},
    ),
    "fewer pictures": ("image", {"prompt": "a", "n": 4}, Reshaping(cap={"choices": 2}), {"prompt": "a", "n": 2}),
    "a picture has no text to cut": (
        "image",
        {"prompt": "a", "n": 2},
        Reshaping(frozenset({"logprobs", "logit_bias"}), {"choices": 2, "output_tokens": 1}),
        {"prompt": "a", "n": 2},
    ),
    "the default of one picture stays unsaid": ("image", {"n": None}, Reshaping(cap={"choices": 1}), {"n": None}),
    "speech has nothing to lower": (
        "audio",
        {"model": "m", "input": "a", "n": 4},
        Reshaping(frozenset({"logprobs"}), {"output_tokens": 1, "choices": 1}),
        {"model": "m", "input": "a", "n": 4},
    ),
    "moderation has nothing to lower": (
        "moderation",
        {"input": "a"},
        Reshaping(cap={"output_tokens": 1, "choices": 1}),
        {"input": "a"},
    ),
    "counting has nothing to lower": (
        "tokens",
        {"input": "a"},
        Reshaping(frozenset({"logprobs"}), {"output_tokens": 1}),
        {"input": "a"},
    ),
    "embeddings have nothing to lower": (
        "embeddings",
        {"model": "m", "input": "a"},
        Reshaping(frozenset({"logprobs"}), {"output_tokens": 1, "choices": 1}),
        {"model": "m", "input": "a"},
    ),
}


@pytest.mark.parametrize(("operation", "body", "reshaping", "expected"), RESHAPED.values(), ids=RESHAPED)
def test_a_call_is_reshaped_and_the_given_body_left_as_it_was(operation, body, reshaping, expected):
    before = copy.deepcopy(body)
    assert OPENAI.reshape(request(operation, body), reshaping) == expected
    assert body == before


@pytest.mark.parametrize(("operation", "sample"), [s for s in samples() if "reading" in s.values[1]])
def test_what_was_reshaped_reads_as_reshaped(operation, sample):
    reshaping = Reshaping(frozenset({"logprobs", "logit_bias"}), {"choices": 1, "output_tokens": 12})
    reading = OPENAI.read(request(operation, OPENAI.reshape(request(operation, sample["body"]), reshaping)))
    prompts = len(sample["body"].get("prompt") or [1]) if reading.choices != 1 else 1
    assert (reading.logprobs, reading.logit_bias, reading.choices) == (False, 0, prompts)
    assert reading.output_tokens is not None
    assert reading.output_tokens <= 12


def test_an_unknown_operation_is_left_as_it_is():
    body: Json = {"max_tokens": 9}
    assert OPENAI.reshape(Request("POST", "/v1/else", (), b"", body), Reshaping(cap={"output_tokens": 1})) is body


def test_a_request_is_read_alike_whether_its_names_are_escaped_or_not():
    body = b'{"mod\\u0065l": "gpt-4o", "messages": [], "\\u006e": 3}'
    reading = OPENAI.read(Request("POST", PATHS["chat"], (), body, parse(body)))
    assert (reading.model, reading.choices) == ("gpt-4o", 3)


MESSAGES = {"model": "m", "messages": []}
ASKED = {**MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
OF_STREAMS = {
    "a plain answer": ("chat", MESSAGES, None),
    "no object": ("chat", [], None),
    "a stream": ("chat", {**MESSAGES, "stream": True}, ASKED),
    "a stream that says no": ("chat", {**ASKED, "stream_options": {"include_usage": False}}, ASKED),
    "a stream with other options": (
        "completion",
        {"stream": True, "stream_options": {"include_obfuscation": False}},
        {"stream": True, "stream_options": {"include_obfuscation": False, "include_usage": True}},
    ),
    "a stream that asks already": ("chat", ASKED, None),
    "options that are none": ("chat", {**ASKED, "stream_options": [1]}, None),
    "an API that reports unasked": ("responses", {"model": "m", "stream": True}, None),
}


@pytest.mark.parametrize(("operation", "body", "expected"), OF_STREAMS.values(), ids=OF_STREAMS)
def test_usage_is_asked_for_where_a_stream_would_not_report_it(operation, body, expected):
    given = copy.deepcopy(body)
    assert OPENAI.asking_for_usage(Request("POST", PATHS[operation], (), json=body)) == expected
    assert body == given


EVENTS = {
    b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n': True,
    b'data: { "choices" : [ ], "usage": {} }\r\n\r\n': True,
    b'data: {"choices":[],"usage":null}\n\n': False,
    b'data: {"choices":[{"delta":{"content":"\\"choices\\":[]"}}],"usage":{}}\n\n': False,
    b'data: ["choices":[]]\n\n': False,
    b': "choices":[]\n\n': False,
    b"data: [DONE]\n\n": False,
}


@pytest.mark.parametrize(("event", "is_report"), EVENTS.items())
def test_an_event_that_only_reports_usage_is_known_from_others(event, is_report):
    assert OPENAI.only_reports_usage(event) is is_report


@pytest.mark.parametrize("stored", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}])
def test_of_a_response_that_goes_on_from_what_is_stored_the_new_words_are_sure(stored):
    reading = OPENAI.read(request("responses", {"model": "m", "input": "12345678", **stored}))
    assert (reading.input_tokens, reading.least_input_tokens) == (None, 2)
