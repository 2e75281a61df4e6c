"""Taking reasoning out of an answer: what every API shows of it, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.dialect import Json
from modelfence.core.hiding import is_left_out, without
from modelfence.dialects.hidden import REASONING

SECRET = "because of the moon"
ANSWERS: dict[str, list[Json]] = {
    "openai": [
        {"choices": [{"message": {"content": "yes", "reasoning_content": SECRET, "reasoning": SECRET}}]},
        {"choices": [{"delta": {"reasoning_details": [{"type": "reasoning.text", "text": SECRET}]}}]},
        {
            "reasoning": {"effort": "high"},
            "output": [
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": SECRET}]},
                {"type": "reasoning", "content": [{"text": SECRET}], "summary": [], "encrypted_content": SECRET},
                {"type": "message", "content": [{"type": "output_text", "text": "yes"}]},
            ],
        },
        {"type": "response.output_item.done", "item": {"type": "reasoning", "summary": [{"text": SECRET}]}},
    ],
    "anthropic": [
        {"content": [{"type": "thinking", "thinking": SECRET, "signature": SECRET}, {"type": "text", "text": "yes"}]},
        {"content": [{"type": "redacted_thinking", "data": SECRET}]},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": SECRET}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": SECRET}},
    ],
    "gemini": [
        {"candidates": [{"content": {"parts": [{"text": SECRET, "thought": True}, {"text": "yes"}]}}]},
        {"choices": [{"message": {"content": "yes", "reasoning_content": SECRET}}]},
    ],
    "cohere": [
        {"message": {"content": [{"type": "thinking", "thinking": SECRET}, {"type": "text", "text": "yes"}]}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"thinking": SECRET}}}},
    ],
    "mistral": [
        {"choices": [{"message": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": SECRET}]}]}}]},
    ],
    "ollama": [
        {"message": {"role": "assistant", "content": "yes", "thinking": SECRET}, "done": False},
        {"response": "yes", "thinking": SECRET},
        {"choices": [{"delta": {"reasoning": SECRET}}]},
    ],
}
ANSWERS["azure"] = ANSWERS["openai"]
CASES = [pytest.param(name, answer, id=f"{name} {at}") for name in ANSWERS for at, answer in enumerate(ANSWERS[name])]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "thinking", "reasoning", "text", "arguments", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


def test_every_api_but_bedrock_is_covered():
    assert set(REASONING) == set(ANSWERS)


@pytest.mark.parametrize(("name", "answer"), CASES)
def test_reasoning_is_taken_out_and_the_rest_stays(name, answer):
    before = json.dumps(answer)
    shown = json.dumps(without(answer, REASONING[name]))
    assert SECRET in before
    assert SECRET not in shown
    assert ('"yes"' in shown) == ('"yes"' in before)
    assert json.dumps(answer) == before


@pytest.mark.parametrize(("name", "answer"), CASES)
def test_the_shape_stays(name, answer):
    def shape(value):
        if isinstance(value, dict):
            return {name: shape(one) for name, one in value.items()}
        return type(value)

    assert shape(without(answer, REASONING[name])) == shape(answer)


def test_what_a_tool_is_called_with_is_no_reasoning():
    call: Json = {"message": {"tool_calls": [{"function": {"arguments": {"thinking": "of a number"}}}]}}
    assert without(call, REASONING["ollama"]) == call


def test_events_of_nothing_else_are_left_out():
    hidden = REASONING["openai"]
    assert is_left_out({"type": "response.reasoning_summary_text.delta", "delta": SECRET}, hidden)
    assert is_left_out({"type": "response.reasoning_text.done", "text": SECRET}, hidden)
    assert not is_left_out({"type": "response.output_text.delta", "delta": "yes"}, hidden)
    assert not is_left_out({"type": "response.reasoning"}, REASONING["anthropic"])
    assert not is_left_out([], hidden)


def test_what_is_nested_too_deeply_can_not_be_looked_at():
    value: Json = []
    for _ in range(100):
        value = [value]
    with pytest.raises(RecursionError):
        without(value, REASONING["openai"])


@pytest.mark.parametrize("name", REASONING)
@given(value=JSON)
def test_hiding_twice_changes_nothing_more(name, value):
    once = without(value, REASONING[name])
    assert without(once, REASONING[name]) == once
