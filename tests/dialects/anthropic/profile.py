"""Anthropic's API for the contract test."""

import json

from hypothesis import strategies as st
from tests.dialects.profile import Profile, values

from modelfence.dialects.anthropic.api import Anthropic

NAMES = [
    "model", "messages", "system", "max_tokens", "stream", "thinking", "budget_tokens", "type", "tools", "tool_choice",
    "output_config", "effort", "format", "schema", "content", "role", "text", "input", "source", "data", "requests",
    "params", "custom_id", "fallbacks", "Model", "Max_tokens",
]  # fmt: skip
MESSAGES = st.fixed_dictionaries(
    {"model": st.text(min_size=1)},
    optional={
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": values(NAMES)}),
            max_size=3,
        ),
        "system": st.text() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}), max_size=2),
        "stream": st.booleans(),
        "max_tokens": st.integers(0, 10**7),
        "thinking": st.fixed_dictionaries({"type": st.just("enabled"), "budget_tokens": st.integers(1024, 10**7)}),
        "tools": st.lists(st.fixed_dictionaries({"name": st.text()}), max_size=3),
    },
)
BODIES = st.builds(
    lambda likely, requests, rest: rest | likely | ({} if requests is None else {"requests": requests}),
    MESSAGES,
    st.none() | st.lists(st.fixed_dictionaries({"custom_id": st.text(), "params": MESSAGES}), max_size=3),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES), max_size=2),
)


def model_of(path: str, raw: bytes) -> str | None:
    """Return the model that a plain reader finds: a batch's is that of all its requests, when they agree."""
    body = json.loads(raw)
    if not path.endswith("/batches"):
        return str(body["model"])
    models = {one["params"]["model"] for one in body.get("requests") or []}
    return "".join(models) if len(models) < 2 else None


PROFILE = Profile(
    Anthropic(),
    [
        ("POST", "/v1/messages"),
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/models"),
        ("POST", "/v1/complete"),
    ],
    BODIES,
    NAMES,
    model_of=model_of,
)
