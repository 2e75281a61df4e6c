"""What a request to Bedrock is read as, and what becomes of it when it is reshaped."""

import base64
import json

import pytest

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError, Request
from modelfence.core.policy import Reshaping
from modelfence.dialects.bedrock.api import Bedrock

DIALECT = Bedrock()
CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1%3A0"
JSON = (("content-type", "application/json"),)


def request(body, action="converse", model=CLAUDE, *, query=""):
    return Request("POST", f"/model/{model}/{action}", JSON, b"", body, query)


def read(body, action="converse", model=CLAUDE) -> Reading:
    return DIALECT.read(request(body, action, model))


def reshaped(body, action="converse", model=CLAUDE, *, remove=(), **cap):
    return DIALECT.reshape(request(body, action, model), Reshaping(frozenset(remove), cap))


PATHS = {
    "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse": ("chat", "anthropic.claude-3-haiku-20240307-v1:0"),
    "/model/anthropic.claude-3-haiku-20240307-v1:0/converse-stream": ("chat", "anthropic.claude-3-haiku-20240307-v1:0"),
    "/model/us.anthropic.claude-opus-4-v1%3a0/invoke": ("chat", "us.anthropic.claude-opus-4-v1:0"),
    "/model/us-gov.anthropic.claude-x/invoke": ("chat", "us-gov.anthropic.claude-x"),
    "/model/global.amazon.nova-2-lite-v1%3A0/invoke": ("chat", "global.amazon.nova-2-lite-v1:0"),
    "/model/amazon.nova-pro-v1%3A0/invoke-with-response-stream": ("chat", "amazon.nova-pro-v1:0"),
    "/model/amazon.titan-text-lite-v1/invoke": ("chat", "amazon.titan-text-lite-v1"),
    "/model/amazon.titan-tg1-large/invoke": ("chat", "amazon.titan-tg1-large"),
    "/model/meta.llama3-1-70b-instruct-v1%3A0/invoke": ("chat", "meta.llama3-1-70b-instruct-v1:0"),
    "/model/mistral.mistral-large-2407-v1%3A0/invoke": ("chat", "mistral.mistral-large-2407-v1:0"),
    "/model/cohere.command-r-plus-v1%3A0/invoke": ("chat", "cohere.command-r-plus-v1:0"),
    "/model/amazon.titan-embed-text-v2%3A0/invoke": ("embeddings", "amazon.titan-embed-text-v2:0"),
    "/model/cohere.embed-multilingual-v3/invoke": ("embeddings", "cohere.embed-multilingual-v3"),
    "/model/openai.gpt-oss-120b-1%3A0/converse": ("chat", "openai.gpt-oss-120b-1:0"),
    "/model/anthropic.claude-x/count-tokens": ("tokens", "anthropic.claude-x"),
}
UNKNOWN = [
    ("POST", "/model/openai.gpt-oss-120b-1%3A0/invoke"),
    ("POST", "/model/amazon.nova-canvas-v1%3A0/invoke"),
    ("POST", "/model/amazon.nova-sonic-v1%3A0/invoke"),
    ("POST", "/model/amazon.nova-2-multimodal-embeddings-v1%3A0/invoke"),
    ("POST", "/model/amazon.titan-image-generator-v2%3A0/invoke"),
    ("POST", "/model/cohere.rerank-v3-5%3A0/invoke"),
    ("POST", "/model/stability.sd3-large-v1%3A0/invoke"),
    ("POST", "/model/cohere.embed-english-v3/invoke-with-response-stream"),
    ("POST", "/model/evil.anthropic.claude-x/invoke"),
    ("POST", "/model/Anthropic.claude-x/invoke"),
    ("POST", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprompt%2Fabc/converse"),
    ("POST", "/model/arn:aws:bedrock:us-east-1:1:prompt/abc/converse"),
    ("POST", "/model/anthropic.claude-x/invoke-with-bidirectional-stream"),
    ("POST", "/model/anthropic.claude-x/Converse"),
    ("POST", "/model/anthropic.claude-x/converse/"),
    ("POST", "/model/../converse"),
    ("POST", "/model/.x/converse"),
    ("POST", "/model//converse"),
    ("POST", "/model/a%25b/converse"),
    ("GET", "/model/anthropic.claude-x/converse"),
    ("POST", "/guardrail/g/version/1/apply"),
    ("POST", "/guardrail-checks/invoke"),
    ("POST", "/async-invoke"),
    ("GET", "/async-invoke"),
    ("POST", "/model/anthropic.claude-x/converse\n"),
]


@pytest.mark.parametrize(("path", "expected"), PATHS.items(), ids=PATHS)
def test_a_path_names_the_operation_and_the_model(path, expected):
    operation, model = expected
    assert DIALECT.operation("POST", path) == operation
    reading = DIALECT.read(Request("POST", path, JSON, b"", {}))
    assert (reading.operation, reading.model) == (operation, model)
    assert reading.stream is ("stream" in path)


@pytest.mark.parametrize(("method", "path"), UNKNOWN)
def test_any_other_path_is_unknown(method, path):
    assert DIALECT.operation(method, path) == "unknown"
    assert DIALECT.read(Request(method, path, JSON, b"", {})).model is None


def test_all_that_the_facts_ask_for_is_read():
    reading = read(
        {
            "messages": [{"role": "user", "content": [{"text": "a" * 40}]}],
            "system": [{"text": "b" * 20}, {"cachePoint": {"type": "default"}}],
            "inferenceConfig": {"maxTokens": 500, "temperature": 0.5},
            "toolConfig": {"tools": [{"toolSpec": {"name": "t", "inputSchema": {"json": {}}}}, {"cachePoint": {}}]},
            "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 400}, "top_k": 5},
        },
        "converse-stream",
    )
    assert (reading.stream, reading.tools, reading.reasoning, reading.choices) == (True, 1, True, 1)
    assert (reading.logprobs, reading.logit_bias, reading.output_tokens) == (False, 0, 500)
    assert 15 <= reading.input_tokens <= 32


NOVA, TITAN, LLAMA = "amazon.nova-lite-v1%3A0", "amazon.titan-text-express-v1", "meta.llama3-8b-instruct-v1%3A0"
MISTRAL, COHERE, GPT = "mistral.mistral-7b-instruct-v0%3A2", "cohere.command-text-v14", "openai.gpt-oss-20b-1%3A0"
LIMITS = {
    "converse": ({"inferenceConfig": {"maxTokens": 7}}, "converse", CLAUDE, 7),
    "no limit": ({"messages": []}, "converse", CLAUDE, None),
    "nulls": ({"inferenceConfig": {"maxTokens": None}, "additionalModelRequestFields": None}, "converse", CLAUDE, None),
    "a larger one among the model's own": ({"inferenceConfig": {"maxTokens": 7}, "additionalModelRequestFields": {"max_tokens": 9}}, "converse", CLAUDE, 9),
    "a smaller one among the model's own": ({"inferenceConfig": {"maxTokens": 7}, "additionalModelRequestFields": {"max_tokens": 3}}, "converse", CLAUDE, 7),
    "only the model's own": ({"additionalModelRequestFields": {"max_tokens": 3}}, "converse", CLAUDE, 3),
    "one that another family reads": ({"additionalModelRequestFields": {"max_gen_len": 3}}, "converse", CLAUDE, None),
    "one that nobody is known to read": ({"additionalModelRequestFields": {"max_tokens": 3}}, "converse", GPT, None),
    "a larger one of another family": ({"inferenceConfig": {"maxTokens": 7}, "additionalModelRequestFields": {"max_gen_len": 99}}, "converse", CLAUDE, 99),
    "nested as Nova has it": ({"additionalModelRequestFields": {"inferenceConfig": {"maxTokens": 9, "topK": 1}}}, "converse", NOVA, 9),
    "a thinking budget within it": ({"inferenceConfig": {"maxTokens": 9}, "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 8}}}, "converse", CLAUDE, 9),
    "a thinking budget beyond it": ({"inferenceConfig": {"maxTokens": 9}, "additionalModelRequestFields": {"reasoning_config": {"type": "enabled", "budget_tokens": 20}}}, "converse", CLAUDE, 29),
    "several answers": ({"inferenceConfig": {"maxTokens": 9}, "additionalModelRequestFields": {"num_generations": 3}}, "converse", COHERE, 27),
    "Claude": ({"max_tokens": 9, "messages": []}, "invoke", CLAUDE, 9),
    "Claude, and another family's field": ({"max_gen_len": 9, "messages": []}, "invoke", CLAUDE, None),
    "Claude's text completions": ({"max_tokens_to_sample": 9, "prompt": "hi"}, "invoke", CLAUDE, 9),
    "Claude thinking in turns": ({"max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 9}}, "invoke", CLAUDE, 18),
    "Nova": ({"inferenceConfig": {"maxTokens": 9}}, "invoke", NOVA, 9),
    "Nova, of two the larger": ({"inferenceConfig": {"maxTokens": 9, "max_new_tokens": 12}}, "invoke-with-response-stream", NOVA, 12),
    "Titan": ({"inputText": "hi", "textGenerationConfig": {"maxTokenCount": 9}}, "invoke", TITAN, 9),
    "Llama": ({"prompt": "hi", "max_gen_len": 9}, "invoke", LLAMA, 9),
    "Mistral": ({"prompt": "hi", "max_tokens": 9}, "invoke", MISTRAL, 9),
    "Cohere, several": ({"prompt": "hi", "max_tokens": 9, "num_generations": 5}, "invoke", COHERE, 45),
    "embeddings": ({"inputText": "hi"}, "invoke", "amazon.titan-embed-text-v1", 0),
    "a count": ({"input": {}}, "count-tokens", CLAUDE, 0),
}  # fmt: skip


@pytest.mark.parametrize(("body", "action", "model", "expected"), LIMITS.values(), ids=LIMITS)
def test_the_largest_limit_that_the_model_may_read_counts(body, action, model, expected):
    assert read(body, action, model).output_tokens == expected


REASONING = {
    "thinking": ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, True),
    "thinking as it sees fit": ({"thinking": {"type": "adaptive"}}, True),
    "turned off": ({"thinking": {"type": "disabled"}}, False),
    "Nova's": ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, True),
    "a word": ({"reasoning_config": "high"}, True),
    "none": ({"reasoning_config": "none"}, False),
    "an effort": ({"reasoning_effort": "low"}, True),
    "no effort": ({"reasoning_effort": "none"}, False),
    "null": ({"thinking": None}, False),
}


@pytest.mark.parametrize(("fields", "expected"), REASONING.values(), ids=REASONING)
def test_reasoning_is_seen_in_every_familys_words(fields, expected):
    assert read({"additionalModelRequestFields": fields}).reasoning is expected
    assert read(fields, "invoke").reasoning is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"logprobs": True}, True),
        ({"logprobs": False}, False),
        ({"logprobs": 0}, True),
        ({"top_logprobs": 3}, True),
        ({"return_likelihoods": "ALL"}, True),
        ({"return_likelihoods": "NONE"}, False),
    ],
)
def test_probabilities_are_seen_in_every_familys_words(fields, expected):
    assert read({"additionalModelRequestFields": fields}).logprobs is expected
    assert read(fields, "invoke", COHERE).logprobs is expected


