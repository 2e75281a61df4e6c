"""Which texts of a request detection looks at, and as whose."""

from typing import Any

import pytest

from modelfence.core.extraction import Prompt
from modelfence.dialects.openai.prompt import prompt_in

TURNS = [
    {"role": "developer", "content": "be brief"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}],
    },
    {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
    {"role": "tool", "content": "42"},
    {"content": "no role"},
    {"role": "user", "content": "three"},
]
READ = Prompt(("be brief",), ("one\ntwo", "three"), ("c", "42", "no role"))
SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"schema": {"properties": {"instruction": {}, "output": {"properties": {"x": {}}}}}},
}


@pytest.mark.parametrize(
    ("operation", "body", "prompt"),
    [
        ("chat", {"messages": TURNS}, READ),
        ("chat", {"messages": [], "response_format": SCHEMA}, Prompt(schema=("instruction", "output", "x"))),
        ("responses", {"instructions": "be brief", "input": "hello"}, Prompt(("be brief",), ("hello",))),
        (
            "responses",
            {
                "input": [
                    {"type": "message", "content": [{"text": "hi"}]},
                    {"type": "function_call_output", "output": "42"},
                ]
            },
            Prompt((), ("hi",), ("42",)),
        ),
        ("completion", {"prompt": "once upon"}, Prompt(user=("once upon",))),
        ("completion", {"prompt": ["a", "b"]}, Prompt(user=("a\nb",))),
        ("completion", {"prompt": "def f(", "suffix": "return 1"}, Prompt(user=("def f(\nreturn 1",))),
        ("completion", {"prompt": "def f(", "suffix": None}, Prompt(user=("def f(",))),
        ("completion", {"prompt": [1, 2]}, Prompt(user=("t1 t2",))),
        ("completion", {"prompt": [[1], [2, 3]]}, Prompt(user=("t1\nt2 t3",))),
        ("chat", {"guided_json": SCHEMA["json_schema"]["schema"]}, Prompt(schema=("instruction", "output", "x"))),
        ("chat", {"structured_outputs": {"json": {"properties": {"a": {}}}}}, Prompt(schema=("a",))),
        ("completion", {"prompt": "", "guided_json": '{"properties": {"a": {}, "b": {}}}'}, Prompt(schema=("a", "b"))),
        ("completion", {"structured_outputs": {"json": '{"properties": {"a": {}}}'}}, Prompt(schema=("a",))),
        ("chat", {"guided_json": "{", "structured_outputs": "[" * 60_000, "json_schema": "[" * 99_999}, Prompt()),
        ("moderation", {"input": ["a", "b"]}, Prompt(user=("a\nb",))),
        ("moderation", {"input": [{"type": "text", "text": "a"}, {"type": "image_url"}]}, Prompt(user=("a",))),
        ("embeddings", {"input": "text"}, Prompt(user=("text",))),
        ("embeddings", {}, Prompt()),
    ],
)
def test_texts_are_told_apart_by_who_speaks(operation, body, prompt):
    assert prompt_in(operation, body) == prompt


def test_a_long_prompt_of_token_ids_is_looked_at_from_both_ends():
    words = prompt_in("completion", {"prompt": list(range(100_000))}).user[0].split()
    assert (len(words), words[0], words[-1]) == (1_024, "t0", "t99999")


def test_of_many_prompts_in_one_call_those_at_both_ends_are_looked_at():
    (text,) = prompt_in("embeddings", {"input": [str(n) for n in range(1_000)]}).user
    assert text.split("\n") == [str(n) for n in (*range(32), *range(968, 1_000))]


def test_a_schema_that_is_deep_or_wide_is_read_so_far():
    schema: Any = {"properties": {f"p{n}": {} for n in range(1_000)}}
    assert len(prompt_in("chat", {"response_format": schema}).schema) == 64
    for _ in range(100):
        schema = {"properties": {"in": schema}}
    assert len(prompt_in("chat", {"response_format": schema}).schema) < 10


def test_no_text_of_a_prompt_is_shown():
    assert "brief" not in repr(READ)
