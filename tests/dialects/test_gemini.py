import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError, Outgoing, Request
from modelfence.core.policy import Reshaping
from modelfence.dialects.gemini.api import Gemini

GEMINI = Gemini()
SAMPLES = json.loads((Path(__file__).parent / "gemini" / "requests.json").read_text())
MODEL = "gemini-2.5-flash"
GENERATE, STREAM = f"/v1beta/models/{MODEL}:generateContent", f"/v1beta/models/{MODEL}:streamGenerateContent"
CHAT = "/v1beta/openai/chat/completions"
OPERATION = {"countTokens": "tokens", "embedContent": "embeddings", "batchEmbedContents": "embeddings"}
OPERATIONS = {
    ("POST", GENERATE): "chat",
    ("POST", STREAM): "chat",
    ("POST", "/v1/models/gemini-2.5-flash:generateContent"): "chat",
    ("POST", "/v1alpha/models/gemini-2.5-flash:generateContent"): "chat",
    ("POST", "/v1beta/models/gemini-2.5-flash%3AgenerateContent"): "chat",
    ("POST", "/v1beta/models/gemini-2.5-flash%3agenerateContent"): "chat",
    ("POST", "/v1beta/models/m:countTokens"): "tokens",
    ("POST", "/v1beta/models/m:embedContent"): "embeddings",
    ("POST", "/v1beta/models/m:batchEmbedContents"): "embeddings",
    ("GET", "/v1beta/models"): "models",
    ("GET", "/v1/models/gemini-2.5-flash"): "models",
    ("POST", CHAT): "chat",
    ("POST", "/v1beta/openai/embeddings"): "embeddings",
    ("GET", "/v1beta/openai/models"): "models",
    ("GET", "/v1beta/openai/models/gemini-2.5-flash"): "models",
    ("GET", GENERATE): "unknown",
    ("post", GENERATE): "unknown",
    ("POST", f"{GENERATE}/"): "unknown",
    ("POST", f"{GENERATE}\n"): "unknown",
    ("POST", "/v1beta/models/m:GenerateContent"): "unknown",
    ("POST", "/v1beta/models/m:generatecontent"): "unknown",
    ("POST", "/v1beta/models/m:generateContent:generateContent"): "unknown",
    ("POST", "/v1beta/models/m%253AgenerateContent"): "unknown",
    ("POST", "/v1beta/models/%6d:generateContent"): "unknown",
    ("POST", "/v1beta/models/a%2Fb:generateContent"): "unknown",
    ("POST", "/v1beta/models/..:generateContent"): "unknown",
    ("POST", "/v1beta/models/mö:generateContent"): "unknown",
    ("POST", "/v1beta/models//m:generateContent"): "unknown",
    ("POST", "/v1beta/models/m:batchGenerateContent"): "unknown",
    ("POST", "/v1beta/models/m:predict"): "unknown",
    ("POST", "/v1beta/tunedModels/m:generateContent"): "unknown",
    ("GET", "/v1beta/tunedModels"): "unknown",
    ("POST", "/v1beta2/models/m:generateContent"): "unknown",
    ("POST", "/models/m:generateContent"): "unknown",
    ("POST", "/v1beta/cachedContents"): "unknown",
    ("POST", "/v1beta/openai/completions"): "unknown",
    ("POST", "/v1beta/openai/responses"): "unknown",
    ("POST", "/v1/chat/completions"): "unknown",
    ("POST", "/v1beta/openai/models"): "unknown",
    ("GET", "/v1beta/openai/models/.."): "unknown",
    ("GET", "/"): "unknown",
    ("GET", ""): "unknown",
}


def facts_of(reading):
    """Return what a reading says beside the prompt's texts."""
    return {name: value for name, value in asdict(reading).items() if name not in {"prompt", "seen_input_tokens"}}


def request(path, body=None, *, query="", headers=()):
    return Request("POST", path, headers, json.dumps(body).encode(), body, query)