def test_tokens_to_count_are_read_from_either_kind_of_body():
    words = [{"role": "user", "content": [{"text": "a" * 400}]}]
    assert 100 <= read({"input": {"converse": {"messages": words}}}, "count-tokens").input_tokens <= 110
    body = base64.b64encode(json.dumps({"prompt": "a" * 400}).encode()).decode()
    assert 100 <= read({"input": {"invokeModel": {"body": body}}}, "count-tokens").input_tokens <= 110


def test_pictures_documents_and_tools_count():
    picture = {"image": {"format": "png", "source": {"bytes": "aGk="}}}
    stored = {"document": {"format": "pdf", "name": "x", "source": {"s3Location": {"uri": "s3://b/k"}}}}
    for block in (picture, stored):
        assert read({"messages": [{"role": "user", "content": [block]}]}).input_tokens >= 765
    shown = {"toolConfig": {"tools": [{"toolSpec": {"name": "t", "description": "d" * 400}}]}}
    assert read(shown).input_tokens >= 100
    result = {"toolResult": {"toolUseId": "t", "content": [{"json": {"rows": ["r" * 400]}}]}}
    assert read({"messages": [{"role": "user", "content": [result]}]}).input_tokens >= 100


MALFORMED = {
    "a limit in another case": ({"inferenceConfig": {"MaxTokens": 5}}, "converse", CLAUDE, "'MaxTokens'"),
    "a limit in another spelling": ({"inferenceConfig": {"max_tokens": 5}}, "converse", CLAUDE, "'max_tokens'"),
    "a holder in another spelling": ({"inference_config": {"maxTokens": 5}}, "converse", CLAUDE, "'inference_config'"),
    "the model's own in another spelling": ({"additionalModelRequestFields": {"maxTokens": 5}}, "converse", CLAUDE, "'maxTokens'"),
    "two spellings": ({"additionalModelRequestFields": {"reasoning_config": {}, "reasoningConfig": {}}}, "converse", CLAUDE, "say the same"),
    "a budget in another spelling": ({"thinking": {"type": "enabled", "budgetTokens": 5}}, "invoke", CLAUDE, "'budgetTokens'"),
    "Claude's limit in another spelling": ({"maxTokens": 5}, "invoke", CLAUDE, "'maxTokens'"),
    "a limit that is text": ({"inferenceConfig": {"maxTokens": "5"}}, "converse", CLAUDE, "'inferenceConfig.maxTokens'"),
    "a limit that is a decimal": ({"max_tokens": 5.0}, "invoke", CLAUDE, "'max_tokens'"),
    "no room at all": ({"max_tokens": 0}, "invoke", CLAUDE, "'max_tokens'"),
    "a holder that is a list": ({"inferenceConfig": []}, "converse", CLAUDE, "'inferenceConfig'"),
    "thinking that is a number": ({"thinking": 5}, "invoke", CLAUDE, "'thinking'"),
    "a budget that is a list": ({"thinking": {"budget_tokens": []}}, "invoke", COHERE, "'thinking.budget_tokens'"),
    "another family's limit that is text": ({"additionalModelRequestFields": {"max_gen_len": "5"}}, "converse", CLAUDE, "max_gen_len'"),
    "messages that are an object": ({"messages": {}}, "converse", CLAUDE, "'messages'"),
    "a prompt that is a list": ({"prompt": []}, "invoke", LLAMA, "'prompt'"),
    "another model": ({"modelId": "anthropic.claude-opus"}, "converse", CLAUDE, "another model"),
    "another model in a body of the model's": ({"model": "claude-opus"}, "invoke", CLAUDE, "another model"),
    "another model further down": ({"additionalModelRequestFields": {"model": "x"}}, "converse", CLAUDE, "'model'"),
    "messages in two places": ({"additionalModelRequestFields": {"messages": []}}, "converse", CLAUDE, "'messages'"),
    "a stored prompt": ({"promptVariables": {"a": {"text": "b"}}}, "converse", CLAUDE, "promptVariables"),
    "a tool that asks another model": ({"tools": [{"name": "t", "model": "claude-opus"}]}, "invoke", CLAUDE, "'tools.model'"),
    "fallbacks": ({"fallbacks": []}, "invoke", CLAUDE, "fallbacks"),
    "bias that is a list": ({"logit_bias": []}, "invoke", COHERE, "'logit_bias'"),
    "a count of no base64": ({"input": {"invokeModel": {"body": "%"}}}, "count-tokens", CLAUDE, "base64"),
    "no object": ([], "converse", CLAUDE, "JSON object"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "action", "model", "named"), MALFORMED.values(), ids=MALFORMED)
