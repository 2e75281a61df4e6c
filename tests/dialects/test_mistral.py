import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.call import Reading
from modelfence.core.charge import Balance, Charge, Unit
from modelfence.core.decision import Effect
from modelfence.core.dialect import MalformedRequestError, Refusal, Request
from modelfence.core.policy import Reshaping
from modelfence.dialects.mistral.api import Mistral

MISTRAL = Mistral()
SAMPLES = json.loads((Path(__file__).parent / "mistral" / "requests.json").read_text())
CHAT, FIM, BATCHES = "/v1/chat/completions", "/v1/fim/completions", "/v1/batch/jobs"
OPERATIONS = {
    ("POST", CHAT): "chat",
    ("POST", "/v1/agents/completions"): "chat",
    ("POST", FIM): "completion",
    ("POST", "/v1/embeddings"): "embeddings",
    ("POST", "/v1/moderations"): "moderation",
    ("POST", "/v1/chat/moderations"): "moderation",
    ("GET", "/v1/models"): "models",
    ("GET", "/v1/models/ft:open-mistral-7b:acme:20250101:1"): "models",
    ("POST", BATCHES): "batch",
    ("GET", BATCHES): "batch",
    ("GET", f"{BATCHES}/b-1"): "batch",
    ("POST", f"{BATCHES}/b-1/cancel"): "batch",
    ("POST", "/v1/files"): "files",
    ("GET", "/v1/files/f-1"): "files",
    ("DELETE", "/v1/files/f-1"): "files",
    ("GET", "/v1/files/f-1/content"): "files",
    ("POST", "/v1/fine_tuning/jobs"): "tuning",
    ("POST", "/v1/fine_tuning/jobs/j-1/start"): "tuning",
    ("POST", "/v1/ocr"): "unknown",
    ("POST", "/v1/conversations"): "unknown",
    ("GET", CHAT): "unknown",
    ("POST", f"{CHAT}/"): "unknown",
    ("POST", f"{CHAT}\n"): "unknown",
    ("POST", f"{CHAT}#stream"): "unknown",
    ("POST", "/v1//chat/completions"): "unknown",
    ("POST", "/V1/chat/completions"): "unknown",
    ("POST", "/v1/completions"): "unknown",
    ("POST", f"{BATCHES}/b-1"): "unknown",
    ("DELETE", "/v1/models/ft:open-mistral-7b"): "unknown",
    ("GET", "/v1/models/.."): "unknown",
    ("GET", "/v1/models/a%2Fb"): "unknown",
    ("GET", "/v1/files/../models"): "unknown",
    ("GET", "/v1/files/f-1/other"): "unknown",
    ("GET", ""): "unknown",
}


def facts_of(reading):
    """Return what a reading says beside the prompt's texts."""
    return {name: value for name, value in asdict(reading).items() if name not in {"prompt", "seen_input_tokens"}}


def request(path, body, *, method="POST", query=""):
    return Request(method, path, (("content-type", "application/json"),), b"", body, query)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert MISTRAL.operation(*call) == operation


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_a_request_is_read_as_its_sample_says(sample):
    call = request(sample["path"], sample["body"])
    if "refused" in sample:
        with pytest.raises(MalformedRequestError) as refused:
            MISTRAL.read(call)
        assert (refused.value.message, refused.value.status) == (sample["refused"], 400)
    else:
        operation = MISTRAL.operation("POST", sample["path"])
        assert facts_of(MISTRAL.read(call)) == facts_of(Reading(operation)) | sample["reading"]


def test_a_prompt_has_its_texts_by_who_speaks_wherever_they_stand():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Why?"}, thought]},
            {"role": "assistant", "content": [thought, {"type": "text", "text": "So."}]},
            {"role": "tool", "content": {"type": "text", "text": "42"}},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"properties": {"question": {}, "answer": {}}}},
        },
    }
    prompt = MISTRAL.read(request(CHAT, body)).prompt
    assert (prompt.system, prompt.user, prompt.replies) == (("Be brief.",), ("Why?\nHm.",), ("Hm.\nSo.", "42"))
    assert prompt.schema == ("question", "answer")
    assert MISTRAL.read(request(FIM, {"model": "m", "prompt": "a", "suffix": "b"})).prompt.user == ("a\nb",)


