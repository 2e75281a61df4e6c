import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from modelfence.core.call import Credential, Reading
from modelfence.core.dialect import Json, MalformedRequestError, Outgoing, Request
from modelfence.core.policy import Reshaping
from modelfence.dialects.anthropic.api import Anthropic

ANTHROPIC = Anthropic()
SAMPLES = Path(__file__).parent / "anthropic" / "requests"
PATHS = {"chat": "/v1/messages", "tokens": "/v1/messages/count_tokens", "batch": "/v1/messages/batches"}
OPERATIONS = {
    ("POST", "/v1/messages"): "chat",
    ("POST", "/v1/messages/count_tokens"): "tokens",
    ("POST", "/v1/messages/batches"): "batch",
    ("GET", "/v1/messages/batches"): "batch",
    ("GET", "/v1/messages/batches/msgbatch_01"): "batch",
    ("GET", "/v1/messages/batches/msgbatch_01/results"): "batch",
    ("POST", "/v1/messages/batches/msgbatch_01/cancel"): "batch",
    ("DELETE", "/v1/messages/batches/msgbatch_01"): "batch",
    ("GET", "/v1/models"): "models",
    ("GET", "/v1/models/claude-sonnet-4-5-20250929"): "models",
    ("GET", "/v1/models/claude-3-5-haiku@20241022"): "models",
    ("GET", "/v1/models/anthropic.claude-v1:0"): "models",
    ("POST", "/v1/complete"): "unknown",
    ("GET", "/v1/messages"): "unknown",
    ("post", "/v1/messages"): "unknown",
    ("POST", "/v1/messages/"): "unknown",
    ("POST", "/v1//messages"): "unknown",
    ("POST", "/V1/messages"): "unknown",
    ("POST", "/v1/messages\n"): "unknown",
    ("POST", "/v1/messages?beta=true"): "unknown",
    ("POST", "/v1/messages/msg_1"): "unknown",
    ("GET", "/v1/messages/count_tokens"): "unknown",
    ("POST", "/v1/messages/batches/msgbatch_01"): "unknown",
    ("POST", "/v1/messages/batches/msgbatch_01/results"): "unknown",
    ("GET", "/v1/messages/batches/msgbatch_01/cancel"): "unknown",
    ("GET", "/v1/messages/batches/"): "unknown",
    ("GET", "/v1/messages/batches/.."): "unknown",
    ("GET", "/v1/messages/batches/a%2Fresults"): "unknown",
    ("DELETE", "/v1/messages/batches"): "unknown",
    ("PUT", "/v1/messages/batches/msgbatch_01"): "unknown",
    ("POST", "/v1/models"): "unknown",
    ("GET", "/v1/models/"): "unknown",
    ("GET", "/v1/models/.."): "unknown",
    ("GET", "/v1/models/a/b"): "unknown",
    ("GET", "/v1/models/a%2Fb"): "unknown",
    ("POST", "/v1/files"): "unknown",
    ("POST", "/v1/chat/completions"): "unknown",
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


def request(operation, body, *, content_type="application/json", query=""):
    return Request("POST", PATHS[operation], (("content-type", content_type),), json.dumps(body).encode(), body, query)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert ANTHROPIC.operation(*call) == operation


@pytest.mark.parametrize(("operation", "sample"), samples())
def test_a_request_is_read_as_its_sample_says(operation, sample):
    call = request(operation, sample["body"])
    if "refused" in sample:
        with pytest.raises(MalformedRequestError) as refused:
            ANTHROPIC.read(call)
        assert (refused.value.status, refused.value.message) == (400, sample["refused"])
    else:
        assert facts_of(ANTHROPIC.read(call)) == facts_of(Reading(operation)) | sample["reading"]


@pytest.mark.parametrize("operation", PATHS)
def test_a_body_that_may_be_read_as_something_else_than_json_is_refused(operation):
    with pytest.raises(MalformedRequestError) as refused:
        ANTHROPIC.read(request(operation, {"model": "m"}, content_type="text/plain"))
    assert refused.value.status == 415


@pytest.mark.parametrize("operation", PATHS)
def test_a_call_of_the_beta_is_read_like_any_other(operation):
    body: Json = {"model": "m", "max_tokens": 5}
    assert ANTHROPIC.read(request(operation, body, query="beta=true")) == ANTHROPIC.read(request(operation, body))


def test_a_query_that_names_another_model_is_refused():
    with pytest.raises(MalformedRequestError):
        ANTHROPIC.read(request("chat", {"model": "m"}, query="beta=true&model=other"))


WITHOUT_BODY = {
    ("GET", "/v1/models"): Reading("models", output_tokens=0),
    ("GET", "/v1/models/claude%40x"): Reading("models", model="claude@x", output_tokens=0),
    ("GET", "/v1/messages/batches"): Reading("batch", output_tokens=0),
    ("GET", "/v1/messages/batches/b_1/results"): Reading("batch", output_tokens=0),
    ("POST", "/v1/messages/batches/b_1/cancel"): Reading("batch", output_tokens=0),
}


@pytest.mark.parametrize(("call", "reading"), WITHOUT_BODY.items(), ids=str)
def test_a_call_without_a_body_asks_for_no_answer(call, reading):
    assert ANTHROPIC.read(Request(call[0], call[1], ())) == reading


def test_nothing_is_known_of_an_unknown_operation_whatever_its_body():
    reading = facts_of(ANTHROPIC.read(Request("POST", "/v1/complete", (), b"{}", {"model": "claude-2"})))
    assert reading.pop("operation") == "unknown"
    assert set(reading.values()) == {None}


def thinking(budget_tokens):
    return {"type": "enabled", "budget_tokens": budget_tokens, "display": "omitted"}


ALL = frozenset({"logprobs", "logit_bias"})
RESHAPED = {
    "nothing to do": ("chat", {"model": "m"}, Reshaping(ALL, {"choices": 1}), {"model": "m"}),
    "a limit is lowered": ("chat", {"max_tokens": 9000}, 4096, {"max_tokens": 4096}),
    "a limit that is low enough stays": ("chat", {"max_tokens": 9}, 4096, {"max_tokens": 9}),
    "a limit is added": ("chat", {"max_tokens": None}, 4096, {"max_tokens": 4096}),
    "a budget within the limit stays": (
        "chat",
        {"max_tokens": 9000, "thinking": thinking(4000)},
        8000,
        {"max_tokens": 8000, "thinking": thinking(4000)},
    ),
    "a budget that no longer fits is lowered": (
        "chat",
        {"max_tokens": 9000, "thinking": thinking(8000)},
        4096,
        {"max_tokens": 4096, "thinking": thinking(2048)},
    ),
    "a budget without a limit": (
        "chat",
        {"thinking": thinking(8000)},
        4096,
        {"max_tokens": 4096, "thinking": thinking(2048)},
    ),
    "a budget larger than its limit that is allowed": (
        "chat",
        {"max_tokens": 4000, "thinking": thinking(6000)},
        10_000,
        {"max_tokens": 4000, "thinking": thinking(6000)},
    ),
    "a budget larger than its limit that is not": (
        "chat",
        {"max_tokens": 4000, "thinking": thinking(6000)},
        9_999,
        {"max_tokens": 4000, "thinking": thinking(2000)},
    ),
    "the least budget": (
        "chat",
        {"max_tokens": 4000, "thinking": thinking(2000)},
        1025,
        {"max_tokens": 1025, "thinking": thinking(1024)},
    ),
    "no room for thinking": (
        "chat",
        {"max_tokens": 4000, "thinking": thinking(2000)},
        1024,
        {"max_tokens": 1024, "thinking": {"type": "disabled"}},
    ),
    "thinking without a budget stays": (
        "chat",
        {"max_tokens": 4000, "thinking": {"type": "adaptive"}},
        1000,
        {"max_tokens": 1000, "thinking": {"type": "adaptive"}},
    ),
    "counting tokens has no answer to limit": ("tokens", {"model": "m"}, 1, {"model": "m"}),
    "the requests of a batch share the limit": (
        "batch",
        {"requests": [{"custom_id": "1", "params": {"max_tokens": 900}}, {"custom_id": "2", "params": {}}]},
        501,
        {"requests": [{"custom_id": "1", "params": {"max_tokens": 250}}, {"custom_id": "2", "params": {"max_tokens": 250}}]},
    ),
    "an empty batch": ("batch", {"requests": []}, 1, {"requests": []}),
}  # fmt: skip


@pytest.mark.parametrize(("operation", "body", "cap", "expected"), RESHAPED.values(), ids=RESHAPED)
def test_a_call_is_reshaped_and_the_given_body_left_as_it_was(operation, body, cap, expected):
    before = copy.deepcopy(body)
    reshaping = cap if isinstance(cap, Reshaping) else Reshaping(cap={"output_tokens": cap})
    assert ANTHROPIC.reshape(request(operation, body), reshaping) == expected
    assert body == before


def test_a_batch_that_cannot_be_cut_down_is_refused():
    body: Json = {"requests": [{"params": {"model": "m", "max_tokens": 1}} for _ in range(3)]}
    with pytest.raises(MalformedRequestError) as refused:
        ANTHROPIC.reshape(request("batch", body), Reshaping(cap={"output_tokens": 2}))
    assert refused.value.status == 403
    assert refused.value.message == "A batch of 3 requests is more than may be asked here, which is 2 tokens in all."


@pytest.mark.parametrize(("operation", "sample"), [s for s in samples() if "reading" in s.values[1]])
@pytest.mark.parametrize("most", [1, 1025, 5000])
def test_what_was_reshaped_reads_as_reshaped(operation, sample, most):
    if len(sample["body"].get("requests", ())) > most:
        return
    body = ANTHROPIC.reshape(request(operation, sample["body"]), Reshaping(cap={"output_tokens": most}))
    reading = ANTHROPIC.read(request(operation, body))
    assert reading.output_tokens is not None
    assert reading.output_tokens <= most


def test_an_unknown_operation_is_left_as_it_is():
    body: Json = {"max_tokens": 9}
    assert (
        ANTHROPIC.reshape(Request("POST", "/v1/complete", (), b"", body), Reshaping(cap={"output_tokens": 1})) is body
    )


def test_usage_is_never_asked_for_since_every_stream_reports_it():
    assert ANTHROPIC.asking_for_usage(request("chat", {"model": "m", "stream": True})) is None
    assert not ANTHROPIC.only_reports_usage(b'event: message_delta\ndata: {"usage": {"output_tokens": 1}}\n\n')


def test_the_fences_own_key_goes_up_where_the_api_looks_for_it():
    outgoing = Outgoing("POST", "api.anthropic.com", "/v1/messages", "", (), b"{}")
    assert ANTHROPIC.credential_headers("sk-ant-1", outgoing) == (("x-api-key", "sk-ant-1"),)


@pytest.mark.parametrize("header", [("x-api-key", "sk-1"), ("authorization", "Bearer sk-1")])
def test_a_key_is_found_in_both_headers_that_the_sdks_use(header):
    assert ANTHROPIC.credential([header]) == Credential.of("sk-1")


def test_two_keys_that_differ_are_refused():
    with pytest.raises(MalformedRequestError):
        ANTHROPIC.credential([("x-api-key", "sk-1"), ("authorization", "Bearer sk-2")])