def test_what_could_be_read_in_two_ways_is_refused_naming_it(body, action, model, named):
    with pytest.raises(MalformedRequestError) as caught:
        read(body, action, model)
    assert named in caught.value.message


def test_a_model_in_the_query_is_refused():
    with pytest.raises(MalformedRequestError):
        DIALECT.read(request({}, query="model=other"))


def test_the_models_name_may_be_repeated_as_it_stands_in_the_path():
    name = "us.anthropic.claude-sonnet-4-20250514-v1:0"
    assert read({"modelId": name}).model == name


CAPPED = {
    "added": ({}, "converse", CLAUDE, {"inferenceConfig": {"maxTokens": 100}}),
    "added beside others": ({"inferenceConfig": {"topP": 1}}, "converse", CLAUDE, {"inferenceConfig": {"topP": 1, "maxTokens": 100}}),
    "lowered": ({"inferenceConfig": {"maxTokens": 500}}, "converse", CLAUDE, {"inferenceConfig": {"maxTokens": 100}}),
    "low already": ({"inferenceConfig": {"maxTokens": 5}}, "converse", CLAUDE, {"inferenceConfig": {"maxTokens": 5}}),
    "lowered wherever it stands": (
        {"inferenceConfig": {"maxTokens": 5}, "additionalModelRequestFields": {"max_tokens": 500, "top_k": 1}}, "converse", CLAUDE,
        {"inferenceConfig": {"maxTokens": 5}, "additionalModelRequestFields": {"max_tokens": 100, "top_k": 1}},
    ),
    "added where only another family's stands": (
        {"additionalModelRequestFields": {"max_gen_len": 5}}, "converse", CLAUDE,
        {"additionalModelRequestFields": {"max_gen_len": 5}, "inferenceConfig": {"maxTokens": 100}},
    ),
    "no room to think": ({"max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 4000}}, "invoke", CLAUDE, {"max_tokens": 100}),
    "Claude": ({"messages": []}, "invoke", CLAUDE, {"messages": [], "max_tokens": 100}),
    "Claude's text completions": ({"prompt": "hi"}, "invoke", CLAUDE, {"prompt": "hi", "max_tokens_to_sample": 100}),
    "Nova": ({}, "invoke", NOVA, {"inferenceConfig": {"maxTokens": 100}}),
    "Titan": ({"inputText": "x"}, "invoke", TITAN, {"inputText": "x", "textGenerationConfig": {"maxTokenCount": 100}}),
    "Llama": ({"prompt": "x"}, "invoke", LLAMA, {"prompt": "x", "max_gen_len": 100}),
    "several answers": ({"max_tokens": 500, "num_generations": 4}, "invoke", COHERE, {"max_tokens": 25, "num_generations": 4}),
    "embeddings": ({"inputText": "x"}, "invoke", "amazon.titan-embed-text-v1", {"inputText": "x"}),
    "a count": ({"input": {}}, "count-tokens", CLAUDE, {"input": {}}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "action", "model", "expected"), CAPPED.values(), ids=CAPPED)
def test_a_cap_is_put_where_the_model_reads_it(body, action, model, expected):
    assert reshaped(body, action, model, output_tokens=100) == expected


def test_a_thinking_budget_is_fitted_into_what_is_left():
    body = {"max_tokens": 50_000, "thinking": {"type": "enabled", "budget_tokens": 40_000}}
    shaped = reshaped(body, "invoke", output_tokens=4096)
    assert shaped == {"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048}}
    assert body["max_tokens"] == 50_000


def test_what_tells_probabilities_is_removed_in_every_familys_words():
    fields = {"logprobs": True, "top_logprobs": 3, "return_likelihoods": "ALL", "logit_bias": {"1": 5}, "k": 1}
    remove = ["logprobs", "logit_bias"]
    assert reshaped(fields, "invoke", COHERE, remove=remove) == {"k": 1}
    further = {"additionalModelRequestFields": fields}
    assert reshaped(further, model=GPT, remove=remove) == {"additionalModelRequestFields": {"k": 1}}


def test_answers_are_capped_and_more_of_them_than_tokens_refused():
    assert reshaped({"num_generations": 5}, "invoke", COHERE, choices=2) == {"num_generations": 2}
    with pytest.raises(MalformedRequestError) as caught:
        reshaped({"num_generations": 5}, "invoke", COHERE, output_tokens=3)
    assert caught.value.status == 403


def test_the_prompt_holds_who_said_what():
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    prompt = read(
        {
            "system": [{"text": "be terse"}],
            "messages": [
                {"role": "user", "content": [{"text": "weather?"}, {"image": {"source": {"bytes": "aGk="}}}]},
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "t1", "name": "look", "input": {"in": "Oslo"}}}],
                },
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "t1", "content": [{"json": {"sky": "grey"}}]}}],
                },
                {"role": "assistant", "content": [{"text": "Grey."}]},
                {"role": "user", "content": [{"text": "and"}, {"text": "now?"}]},
            ],
            "outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": json.dumps(schema)}}}},
        }
    ).prompt
    assert prompt.system == ("be terse",)
    assert prompt.user == ("weather?", "and\nnow?")
    assert prompt.replies == ("look\nOslo", "grey", "Grey.")
    assert prompt.schema == ("answer",)


PROMPTS = {
    "Claude": ({"system": "s", "messages": [{"role": "user", "content": "u"}]}, "invoke", CLAUDE, (("s",), ("u",))),
    "Llama": ({"prompt": "p"}, "invoke", LLAMA, ((), ("p",))),
    "Titan": ({"inputText": "p"}, "invoke", TITAN, ((), ("p",))),
    "Cohere": ({"message": "m", "preamble": "s", "chat_history": [{"role": "USER", "message": "u"}]}, "invoke", "cohere.command-r-v1%3A0", (("s",), ("u", "m"))),
    "texts to embed": ({"texts": ["a", "b"]}, "invoke", "cohere.embed-english-v3", ((), ("a\nb",))),
    "a count": ({"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "u"}]}]}}}, "count-tokens", CLAUDE, ((), ("u",))),
}  # fmt: skip


@pytest.mark.parametrize(("body", "action", "model", "expected"), PROMPTS.values(), ids=PROMPTS)
def test_the_prompt_is_found_where_each_family_has_it(body, action, model, expected):
    prompt = read(body, action, model).prompt
    assert (prompt.system, prompt.user) == expected