def refusal_of(call):
    with pytest.raises(MalformedRequestError) as refused:
        GEMINI.read(call)
    return refused.value.message


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert GEMINI.operation(*call) == operation
    if operation == "unknown":
        assert GEMINI.read(Request(call[0], call[1], ())).model is None


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_a_request_is_read_as_its_sample_says(sample):
    call = request(f"/v1beta/models/{MODEL}:{sample['action']}", sample["body"])
    if "refused" in sample:
        assert refusal_of(call) == sample["refused"]
    else:
        expected = Reading(OPERATION.get(sample["action"], "chat"), model=MODEL)
        assert facts_of(GEMINI.read(call)) == facts_of(expected) | sample["reading"]


@pytest.mark.parametrize(
    ("path", "model"), {"/v1beta/models": "", "/v1/models/gemini-2.5-pro": "gemini-2.5-pro"}.items()
)
def test_a_models_listing_asks_for_no_answer_and_for_the_model_of_its_path(path, model):
    assert GEMINI.read(Request("GET", path, ())) == Reading("models", model=model, output_tokens=0)


def test_a_body_that_may_be_read_as_something_else_than_json_is_refused():
    call = request(GENERATE, {}, headers=(("content-type", "text/plain"),))
    assert refusal_of(call) == "The Content-Type of this request must be application/json in UTF-8."
    assert refusal_of(request(GENERATE, [])) == "The request body must be a JSON object."


ONCE = "The parameter 'alt' must be given once, and be written like this."
NOT_HERE = "The parameter '{}' is not accepted in the query of this request."
QUERIES = {
    (GENERATE, ""): None,
    (GENERATE, "key=k"): None,
    (GENERATE, "alt=json&prettyPrint=false"): None,
    (GENERATE, "%24alt=json"): None,
    (STREAM, "alt=sse"): None,
    (STREAM, "$alt=sse&key=k"): None,
    (CHAT, "key=k"): None,
    (GENERATE, "alt=sse"): "Invalid value for 'alt': expected json.",
    (STREAM, "alt=proto"): "Invalid value for 'alt': expected json or sse.",
    (STREAM, "alt=SSE"): "Invalid value for 'alt': expected json or sse.",
    (STREAM, "alt=sse&alt=json"): ONCE,
    (STREAM, "Alt=sse"): ONCE,
    (STREAM, "alt=sse&$alt=json"): "The parameters 'alt' and '$alt' are one; give one of them.",
    (STREAM, "fields=candidates"): NOT_HERE.format("fields"),
    (STREAM, "%24fields=candidates"): NOT_HERE.format("$fields"),
    (GENERATE, "access_token=x"): NOT_HERE.format("access_token"),
    (GENERATE, "$httpMethod=DELETE"): NOT_HERE.format("$httpMethod"),
    (GENERATE, "callback=f"): NOT_HERE.format("callback"),
    (CHAT, "fields=choices"): NOT_HERE.format("fields"),
    (GENERATE, "model=other"): "The parameter 'model' does not belong into the query of this request.",
}


@pytest.mark.parametrize(("call", "message"), QUERIES.items(), ids=str)
def test_a_query_is_read_as_google_reads_it_or_refused(call, message):
    path, query = call
    known = request(path, {"model": "m"} if path == CHAT else {}, query=query)
    if message is None:
        assert GEMINI.read(known).operation == "chat"
    else:
        assert refusal_of(known) == message


def test_a_selection_of_the_answers_fields_is_refused_because_it_could_hide_the_usage():
    call = request(GENERATE, {}, headers=(("x-goog-fieldmask", "candidates"),))
    assert refusal_of(call) == "The header 'x-goog-fieldmask' is not accepted: answers are read as a whole."