JOBS = {
    "a look at batches": ("GET", BATCHES, None, Reading("batch", output_tokens=0)),
    "a look at one": ("GET", f"{BATCHES}/b-1", None, Reading("batch", output_tokens=0)),
    "a batch called off": ("POST", f"{BATCHES}/b-1/cancel", None, Reading("batch", output_tokens=0)),
    "a file": ("GET", "/v1/files/f-1", None, Reading("files", output_tokens=0)),
}


@pytest.mark.parametrize(("method", "path", "body", "reading"), JOBS.values(), ids=JOBS)
def test_what_only_looks_at_jobs_asks_for_nothing(method, path, body, reading):
    assert MISTRAL.read(request(path, body, method=method)) == reading


MODELS_OF_BATCHES = {
    "that of all calls": ({"model": "m", "input_files": ["f-1"]}, "m"),
    "an agent": ({"agent_id": "ag:1", "input_files": ["f-1"]}, "ag:1"),
    "none is named": ({"input_files": ["f-1"]}, None),
    "a call names the same": ({"model": "m", "requests": [{"body": {"model": "m"}}, {"body": {}}]}, "m"),
    "a call names another": ({"model": "m", "requests": [{"body": {"model": "o"}}]}, None),
}


@pytest.mark.parametrize(("body", "model"), MODELS_OF_BATCHES.values(), ids=MODELS_OF_BATCHES)
def test_of_a_new_batch_only_the_model_may_be_known(body, model):
    reading = facts_of(MISTRAL.read(request(BATCHES, body)))
    assert (reading.pop("operation"), reading.pop("model")) == ("batch", model)
    assert set(reading.values()) == {None}


def test_a_batch_of_a_model_and_an_agent_is_refused():
    with pytest.raises(MalformedRequestError, match="give one of them"):
        MISTRAL.read(request(BATCHES, {"model": "m", "agent_id": "a"}))


def test_a_batch_can_not_be_reshaped_so_it_is_refused():
    with pytest.raises(MalformedRequestError) as refused:
        MISTRAL.reshape(request(BATCHES, {"model": "m"}), Reshaping(cap={"output_tokens": 9}))
    assert refused.value.status == 403


def test_only_a_listing_of_jobs_may_name_a_model_in_its_query():
    assert MISTRAL.read(request(BATCHES, None, method="GET", query="model=m&page=1")).operation == "batch"
    for method, path in (("POST", BATCHES), ("POST", CHAT), ("GET", f"{BATCHES}/b-1")):
        with pytest.raises(MalformedRequestError, match="'model'"):
            MISTRAL.read(request(path, {"model": "m"}, method=method, query="model=o"))


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/codestral-2508"])
def test_a_models_listing_asks_for_the_model_of_its_path(path):
    model = path.removeprefix("/v1/models").lstrip("/")
    assert MISTRAL.read(request(path, None, method="GET")) == Reading("models", model=model, output_tokens=0)


