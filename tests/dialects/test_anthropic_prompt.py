"""Which texts of a request detection looks at, and as whose."""

import pytest

from modelfence.core.dialect import Json
from modelfence.core.extraction import Prompt
from modelfence.dialects.anthropic.prompt import prompt_in, prompt_of_batch

TURNS: Json = [
    {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "wait"},
            {"type": "tool_use", "id": "t1", "name": "sum", "input": {"of": ["a", {"b": "c"}], "n": 1}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"text": "42"}]}]},
    {"role": "system", "content": "be short"},
    {"role": "user", "content": [{"type": "web_search_tool_result", "content": "43"}, {"type": "text", "text": "three"}]},
    {"content": "no role"},
    "no message",
]  # fmt: skip
READ = Prompt(("be brief", "be short"), ("one\ntwo", "three"), ("wait\nsum a c", "42", "43", "no role"))
SCHEMA: Json = {"properties": {"instruction": {}, "output": {"properties": {"x": {}}}}}
FORMAT: Json = {"type": "json_schema", "schema": SCHEMA}
NAMES = Prompt(schema=("instruction", "output", "x"))
TOOLS: Json = [{"name": "a", "input_schema": SCHEMA}, {"name": "b", "input_schema": {"properties": {"y": {}}}}, 5]


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        ({}, Prompt()),
        ({"system": "be brief", "messages": TURNS}, READ),
        ({"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, Prompt(("a\nb",))),
        ({"system": []}, Prompt()),
        ({"messages": [{"role": "user", "content": "hello"}]}, Prompt(user=("hello",))),
        ({"messages": [{"role": "user", "content": ["hel", "lo"]}]}, Prompt(user=("hel\nlo",))),
        ({"messages": [{"role": "user", "content": 5}]}, Prompt(user=("",))),
        ({"messages": [{"role": "user", "content": [
            {"type": "document", "source": {"type": "text", "data": "a"}},
            {"type": "document", "source": {"type": "content", "content": [{"text": "b"}]}},
            {"type": "document", "source": {"type": "base64", "data": "c"}},
            {"type": "search_result", "content": [{"text": "d"}]},
        ]}]}, Prompt(user=("a\nb\nd",))),
        ({"messages": [{"role": "user", "content": [
            {"type": "document", "title": "t", "context": "c", "source": {"type": "text", "data": "a"}}]}]},
         Prompt(user=("t\nc\na",))),
        ({"compaction": {"type": "summarize", "instructions": "say all"}, "messages": [{"role": "user", "content": "a"}]},
         Prompt(user=("a", "say all"))),
        ({"context_management": {"edits": [{"type": "compact_20260112", "instructions": "say all"}, 5]}},
         Prompt(user=("say all",))),
        ({"context_management": {"edits": 5}}, Prompt()),
        ({"output_config": {"format": FORMAT}}, NAMES),
        ({"output_format": FORMAT}, NAMES),
        ({"tool_choice": {"type": "tool", "name": "a"}, "tools": TOOLS}, NAMES),
        ({"tool_choice": {"type": "any"}, "tools": TOOLS}, Prompt(schema=("instruction", "output", "x", "y"))),
        ({"tool_choice": {"type": "auto"}, "tools": TOOLS}, Prompt()),
    ],
)  # fmt: skip
def test_texts_are_told_apart_by_who_speaks(body, prompt):
    assert prompt_in(body) == prompt


def test_the_prompts_of_a_batch_are_one_text_with_the_systems_they_have():
    prompts = [Prompt(("s",), (str(n),), (), ("f",)) for n in range(3)]
    assert prompt_of_batch(prompts) == Prompt(("s",), ("0\n1\n2",), (), ("f",))
    assert prompt_of_batch(prompts[:1]) == prompts[0]
    assert prompt_of_batch([]) == prompt_of_batch([Prompt(), Prompt()]) == Prompt()


def test_of_many_requests_in_one_batch_those_at_both_ends_are_looked_at():
    (text,) = prompt_of_batch([Prompt(user=(str(n),)) for n in range(1_000)]).user
    assert text.split("\n") == [str(n) for n in (*range(32), *range(968, 1_000))]


def test_a_schema_that_is_deep_or_wide_is_read_so_far():
    schema: Json = {"properties": {f"p{n}": {} for n in range(1_000)}}
    assert len(prompt_in({"output_format": schema}).schema) == 64
    for _ in range(100):
        schema = {"properties": {"in": schema}}
    assert len(prompt_in({"output_format": schema}).schema) < 10


def test_blocks_are_read_as_many_and_as_deep_as_is_of_use():
    many: Json = [{"type": "text", "text": "a"}] * 1_000
    assert len(prompt_in({"messages": [{"role": "user", "content": many}]}).user[0]) < 1_000
    deep: Json = [{"type": "text", "text": "a"}]
    for _ in range(100):
        deep = [{"type": "search_result", "content": deep}]
    assert prompt_in({"messages": [{"role": "user", "content": deep}]}).user == ("",)


def test_no_text_of_a_prompt_is_shown():
    assert "brief" not in repr(READ)
