"""Gemini's API for the contract test."""

import re
from urllib.parse import unquote

from hypothesis import strategies as st
from tests.dialects.profile import Profile, model_in_body, values

from modelfence.dialects.gemini.api import Gemini

NAMES = [
    "model", "contents", "content", "systemInstruction", "system_instruction", "tools", "toolConfig", "requests",
    "generationConfig", "generation_config", "maxOutputTokens", "max_output_tokens", "candidateCount", "parts", "text",
    "role", "responseLogprobs", "logprobs", "thinkingConfig", "thinkingBudget", "thinking_budget", "includeThoughts",
    "responseSchema", "properties", "functionDeclarations", "functionCall", "inlineData", "data", "MaxOutputTokens",
    "generateContentRequest", "thoughtSignature", "n", "messages", "max_tokens", "input",
]  # fmt: skip
CONFIG = st.fixed_dictionaries(
    {},
    optional={
        "maxOutputTokens": st.integers(1, 5000),
        "candidate_count": st.integers(1, 8),
        "responseLogprobs": st.booleans(),
        "logprobs": st.integers(0, 5),
        "thinkingConfig": st.fixed_dictionaries({}, optional={"thinking_budget": st.integers(-1, 5000)}),
    },
)
PARTS = st.fixed_dictionaries({"text": st.text()})
CONTENTS = st.fixed_dictionaries({"role": st.sampled_from(["user", "model"]), "parts": PARTS | st.lists(PARTS)})
BODIES = st.builds(
    lambda likely, rest: rest | likely,
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.sampled_from(["m-1", "models/m-1", "other"]),
            "contents": CONTENTS | st.lists(CONTENTS, max_size=3),
            "content": CONTENTS,
            "requests": st.lists(st.fixed_dictionaries({"model": st.just("models/m-1"), "content": CONTENTS})),
            "generationConfig": CONFIG,
            "tools": st.lists(st.fixed_dictionaries({"functionDeclarations": st.lists(st.just({"name": "f"}))})),
            "stream": st.booleans(),
            "n": st.integers(1, 9),
            "max_tokens": st.integers(1, 9),
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=2),
)


def model_in_path_or_body(path: str, raw: bytes) -> str:
    """Return the model that the path names, or in OpenAI's words the body."""
    named = re.fullmatch(r"/v1\w*/models/([^:]+):\w+", unquote(path))
    return named[1] if named else model_in_body(path, raw).removeprefix("models/")


PROFILE = Profile(
    Gemini(),
    [
        ("POST", "/v1beta/models/m-1:generateContent"),
        ("POST", "/v1/models/m-1:streamGenerateContent"),
        ("POST", "/v1beta/models/m-1%3AcountTokens"),
        ("POST", "/v1beta/models/m-1:embedContent"),
        ("POST", "/v1alpha/models/m-1:batchEmbedContents"),
        ("GET", "/v1beta/models"),
        ("GET", "/v1beta/models/m-1"),
        ("POST", "/v1beta/openai/chat/completions"),
        ("POST", "/v1beta/openai/embeddings"),
        ("GET", "/v1beta/openai/models"),
        ("POST", "/v1beta/tunedModels/m-1:generateContent"),
    ],
    BODIES,
    NAMES,
    model_of=model_in_path_or_body,
    stream_end=b"\r\n\r\n",
    arrays=frozenset(("chat",)),
)
