"""Mistral's API for the contract test."""

import json

from hypothesis import strategies as st
from tests.dialects.profile import Profile, values

from modelfence.dialects.mistral.api import Mistral

AGENTS = "/v1/agents/completions"
NAMES = [
    "model", "agent_id", "messages", "prompt", "suffix", "input", "inputs", "stream", "n", "max_tokens", "logprobs",
    "top_logprobs", "prompt_logprobs", "top_prompt_logprobs", "logit_bias", "tools", "prompt_mode", "reasoning_effort",
    "prediction", "response_format", "content", "thinking", "resource", "role", "text", "type", "tool_calls",
    "max_completion_tokens", "Model", "N",
]  # fmt: skip
MESSAGES = st.lists(st.fixed_dictionaries({"content": values(NAMES)}), max_size=3)
BODIES = st.builds(
    lambda likely, rest: rest | likely,
    st.fixed_dictionaries(
        {},
        optional={
            "model": st.text(min_size=1),
            "agent_id": st.text(min_size=1),
            "messages": MESSAGES,
            "prompt": st.text(),
            "input": st.text() | st.lists(st.text(), max_size=3) | MESSAGES | st.lists(MESSAGES, max_size=2),
            "stream": st.booleans(),
            "n": st.integers(1, 9),
            "max_tokens": st.integers(1, 9),
            "prompt_logprobs": st.booleans(),
            "logit_bias": st.dictionaries(st.text(), st.integers(-100, 100), max_size=3),
        },
    ),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=2),
)


def model_or_agent(path: str, raw: bytes) -> str:
    """Return the agent that a call to an agent names, else the model; none where only jobs are looked at."""
    if path.startswith(("/v1/batch", "/v1/files", "/v1/fine_tuning")):
        return ""
    return str(json.loads(raw)["agent_id" if path == AGENTS else "model"])


PROFILE = Profile(
    Mistral(),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", AGENTS),
        ("POST", "/v1/fim/completions"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/moderations"),
        ("POST", "/v1/chat/moderations"),
        ("GET", "/v1/models"),
        ("GET", "/v1/batch/jobs/j-1"),
        ("GET", "/v1/files"),
        ("GET", "/v1/fine_tuning/jobs/j-1"),
        ("POST", "/v1/ocr"),
    ],
    BODIES,
    NAMES,
    model_of=model_or_agent,
)
