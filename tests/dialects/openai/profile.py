"""OpenAI's API for the contract test."""

import json

from hypothesis import strategies as st
from tests.dialects.profile import Profile, values

from modelfence.dialects.openai.api import OpenAI

NAMES = [
    "model", "messages", "prompt", "input", "stream", "n", "best_of", "logprobs", "top_logprobs", "logit_bias",
    "tools", "functions", "reasoning", "reasoning_effort", "effort", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "include", "instructions", "content", "role", "text", "type", "tool_calls", "Model", "N",
    "return_logprob", "top_logprobs_num", "return_hidden_states", "allowed_token_ids", "guided_json", "min_tokens",
    "extra_body", "stream_format",
]  # fmt: skip
BODIES = st.builds(
    lambda likely, rest: rest | likely,
    st.fixed_dictionaries(
        {"model": st.text(min_size=1)},
        optional={
            "messages": st.lists(st.fixed_dictionaries({"content": values(NAMES)}), max_size=3),
            "input": st.text() | st.lists(st.text(), min_size=1, max_size=3),
            "prompt_logprobs": st.integers(-1, 5),
            "return_hidden_states": st.booleans(),
            "allowed_token_ids": st.lists(st.integers(0, 99), max_size=3),
            "min_tokens": st.integers(0, 10**6),
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


def model_in_body(path: str, raw: bytes) -> str:
    """Return the model that a plain reader finds in the body; none where only batches, files or tuning are looked at."""
    looks = path.startswith(("/v1/batches", "/v1/files", "/v1/fine_tuning"))
    return "" if looks else str(json.loads(raw)["model"])


PROFILE = Profile(
    OpenAI(),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/responses/input_tokens"),
        ("POST", "/v1/moderations"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/images/edits"),
        ("POST", "/v1/images/variations"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/audio/transcriptions"),
        ("POST", "/v1/audio/translations"),
        ("GET", "/v1/batches"),
        ("GET", "/v1/batches/batch_1"),
        ("POST", "/v1/batches/batch_1/cancel"),
        ("GET", "/v1/files"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/v1/fine_tuning/jobs/ftjob-1"),
        ("GET", "/v1/models"),
        ("POST", "/v1/else"),
    ],
    BODIES,
    NAMES,
    model_of=model_in_body,
)
