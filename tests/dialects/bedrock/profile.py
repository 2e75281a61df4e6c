"""Bedrock's API for the contract test."""

from urllib.parse import unquote

from hypothesis import strategies as st
from tests.dialects.profile import Profile, values

from modelfence.dialects.bedrock.api import Bedrock

NAMES = [
    "messages", "system", "content", "role", "text", "image", "source", "bytes", "toolUse", "toolResult", "input", "json",
    "inferenceConfig", "maxTokens", "max_new_tokens", "toolConfig", "tools", "toolSpec", "cachePoint", "prompt", "n",
    "additionalModelRequestFields", "thinking", "reasoning_config", "type", "budget_tokens", "reasoning_effort",
    "max_tokens", "max_tokens_to_sample", "max_gen_len", "textGenerationConfig", "maxTokenCount", "inputText", "message",
    "chat_history", "preamble", "num_generations", "logprobs", "return_likelihoods", "logit_bias", "promptVariables",
    "outputConfig", "invokeModel", "converse", "body", "texts", "modelId", "model", "MaxTokens", "max-tokens",
]  # fmt: skip
LIMITS = st.integers(1, 9000)
THINKING = st.fixed_dictionaries(
    {"type": st.sampled_from(["enabled", "disabled"])}, optional={"budget_tokens": st.integers(0, 9000)}
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text() | st.lists(values(NAMES), max_size=2)}
    ),
    max_size=3,
)
FURTHER = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": LIMITS,
        "inferenceConfig": st.fixed_dictionaries({}, optional={"maxTokens": LIMITS, "max_new_tokens": LIMITS}),
        "textGenerationConfig": st.fixed_dictionaries({}, optional={"maxTokenCount": LIMITS}),
        "max_gen_len": LIMITS,
        "num_generations": st.integers(1, 5),
        "thinking": THINKING,
        "reasoning_config": THINKING,
        "logit_bias": st.dictionaries(st.text(), st.integers(-9, 9), max_size=2),
        "return_likelihoods": st.sampled_from(["NONE", "ALL"]),
        "tools": st.lists(values(NAMES), max_size=2),
    },
)
BODIES = st.builds(
    lambda asked, rest, likely: rest | likely | asked,
    st.fixed_dictionaries(
        {},
        optional={
            "messages": MESSAGES,
            "system": st.text() | st.lists(st.fixed_dictionaries({"text": st.text()}), max_size=2),
            "prompt": st.text(),
            "inputText": st.text(),
            "input": st.fixed_dictionaries({}, optional={"converse": st.fixed_dictionaries({"messages": MESSAGES})}),
            "additionalModelRequestFields": FURTHER,
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=1),
    FURTHER,
)


def model_in_path(path: str, _raw: bytes) -> str:
    """Return the model that the upstream reads."""
    return unquote(path.split("/")[2])


PROFILE = Profile(
    Bedrock(now_us=lambda: 1_790_000_000_000_000),
    [
        ("POST", "/model/m-1/converse"),
        ("POST", "/model/us.anthropic.m-1%3A0/converse-stream"),
        ("POST", "/model/anthropic.m-1/invoke"),
        ("POST", "/model/us.amazon.nova-lite-v1%3A0/invoke-with-response-stream"),
        ("POST", "/model/amazon.titan-text-express-v1/invoke"),
        ("POST", "/model/meta.llama3-8b-instruct-v1%3A0/invoke"),
        ("POST", "/model/mistral.m-1/invoke"),
        ("POST", "/model/cohere.command-text-v14/invoke"),
        ("POST", "/model/amazon.titan-embed-text-v2%3A0/invoke"),
        ("POST", "/model/cohere.embed-english-v3/invoke"),
        ("POST", "/model/m-1/count-tokens"),
        ("POST", "/model/m-1/invoke"),
        ("POST", "/guardrail/g-1/version/1/apply"),
    ],
    BODIES,
    NAMES,
    model_of=model_in_path,
    stream_type="application/vnd.amazon.eventstream",
    stream_end=b"",
)
