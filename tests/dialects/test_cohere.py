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
from modelfence.dialects.cohere.api import Cohere

COHERE = Cohere()
SAMPLES = Path(__file__).parent / "cohere" / "requests"
PATHS = {"chat": "/v2/chat", "old-chat": "/v1/chat"}
OPERATIONS = {
    ("POST", "/v2/chat"): "chat",
    ("POST", "/v1/chat"): "chat",
    ("POST", "/v2/embed"): "embeddings",
    ("POST", "/v1/embed"): "embeddings",
    ("POST", "/v2/rerank"): "embeddings",
    ("POST", "/v1/tokenize"): "tokens",
    ("POST", "/v1/detokenize"): "tokens",
    ("GET", "/v1/models"): "models",
    ("GET", "/v1/models/command-a-03-2025"): "models",
    ("GET", "/v1/embed-jobs"): "batch",
    ("POST", "/v1/embed-jobs/1-2/cancel"): "batch",
    ("POST", "/v2/batches/1-2:cancel"): "batch",
    ("GET", "/v2/batches/1-2"): "batch",
    ("GET", "/v1/datasets/usage"): "files",
    ("DELETE", "/v1/datasets/1-2"): "files",
    ("PATCH", "/v1/finetuning/finetuned-models/1-2"): "tuning",
    ("GET", "/v1/finetuning/finetuned-models/1-2/events"): "tuning",
    ("GET", "/v2/chat"): "unknown",
    ("POST", "/V2/chat"): "unknown",
    ("POST", "/v2/chat/"): "unknown",
    ("POST", "/v2//chat"): "unknown",
    ("POST", "/v2/chat\n"): "unknown",
    ("POST", "/v2/tokenize"): "unknown",
    ("POST", "/v1/models/command-a"): "unknown",
    ("GET", "/v1/models/.."): "unknown",
    ("GET", "/v1/models/a/b"): "unknown",
    ("GET", "/v1/models/a%2Fb"): "unknown",
    ("GET", "/v1/datasets/.."): "unknown",
    ("GET", "/v1/datasets/1/2"): "unknown",
    ("PUT", "/v1/datasets"): "unknown",
    ("POST", "/v1/generate"): "unknown",
    ("POST", "/v1/classify"): "unknown",
    ("POST", "/v1/connectors"): "unknown",
    ("POST", "/v2/audio/transcriptions"): "unknown",
    ("POST", "/compatibility/v1/chat/completions"): "unknown",
    ("GET", ""): "unknown",
}


def samples():
    return [
        pytest.param(sample.get("path") or PATHS[path.stem], sample, id=f"{path.stem}: {sample['name']}")
        for path in sorted(SAMPLES.iterdir())
        for sample in json.loads(path.read_text())
    ]


def facts_of(reading):
    """Return what a reading says beside the prompt's texts."""
    return {name: value for name, value in asdict(reading).items() if name not in {"prompt", "seen_input_tokens"}}


def request(path, body, *, method="POST"):
    return Request(method, path, (("content-type", "application/json"),), json.dumps(body).encode(), body)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert COHERE.operation(*call) == operation


@pytest.mark.parametrize(("path", "sample"), samples())
def test_a_request_is_read_as_its_sample_says(path, sample):
    call = request(path, sample["body"])
    if "refused" in sample:
        with pytest.raises(MalformedRequestError) as refused:
            COHERE.read(call)
        assert refused.value.message == sample["refused"]
        assert refused.value.status == 400
    else:
        assert facts_of(COHERE.read(call)) == facts_of(Reading("chat")) | sample["reading"]


def test_a_models_listing_asks_for_no_answer_and_for_the_model_of_its_path():
    assert COHERE.read(Request("GET", "/v1/models", ())) == Reading("models", output_tokens=0)
    named = COHERE.read(Request("GET", "/v1/models/command-a", ()))
    assert named == Reading("models", model="command-a", output_tokens=0)


def test_a_model_chosen_in_the_query_is_refused():
    call = Request("POST", "/v2/chat", (), b"", {"model": "m"}, "model=other")
    with pytest.raises(MalformedRequestError):
        COHERE.read(call)


def test_nothing_is_known_of_an_unknown_operation_whatever_its_body():
    reading = facts_of(COHERE.read(Request("POST", "/v1/generate", (("content-type", "text/plain"),), b"\xff", None)))
    assert reading.pop("operation") == "unknown"
    assert set(reading.values()) == {None}


BROUGHT = {"files": ("POST", "/v1/datasets"), "tuning": ("PATCH", "/v1/finetuning/finetuned-models/1-2")}


@pytest.mark.parametrize(("operation", "call"), BROUGHT.items())
def test_nothing_is_known_of_what_only_the_upstream_can_look_into(operation, call):
    form = (("content-type", "multipart/form-data; boundary=x"),)
    reading = facts_of(COHERE.read(Request(call[0], call[1], form, b"--x")))
    assert reading.pop("operation") == operation
    assert set(reading.values()) == {None}


