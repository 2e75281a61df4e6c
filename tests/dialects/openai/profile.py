"""OpenAI's API for the contract test."""

from hypothesis import strategies as st
from tests.dialects.profile import Profile, values

from modelfence.dialects.openai.api import OpenAI

NAMES = [
    "model", "messages", "prompt", "input", "stream", "n", "best_of", "logprobs", "top_logprobs", "logit_bias",
    "tools", "functions", "reasoning", "reasoning_effort", "effort", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "include", "instructions", "content", "role", "text", "type", "tool_calls", "Model", "N",
]  # fmt: skip
BODIES = st.builds(
    lambda likely, rest: rest | likely,
    st.fixed_dictionaries(
        {"model": st.text(min_size=1)},
        optional={
            "messages": st.lists(st.fixed_dictionaries({"content": values(NAMES)}), max_size=3),
            "prompt": st.text() | st.lists(st.text(), max_size=3) | st.lists(st.integers(0, 99), max_size=3),
            "stream": st.booleans(),
            "n": st.integers(1, 9),
            "max_tokens": st.integers(1, 9),
            "max_output_tokens": st.integers(1, 9),
            "logit_bias": st.dictionaries(st.text(), st.integers(-100, 100), max_size=3),
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=3),
)
PROFILE = Profile(
    OpenAI(),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("GET", "/v1/models"),
        ("POST", "/v1/else"),
    ],
    BODIES,
    NAMES,
)
