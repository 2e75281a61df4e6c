"""Cohere's API for the contract test."""

from hypothesis import strategies as st
from tests.dialects.profile import Profile, model_in_body, values

from modelfence.dialects.cohere.api import Cohere

NAMES = [
    "model", "messages", "stream", "max_tokens", "thinking", "type", "token_budget", "logprobs", "tools", "documents",
    "response_format", "message", "chat_history", "preamble", "conversation_id", "connectors", "tool_results", "texts",
    "images", "inputs", "content", "query", "text", "tokens", "role", "tool_calls", "tool_plan", "Model", "Stream",
]  # fmt: skip
TEXTS = st.lists(st.text(), max_size=3)
BODIES = st.builds(
    lambda likely, rest: rest | likely,
    st.fixed_dictionaries(
        {"model": st.text(min_size=1)},
        optional={
            "messages": st.lists(st.fixed_dictionaries({"content": values(NAMES)}), max_size=3),
            "message": st.text(),
            "chat_history": st.lists(st.fixed_dictionaries({"message": values(NAMES)}), max_size=3),
            "stream": st.booleans(),
            "max_tokens": st.integers(1, 9),
            "thinking": st.fixed_dictionaries({"type": st.just("enabled"), "token_budget": st.integers(1, 10**6)}),
            "logprobs": st.booleans(),
            "texts": TEXTS,
            "documents": TEXTS,
            "query": st.text(),
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=2),
)


def model_of(path: str, raw: bytes) -> str:
    """Return the model in the body; what is called without one names none."""
    return "" if path.startswith(("/v1/embed-jobs", "/v1/datasets", "/v1/finetuning")) else model_in_body(path, raw)


PROFILE = Profile(
    Cohere(),
    [
        ("POST", "/v2/chat"),
        ("POST", "/v1/chat"),
        ("POST", "/v2/embed"),
        ("POST", "/v1/rerank"),
        ("POST", "/v1/tokenize"),
        ("POST", "/v1/detokenize"),
        ("GET", "/v1/embed-jobs"),
        ("GET", "/v1/datasets"),
        ("GET", "/v1/finetuning/finetuned-models"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/m-1"),
        ("POST", "/v1/classify"),
    ],
    BODIES,
    NAMES,
    model_of=model_of,
)
