import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from modelfence.core.call import Reading
from modelfence.core.decision import Effect
from modelfence.core.dialect import MalformedRequestError, Outgoing, Refusal, Request
from modelfence.core.policy import Reshaping
from modelfence.dialects.azure.api import Azure
from modelfence.dialects.openai.api import OpenAI

AZURE = Azure()
SAMPLES = json.loads((Path(__file__).parent / "azure" / "requests.json").read_text())
DEPLOYED = "/openai/deployments/gpt-4o"
OPERATIONS = {
    ("POST", f"{DEPLOYED}/chat/completions"): "chat",
    ("POST", f"{DEPLOYED}/completions"): "completion",
    ("POST", f"{DEPLOYED}/embeddings"): "embeddings",
    ("POST", "/openai/deployments/GPT_4o.2024-05-13/chat/completions"): "chat",
    ("POST", "/openai/v1/chat/completions"): "chat",
    ("POST", "/openai/v1/completions"): "completion",
    ("POST", "/openai/v1/responses"): "responses",
    ("POST", "/openai/v1/embeddings"): "embeddings",
    ("POST", "/openai/responses"): "responses",
    ("GET", "/openai/v1/models"): "models",
    ("GET", "/openai/v1/models/gpt-4o"): "models",
    ("GET", "/openai/models"): "models",
    ("GET", "/openai/models/gpt-4o"): "models",
    ("GET", "/openai/deployments"): "models",
    ("GET", "/openai/deployments/gpt-4o"): "models",
    ("GET", f"{DEPLOYED}/chat/completions"): "unknown",
    ("PUT", "/openai/deployments/gpt-4o"): "unknown",
    ("DELETE", "/openai/deployments/gpt-4o"): "unknown",
    ("POST", f"{DEPLOYED}/responses"): "unknown",
    ("POST", f"{DEPLOYED}/images/generations"): "unknown",
    ("POST", f"{DEPLOYED}/extensions/chat/completions"): "unknown",
    ("POST", f"{DEPLOYED}/chat/completions/"): "unknown",
    ("POST", f"{DEPLOYED}/chat/completions\n"): "unknown",
    ("POST", f"{DEPLOYED}//chat/completions"): "unknown",
    ("POST", "/openai/deployments/gpt%2D4o/chat/completions"): "unknown",
    ("POST", "/openai/deployments/a%2Fb/chat/completions"): "unknown",
    ("POST", "/openai/deployments/../chat/completions"): "unknown",
    ("POST", "/openai/deployments/a;b/chat/completions"): "unknown",
    ("POST", "/openai/deployments/gpt-4ö/chat/completions"): "unknown",
    ("POST", f"/openai/deployments/{'a' * 65}/chat/completions"): "unknown",
    ("POST", "/openai/deployments//chat/completions"): "unknown",
    ("POST", "/openai/chat/completions"): "unknown",
    ("POST", "/v1/chat/completions"): "unknown",
    ("POST", "/OpenAI/v1/chat/completions"): "unknown",
    ("POST", "/openai/v1/responses/resp_1"): "unknown",
    ("GET", "/openai/models/.."): "unknown",
    ("GET", "/openai/models/a\n"): "unknown",
    ("POST", "/openai/files"): "unknown",
    ("GET", "/"): "unknown",
    ("GET", ""): "unknown",
}
QUERIES = {
    "": None,
    "api-version=2024-10-21": None,
    "api-version=preview&x=1": None,
    "api-version=1&api-version=2": "The parameter 'api-version' must be given once, and be written like this.",
    "API-Version=1": "The parameter 'api-version' must be given once, and be written like this.",
    "api-version=1&model=other": "The parameter 'model' does not belong into the query of this request.",
    "deployment=other": "The parameter 'deployment' does not belong into the query of this request.",
    "api-version=1&subscription-key=k": "Send the API key in the header 'api-key'.",
    "api-version=1&api%2Dkey=k": "Send the API key in the header 'api-key'.",
}


def facts_of(reading):
    """Return what a reading says beside the prompt's texts."""
    return {name: value for name, value in asdict(reading).items() if name not in {"prompt", "seen_input_tokens"}}


def request(path, body, *, query="api-version=2024-10-21", headers=()):
    return Request("POST", path, (("content-type", "application/json"), *headers), b"", body, query)


@pytest.mark.parametrize(("call", "operation"), OPERATIONS.items(), ids=str)
def test_a_path_is_known_exactly_or_not_at_all(call, operation):
    assert AZURE.operation(*call) == operation


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["name"])
def test_a_request_is_read_as_its_sample_says(sample):
    call = request(sample["path"], sample["body"])
    if "refused" in sample:
        with pytest.raises(MalformedRequestError) as refused:
            AZURE.read(call)
        assert (refused.value.message, refused.value.status) == (sample["refused"], 400)
    else:
        operation = AZURE.operation("POST", sample["path"])
        assert facts_of(AZURE.read(call)) == facts_of(Reading(operation)) | sample["reading"]