RESHAPED = {
    "nothing to do": (CHAT, {"model": "m", "n": 2}, Reshaping(), {"model": "m", "n": 2}),
    "probabilities of answer and prompt": (
        CHAT,
        {"model": "m", "logprobs": True, "top_logprobs": 5, "prompt_logprobs": True, "top_prompt_logprobs": 2},
        Reshaping(frozenset({"logprobs"})),
        {"model": "m"},
    ),
    "a bias, which only other servers know": (
        CHAT,
        {"model": "m", "logit_bias": {"1": 1}},
        Reshaping(frozenset({"logit_bias"})),
        {"model": "m"},
    ),
    "a limit is added": (FIM, {"model": "m"}, Reshaping(cap={"output_tokens": 9}), {"model": "m", "max_tokens": 9}),
    "a limit is lowered": (CHAT, {"max_tokens": 99}, Reshaping(cap={"output_tokens": 9}), {"max_tokens": 9}),
    "a lower limit is kept": (CHAT, {"max_tokens": 5}, Reshaping(cap={"output_tokens": 9}), {"max_tokens": 5}),
    "the limit is shared by the choices that are left": (
        CHAT,
        {"n": 8, "max_tokens": 1000},
        Reshaping(cap={"choices": 4, "output_tokens": 1000}),
        {"n": 4, "max_tokens": 250},
    ),
    "each choice keeps a token": (CHAT, {"n": 8}, Reshaping(cap={"output_tokens": 4}), {"n": 8, "max_tokens": 1}),
    "an agent": (
        "/v1/agents/completions",
        {"agent_id": "a"},
        Reshaping(cap={"output_tokens": 4}),
        {"agent_id": "a", "max_tokens": 4},
    ),
    "embeddings have nothing to lower": (
        "/v1/embeddings",
        {"model": "m", "input": "a"},
        Reshaping(frozenset({"logprobs"}), {"output_tokens": 1}),
        {"model": "m", "input": "a"},
    ),
}


@pytest.mark.parametrize(("path", "body", "reshaping", "expected"), RESHAPED.values(), ids=RESHAPED)
def test_a_call_is_reshaped_and_the_given_body_left_as_it_was(path, body, reshaping, expected):
    before = copy.deepcopy(body)
    assert MISTRAL.reshape(request(path, body), reshaping) == expected
    assert body == before


def test_usage_is_never_asked_for_nor_kept_back():
    assert MISTRAL.asking_for_usage(request(CHAT, {"model": "m", "stream": True})) is None
    assert not MISTRAL.only_reports_usage(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n')


BODIES_OF_REFUSALS = {
    401: {"detail": "No. (request id call-7)"},
    403: {"type": "forbidden", "code": None},
    429: {"type": "rate_limited", "code": "1300"},
    400: {"type": "invalid_request_error", "code": None},
    503: {"type": "service_unavailable", "code": None},
}


@pytest.mark.parametrize(("status", "said"), BODIES_OF_REFUSALS.items())
def test_a_refusal_has_mistrals_shape(status, said):
    answer = MISTRAL.refuse(Refusal(Effect.DENY, status, "No.", "call-7"))
    shape = {"object": "error", "message": "No. (request id call-7)", "param": None, "raw_status_code": status}
    assert json.loads(answer.body) == (said if status == 401 else shape | said)
    assert dict(answer.headers)["mistral-correlation-id"] == "call-7"
    assert ("www-authenticate" in dict(answer.headers)) == (status == 401)


def balance(burst, left, *, unit=Unit.REQUESTS, period="minute", shadow=False):
    rate = Rate(burst, PERIODS_US[period], burst)
    return Balance(Charge("rule", "key", rate, unit=unit, shadow=shadow), rate.time_us(left))


def test_what_is_left_is_told_in_mistrals_headers_by_the_time_in_which_it_flows_back():
    balances = [
        balance(60, 30),
        balance(10, 1, period="hour"),
        balance(5, 0, shadow=True),
        balance(1000, 400, unit=Unit.OUTPUT_TOKENS, period="day"),
    ]
    assert MISTRAL.limits(balances) == (
        ("x-ratelimit-limit-req-hour", "10"),
        ("x-ratelimit-remaining-req-hour", "1"),
        ("x-ratelimit-limit-tokens-day", "1000"),
        ("x-ratelimit-remaining-tokens-day", "400"),
    )
    refusal = Refusal(Effect.THROTTLE, 429, "No.", "call-7", retry_after_us=1_200_000, balance=balances[1])
    assert MISTRAL.refuse(refusal).headers[2:] == (("retry-after", "2"), *MISTRAL.limits(balances)[:2])
