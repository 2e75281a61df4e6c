import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.call import Reading
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.core.decision import Effect
from modelfence.core.dialect import Json, MalformedRequestError, Refusal, Request
from modelfence.core.extraction import Prompt
from modelfence.core.policy import Reshaping
from modelfence.dialects.ollama.api import Ollama

OLLAMA = Ollama()
SAMPLES = Path(__file__).parent / "ollama" / "requests"
PATHS = {"chat": "/api/chat", "completion": "/api/generate"}
OPERATIONS = {
    ("POST", "/api/chat"): "chat",
    ("POST", "/api/generate"): "completion",
    ("POST", "/api/embed"): "embeddings",
    ("POST", "/api/embeddings"): "embeddings",
    ("POST", "/api/show"): "models",
    ("GET", "/api/tags"): "models",
    ("GET", "/api/ps"): "models",
    ("GET", "/api/version"): "models",
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/v1/completions"): "completion",
    ("POST", "/v1/responses"): "responses",
    ("POST", "/v1/embeddings"): "embeddings",
    ("GET", "/v1/models"): "models",
    ("GET", "/v1/models/llama3.2"): "models",
    ("POST", "/api/pull"): "unknown",
    ("POST", "/api/push"): "unknown",
    ("POST", "/api/create"): "unknown",
    ("POST", "/api/copy"): "unknown",
    ("DELETE", "/api/delete"): "unknown",
    ("POST", "/api/blobs/sha256:0"): "unknown",
    ("HEAD", "/api/blobs/sha256:0"): "unknown",
    ("GET", "/api/chat"): "unknown",
    ("POST", "/api/chat/"): "unknown",
    ("POST", "/API/chat"): "unknown",
    ("POST", "/api//chat"): "unknown",
    ("POST", "/api/tags"): "unknown",
    ("POST", "/v1/messages"): "unknown",
    ("POST", "/v1/images/generations"): "unknown",
    ("POST", "/v1/files"): "unknown",
    ("DELETE", "/v1/models/llama3.2"): "unknown",
    ("GET", "/v1/chat/completions"): "unknown",
    ("GET", ""): "unknown",
}


def samples():
    return [
        pytest.param(sample.get("path") or PATHS[path.stem], path.stem, sample, id=f"{path.stem}: {sample['name']}")
        for path in sorted(SAMPLES.iterdir())
        for sample in json.loads(path.read_text())
    ]


def facts_of(reading):
    """Return what a reading says beside the prompt's texts."""
    return {name: value for name, value in asdict(reading).items() if name not in {"prompt", "seen_input_tokens"}}


def request(path, body, *, content_type="application/json"):
    return Request("POST", path, (("content-type", content_type),), json.dumps(body).encode(), body)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert OLLAMA.operation(*call) == operation


@pytest.mark.parametrize(("path", "operation", "sample"), samples())
def test_a_request_is_read_as_its_sample_says(path, operation, sample):
    call = request(path, sample["body"])
    if "refused" in sample:
        with pytest.raises(MalformedRequestError) as refused:
            OLLAMA.read(call)
        assert refused.value.message == sample["refused"]
        assert refused.value.status == 400
    else:
        assert facts_of(OLLAMA.read(call)) == facts_of(Reading(operation)) | sample["reading"]


def test_what_curl_posts_is_read_as_json_which_it_is_to_ollama():
    call = request("/api/chat", {"model": "m"}, content_type="application/x-www-form-urlencoded")
    assert OLLAMA.read(call).model == "m"


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_body_that_may_be_read_as_something_else_than_json_is_refused(path):
    with pytest.raises(MalformedRequestError) as refused:
        OLLAMA.read(request(path, {"model": "m"}, content_type="application/x-www-form-urlencoded, text/plain"))
    assert refused.value.status == 415


def test_a_model_chosen_in_the_query_is_refused():
    with pytest.raises(MalformedRequestError):
        OLLAMA.read(Request("POST", "/api/chat", (), b"", {"model": "m"}, "model=other"))


def test_a_listing_asks_for_no_answer():
    assert OLLAMA.read(Request("GET", "/api/tags", ())) == Reading("models", output_tokens=0)
    assert OLLAMA.read(Request("GET", "/v1/models/m", ())) == Reading("models", model="m", output_tokens=0)


def test_nothing_is_known_of_an_unknown_operation_whatever_its_body():
    reading = facts_of(OLLAMA.read(Request("POST", "/api/pull", (), b"\xff", None)))
    assert reading.pop("operation") == "unknown"
    assert set(reading.values()) == {None}