@pytest.mark.parametrize(("query", "refused"), QUERIES.items())
def test_the_query_may_name_a_version_and_nothing_that_chooses_a_model_or_a_key(query, refused):
    call = request(f"{DEPLOYED}/chat/completions", {"messages": []}, query=query)
    if refused is None:
        assert AZURE.read(call).model == "gpt-4o"
    else:
        with pytest.raises(MalformedRequestError, match=refused.replace(".", r"\.")):
            AZURE.read(call)


@pytest.mark.parametrize("path", ["/openai/v1/chat/completions", "/openai/threads"])
def test_a_key_that_only_azure_would_look_for_is_refused(path):
    call = request(path, {"model": "gpt-4o"}, headers=[("ocp-apim-subscription-key", "k")])
    with pytest.raises(MalformedRequestError, match="'api-key'"):
        AZURE.read(call)


def test_texts_of_the_prompt_are_seen_whichever_path_they_come_by():
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }
    for path in (f"{DEPLOYED}/chat/completions", "/openai/v1/chat/completions"):
        prompt = AZURE.read(request(path, body)).prompt
        assert (prompt.system, prompt.user) == (("Be brief.",), ("Hi",))


def test_what_a_data_source_has_azure_say_is_the_systems_text():
    sources = [{"type": "azure_search", "parameters": {"role_information": "You grade."}}, {"parameters": 1}, "x"]
    body = {"messages": [{"role": "system", "content": "Be brief."}], "data_sources": sources}
    prompt = AZURE.read(request(f"{DEPLOYED}/chat/completions", body)).prompt
    assert prompt.system == ("You grade.", "Be brief.")


def test_models_and_deployments_ask_for_no_answer_and_for_the_model_of_their_path():
    for path, model in {"/openai/models": "", "/openai/models/o3": "o3", "/openai/deployments/o3": "o3"}.items():
        assert AZURE.read(Request("GET", path, ())) == Reading("models", model=model, output_tokens=0)


def test_a_call_is_reshaped_as_openais_and_names_no_model_it_did_not_name():
    body = {"messages": [], "n": 4, "max_tokens": 900, "logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 1}}
    before = copy.deepcopy(body)
    reshaping = Reshaping(frozenset({"logprobs", "logit_bias"}), {"choices": 2, "output_tokens": 100})
    reshaped = AZURE.reshape(request(f"{DEPLOYED}/chat/completions", body), reshaping)
    assert reshaped == {"messages": [], "n": 2, "max_tokens": 50}
    assert body == before


def test_usage_is_asked_for_but_not_where_azure_can_not_be_asked():
    plain = {"messages": [], "stream": True}
    asked = AZURE.asking_for_usage(request(f"{DEPLOYED}/chat/completions", plain))
    assert asked == {**plain, "stream_options": {"include_usage": True}}
    assert AZURE.asking_for_usage(request("/openai/responses", plain)) is None
    own_data = {**plain, "data_sources": [{"type": "azure_search"}]}
    assert AZURE.asking_for_usage(request(f"{DEPLOYED}/chat/completions", own_data)) is None


def test_the_fences_own_key_goes_up_in_azures_header():
    outgoing = Outgoing("POST", "x.openai.azure.com", DEPLOYED, "", (), b"")
    assert AZURE.credential_headers("k-1", outgoing) == (("api-key", "k-1"),)
    assert AZURE.credential([("api-key", "k-1")]) == AZURE.credential([("authorization", "Bearer k-1")])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 503])
def test_a_refusal_says_its_status_as_the_code_and_has_openais_headers(status):
    refusal = Refusal(Effect.DENY, status, "No.", "call-7", retry_after_us=1_500_000)
    answer = AZURE.refuse(refusal)
    assert json.loads(answer.body) == {"error": {"code": str(status), "message": "No. (request id call-7)"}}
    assert answer.headers == (*OpenAI().refuse(refusal).headers, ("apim-request-id", "call-7"))


def test_azures_stream_is_counted_and_ended_behind_its_content_filter():
    reader = AZURE.usage_reader("chat", "text/event-stream")
    filtered = {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}
    words = {"id": "c-1", "model": "gpt-4o", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    for chunk in (filtered, words, words):
        reader.feed(f"data: {json.dumps(chunk)}\n\n".encode())
    assert reader.output_tokens == 2
    last, usage, done = reader.ending(with_usage=True, input_tokens=5).decode().split("\n\n")[:3]
    assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
    assert json.loads(usage.removeprefix("data: "))["usage"]["total_tokens"] == 7
    assert done == "data: [DONE]"
