"""Ollama's API for the contract test."""

import json

from hypothesis import strategies as st
from tests.dialects.profile import Profile, values

from modelfence.dialects.ollama.api import Ollama

NAMES = [
    "model", "messages", "prompt", "suffix", "system", "template", "context", "stream", "raw", "format", "images",
    "options", "num_predict", "logit_bias", "think", "tools", "logprobs", "top_logprobs", "input", "role", "content",
    "thinking", "tool_calls", "max_tokens", "n", "Model", "Options", "Num_Predict",
]  # fmt: skip
MODELS = ["m-1", "llama3:latest", "Library/Llama3:8B", "registry.ollama.ai/library/phi", "hf.co/a/B-1.5:Q4_K_M"]
BODIES = st.builds(
    lambda likely, rest: rest | likely,
    st.fixed_dictionaries(
        {"model": st.sampled_from(MODELS) | st.text(min_size=1)},
        optional={
            "messages": st.lists(st.fixed_dictionaries({"content": values(NAMES)}), max_size=3),
            "prompt": st.text(),
            "stream": st.booleans(),
            "think": st.booleans() | st.just("high") | st.integers(1, 10**6),
            "options": st.fixed_dictionaries({"num_predict": st.integers(-2, 10**7)}),
            "logprobs": st.booleans(),
            "max_tokens": st.integers(0, 10**7),
            "n": st.integers(1, 9),
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=2),
)


def model_of(_path: str, raw: bytes) -> str:
    """Return the model in the body, by the one name that stands for all its spellings."""
    name = str(json.loads(raw)["model"]).lower()
    for filled_in in ("registry.ollama.ai/library/", "registry.ollama.ai/", "library/"):
        name = name.removeprefix(filled_in)
    return name.removesuffix(":latest")


PROFILE = Profile(
    Ollama(),
    [
        ("POST", "/api/chat"),
        ("POST", "/api/generate"),
        ("POST", "/api/embed"),
        ("POST", "/api/embeddings"),
        ("POST", "/api/show"),
        ("GET", "/api/tags"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/api/pull"),
    ],
    BODIES,
    NAMES,
    model_of=model_of,
    stream_type="application/x-ndjson",
    stream_end=b"\n",
)