SAID: Json = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "1"},
    {"role": "tool", "content": "42"},
    {"role": "user", "content": "two"},
]
SCHEMA: Json = {"properties": {"instruction": {}, "output": {}}}
PROMPTS: dict[str, tuple[str, Json, Prompt]] = {
    "messages": (
        "/api/chat",
        {"model": "m", "messages": SAID, "format": SCHEMA},
        Prompt(("be brief",), ("one", "two"), ("1", "42"), ("instruction", "output")),
    ),
    "a completion": (
        "/api/generate",
        {"model": "m", "prompt": "p", "suffix": "s", "system": "be brief", "template": "t", "context": [1, 2],
         "format": SCHEMA},
        Prompt(("be brief", "t"), ("p\ns",), ("t1 t2",), ("instruction", "output")),
    ),
    "texts": ("/api/embed", {"model": "m", "input": ["a", "b"]}, Prompt(user=("a\nb",))),
    "a text": ("/api/embeddings", {"model": "m", "prompt": "a"}, Prompt(user=("a",))),
    "OpenAI's words": ("/v1/chat/completions", {"model": "m", "messages": SAID},
                       Prompt(("be brief",), ("one", "two"), ("1", "42"))),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "prompt"), PROMPTS.values(), ids=PROMPTS)
def test_the_texts_of_a_call_are_told_by_who_speaks(path, body, prompt):
    assert OLLAMA.read(request(path, body)).prompt == prompt


ALL = Reshaping(frozenset({"logprobs", "logit_bias"}), {"output_tokens": 100, "choices": 1})
RESHAPED = {
    "nothing to do": ("/api/chat", {"model": "m", "logprobs": True}, Reshaping(), {"model": "m", "logprobs": True}),
    "probabilities and biases": (
        "/api/generate",
        {"model": "m", "logprobs": True, "top_logprobs": 5, "options": {"logit_bias": {"1": 1}, "seed": 1}},
        Reshaping(frozenset({"logprobs", "logit_bias"})),
        {"model": "m", "options": {"seed": 1}},
    ),
    "biases alone": (
        "/api/chat",
        {"model": "m", "options": {"logit_bias": {"1": 1}}},
        Reshaping(frozenset({"logit_bias"})),
        {"model": "m", "options": {}},
    ),
    "a limit is added": ("/api/chat", {"model": "m"}, ALL, {"model": "m", "options": {"num_predict": 100}}),
    "a limit is added where there are other options": (
        "/api/chat",
        {"model": "m", "options": {"seed": 1}},
        ALL,
        {"model": "m", "options": {"seed": 1, "num_predict": 100}},
    ),
    "a limit is lowered": (
        "/api/generate",
        {"model": "m", "options": {"num_predict": 500}},
        ALL,
        {"model": "m", "options": {"num_predict": 100}},
    ),
    "a lower limit stays": (
        "/api/chat",
        {"model": "m", "options": {"num_predict": 5}},
        ALL,
        {"model": "m", "options": {"num_predict": 5}},
    ),
    "what means no limit gives way to one": (
        "/api/chat",
        {"model": "m", "options": {"num_predict": -1}},
        ALL,
        {"model": "m", "options": {"num_predict": 100}},
    ),
    "zero means no limit": (
        "/api/chat",
        {"model": "m", "options": {"num_predict": 0}},
        ALL,
        {"model": "m", "options": {"num_predict": 100}},
    ),
    "a budget for thinking is lowered": (
        "/api/chat",
        {"model": "m", "think": 500},
        ALL,
        {"model": "m", "think": 100, "options": {"num_predict": 100}},
    ),
    "a flag for thinking is no budget": (
        "/api/chat",
        {"model": "m", "think": True},
        ALL,
        {"model": "m", "think": True, "options": {"num_predict": 100}},
    ),
    "embeddings have nothing to lower": ("/api/embed", {"model": "m", "input": "a"}, ALL, {"model": "m", "input": "a"}),
    "OpenAI's words get the limit that Ollama reads": (
        "/v1/chat/completions",
        {"model": "m", "logprobs": True, "max_completion_tokens": 500},
        ALL,
        {"model": "m", "max_completion_tokens": 100, "max_tokens": 100},
    ),
    "in OpenAI's words zero is no limit either": (
        "/v1/completions",
        {"model": "m", "max_tokens": 0},
        ALL,
        {"model": "m", "max_tokens": 100},
    ),
}


@pytest.mark.parametrize(("path", "body", "reshaping", "expected"), RESHAPED.values(), ids=RESHAPED)
def test_a_call_is_reshaped_and_the_given_body_left_as_it_was(path, body, reshaping, expected):
    before = copy.deepcopy(body)
    assert OLLAMA.reshape(request(path, body), reshaping) == expected
    assert body == before


def test_usage_is_asked_for_in_openais_words_only():
    streamed: dict[str, Json] = {"model": "m", "stream": True, "messages": []}
    assert OLLAMA.asking_for_usage(request("/api/chat", streamed)) is None
    asking = OLLAMA.asking_for_usage(request("/v1/chat/completions", streamed))
    assert asking == {**streamed, "stream_options": {"include_usage": True}}
    assert OLLAMA.only_reports_usage(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n')
    assert not OLLAMA.only_reports_usage(b'{"done":true,"eval_count":1}\n')


def test_a_refusal_is_said_in_the_words_of_the_api():
    balance = Balance(Charge("rule", "acme", Rate(60, PERIODS_US["hour"], 120), unit=Unit.REQUESTS), 90_000_000)
    answer = OLLAMA.refuse(Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=1_500_001, balance=balance))
    assert json.loads(answer.body) == {"error": "Slow down. (request id c1)"}
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "x-request-id": "c1",
        "retry-after": "2",
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1h58m30s",
    }
    assert "acme" not in repr(answer)