RESHAPED = {
    "nothing to do": ({"contents": []}, Reshaping(), {"contents": []}),
    "probabilities in every spelling": (
        {"generation_config": {"responseLogprobs": True, "logprobs": 3, "seed": 1}},
        Reshaping(frozenset({"logprobs", "logit_bias"})),
        {"generation_config": {"seed": 1}},
    ),
    "probabilities spelt with underscores": (
        {"generationConfig": {"response_logprobs": True}},
        Reshaping(frozenset({"logprobs"})),
        {"generationConfig": {}},
    ),
    "a limit is lowered in the spelling in which it is given": (
        {"generation_config": {"max_output_tokens": 5000}},
        Reshaping(cap={"output_tokens": 100}),
        {"generation_config": {"max_output_tokens": 100}},
    ),
    "a limit is added": (
        {"contents": []},
        Reshaping(cap={"output_tokens": 100}),
        {"contents": [], "generationConfig": {"maxOutputTokens": 100}},
    ),
    "a lower limit stays": (
        {"generationConfig": {"maxOutputTokens": 7}},
        Reshaping(cap={"output_tokens": 100}),
        {"generationConfig": {"maxOutputTokens": 7}},
    ),
    "a budget for thinking is part of the limit": (
        {"generationConfig": {"maxOutputTokens": 8000, "thinkingConfig": {"thinkingBudget": 1000, "x": 1}}},
        Reshaping(cap={"output_tokens": 4000}),
        {"generationConfig": {"maxOutputTokens": 3000, "thinkingConfig": {"thinkingBudget": 1000, "x": 1}}},
    ),
    "a large budget for thinking is lowered to half": (
        {"generationConfig": {"thinking_config": {"thinking_budget": 24000}}},
        Reshaping(cap={"output_tokens": 4000}),
        {"generationConfig": {"thinking_config": {"thinking_budget": 2000}, "maxOutputTokens": 2000}},
    ),
    "thinking that the model measures out stays": (
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}},
        Reshaping(cap={"output_tokens": 4000}),
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}, "maxOutputTokens": 4000}},
    ),
    "the limit is shared by the candidates that are left": (
        {"generationConfig": {"candidate_count": 8, "maxOutputTokens": 1000}},
        Reshaping(cap={"choices": 4, "output_tokens": 1000}),
        {"generationConfig": {"candidate_count": 4, "maxOutputTokens": 250}},
    ),
    "the default of one candidate stays unsaid": ({}, Reshaping(cap={"choices": 1}), {}),
}


@pytest.mark.parametrize(("body", "reshaping", "expected"), RESHAPED.values(), ids=RESHAPED)
def test_a_call_is_reshaped_and_the_given_body_left_as_it_was(body, reshaping, expected):
    before = copy.deepcopy(body)
    assert GEMINI.reshape(request(STREAM, body), reshaping) == expected
    assert body == before


def test_what_only_counts_or_embeds_has_nothing_to_lower():
    body: dict[str, object] = {"content": {}}
    call = request("/v1beta/models/m:embedContent", body)
    assert GEMINI.reshape(call, Reshaping(frozenset({"logprobs"}), {"output_tokens": 1})) is body


ASKED = {"model": "models/gemini-2.5-flash", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9, "n": 2}


def test_openais_words_are_read_as_openais_and_name_the_same_models():
    reading = GEMINI.read(request(CHAT, ASKED))
    assert (reading.operation, reading.model, reading.choices, reading.output_tokens) == ("chat", MODEL, 2, 18)
    assert reading.prompt.user == ("Hi",)


@pytest.mark.parametrize("name", ["extra_body", "google", "maxTokens", "Model"])
def test_openais_words_with_googles_own_fields_among_them_are_refused(name):
    assert refusal_of(request(CHAT, {**ASKED, name: {}})) == f"The field '{name}' is not accepted in this request."


def test_openais_words_are_reshaped_and_asked_for_usage_as_openais():
    capped = GEMINI.reshape(
        request(CHAT, {**ASKED, "logprobs": True}), Reshaping(frozenset({"logprobs"}), {"choices": 1})
    )
    assert capped == {**ASKED, "n": 1}
    asking = GEMINI.asking_for_usage(request(CHAT, {**ASKED, "stream": True}))
    assert asking == {**ASKED, "stream": True, "stream_options": {"include_usage": True}}
    assert GEMINI.asking_for_usage(request(STREAM, {})) is None
    assert GEMINI.only_reports_usage(b'data: {"choices":[],"usage":{"prompt_tokens":1}}\n\n')
    assert not GEMINI.only_reports_usage(b'data: {"candidates":[],"usageMetadata":{}}\r\n\r\n')


@pytest.mark.parametrize(
    ("path", "header"),
    [
        (GENERATE, ("x-goog-api-key", "k")),
        (CHAT, ("authorization", "Bearer k")),
        (f"/base{CHAT}", ("authorization", "Bearer k")),
    ],
)
def test_the_fences_own_key_goes_up_where_the_interface_reads_it(path, header):
    assert GEMINI.credential_headers("k", Outgoing("POST", "api.test", path, "", (), b"")) == (header,)