@pytest.mark.parametrize(
    "call", [("GET", "/v1/datasets"), ("GET", "/v2/batches/1-2"), ("POST", "/v1/embed-jobs/1/cancel")]
)
def test_a_look_at_what_is_stored_asks_for_no_answer(call):
    assert COHERE.read(Request(call[0], call[1], ())) == Reading(COHERE.operation(*call), output_tokens=0)


@pytest.mark.parametrize("asked", [Reshaping(frozenset({"logprobs"})), Reshaping(cap={"output_tokens": 1})])
def test_a_batch_that_is_to_be_reshaped_is_refused(asked):
    call = request("/v2/batches", {"model": "m", "input_dataset_id": "d"})
    assert COHERE.reshape(call, Reshaping()) is call.json
    with pytest.raises(MalformedRequestError) as refused:
        COHERE.reshape(call, asked)
    assert refused.value.status == 403


SAID: list[Json] = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
    {"role": "tool", "content": "42"},
    {"role": "user", "content": "three"},
]
SCHEMA: Json = {"type": "json_object", "json_schema": {"properties": {"instruction": {}, "output": {}}}}
OLD: Json = {
    "model": "m",
    "preamble": "be brief",
    "chat_history": [{"role": "USER", "message": "one"}, {"role": "CHATBOT", "message": "1"}, {"role": "SYSTEM", "message": "be kind"}],
    "message": "two",
    "documents": [{"title": "a", "text": "b"}],
}  # fmt: skip
PROMPTS: dict[str, tuple[str, Json, Prompt]] = {
    "messages": ("/v2/chat", {"model": "m", "messages": SAID},
                 Prompt(("be brief",), ("one\ntwo", "three"), ("c f", "42"))),
    "a schema": ("/v2/chat", {"model": "m", "response_format": SCHEMA}, Prompt(schema=("instruction", "output"))),
    "documents": ("/v2/chat", {"model": "m", "messages": SAID[-1:], "documents": ["d1", {"data": {"t": "d2"}}]},
                  Prompt(user=("d1\nd2", "three"))),
    "the old version": ("/v1/chat", OLD, Prompt(("be brief", "be kind"), ("a\nb", "one", "two"), ("1",))),
    "texts": ("/v2/embed", {"model": "m", "texts": ["a", "b"]}, Prompt(user=("a\nb",))),
    "a query": ("/v2/rerank", {"model": "m", "query": "q", "documents": ["d"]}, Prompt(user=("q",))),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "prompt"), PROMPTS.values(), ids=PROMPTS)
def test_the_texts_of_a_call_are_told_by_who_speaks(path, body, prompt):
    assert COHERE.read(request(path, body)).prompt == prompt


ALL = Reshaping(frozenset({"logprobs", "logit_bias"}), {"output_tokens": 100, "choices": 1})
RESHAPED = {
    "nothing to do": ("/v2/chat", {"model": "m", "logprobs": True}, Reshaping(), {"model": "m", "logprobs": True}),
    "probabilities": ("/v2/chat", {"model": "m", "logprobs": True}, Reshaping(frozenset({"logprobs"})), {"model": "m"}),
    "a limit is lowered": ("/v2/chat", {"model": "m", "max_tokens": 500}, ALL, {"model": "m", "max_tokens": 100}),
    "a lower limit stays": ("/v2/chat", {"model": "m", "max_tokens": 5}, ALL, {"model": "m", "max_tokens": 5}),
    "a limit is added": ("/v1/chat", {"model": "m", "max_tokens": None}, ALL, {"model": "m", "max_tokens": 100}),
    "a budget is lowered as well": (
        "/v2/chat",
        {"model": "m", "max_tokens": 7, "thinking": {"type": "enabled", "token_budget": 500}},
        ALL,
        {"model": "m", "max_tokens": 7, "thinking": {"type": "enabled", "token_budget": 100}},
    ),
    "embeddings have nothing to lower": ("/v2/embed", {"model": "m", "max_tokens": 500}, ALL,
                                         {"model": "m", "max_tokens": 500}),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "reshaping", "expected"), RESHAPED.values(), ids=RESHAPED)
def test_a_call_is_reshaped_and_the_given_body_left_as_it_was(path, body, reshaping, expected):
    before = copy.deepcopy(body)
    assert COHERE.reshape(request(path, body), reshaping) == expected
    assert body == before


def test_usage_is_never_asked_for_since_it_is_always_told():
    assert COHERE.asking_for_usage(request("/v2/chat", {"model": "m", "stream": True})) is None
    assert not COHERE.only_reports_usage(b'event: message-end\ndata: {"type":"message-end"}\n\n')


def test_a_refusal_is_said_in_the_words_of_the_api():
    balance = Balance(Charge("rule", "acme", Rate(60, PERIODS_US["hour"], 120), unit=Unit.REQUESTS), 90_000_000)
    answer = COHERE.refuse(Refusal(Effect.THROTTLE, 429, "Slow down.", "c1", retry_after_us=1_500_001, balance=balance))
    assert json.loads(answer.body) == {"id": "c1", "message": "Slow down. (request id c1)"}
    assert dict(answer.headers) == {
        "content-type": "application/json",
        "x-debug-trace-id": "c1",
        "retry-after": "2",
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "1",
        "x-ratelimit-reset-requests": "1h58m30s",
    }
    assert "acme" not in repr(answer)
