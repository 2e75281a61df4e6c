"""Which texts of a request to Gemini detection looks at, and as whose."""

import pytest

from modelfence.core.dialect import Request
from modelfence.core.extraction import Prompt
from modelfence.dialects.gemini.api import Gemini


def prompt_of(body, action="generateContent"):
    return Gemini().read(Request("POST", f"/v1beta/models/m:{action}", (), b"", body)).prompt


def content(*texts: str, role: str = "user") -> dict[str, object]:
    return {"role": role, "parts": [{"text": text} for text in texts]}


CALL = {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {"city": "Oslo"}}}]}
ANSWER = {"role": "user", "parts": [{"function_response": {"name": "weather", "response": {"sky": "clear"}}}]}
TURNS = {
    "system_instruction": {"parts": {"text": "Be brief."}},
    "contents": [content("One,", "two."), content("Three.", role="model"), CALL, ANSWER, {"parts": {"text": "Four?"}}],
}
SCHEMA = {
    "type": "OBJECT",
    "properties": {"question": {}, "steps": {"type": "ARRAY", "items": {"properties": {"step": {}}}}},
}
PROMPTS = {
    "turns": (TURNS, Prompt(("Be brief.",), ("One,\ntwo.", "Four?"), ("Three.", "weather Oslo", "weather clear"))),
    "a schema": (
        {"generation_config": {"response_schema": SCHEMA}},
        Prompt(schema=("question", "steps", "step")),
    ),
    "a schema in JSON's words": (
        {"generationConfig": {"responseJsonSchema": SCHEMA}},
        Prompt(schema=("question", "steps", "step")),
    ),
    "nothing": ({}, Prompt()),
    "a picture": ({"contents": [{"parts": [{"inlineData": {"data": "AAAA"}}]}]}, Prompt(user=("",))),
}


@pytest.mark.parametrize(("body", "prompt"), PROMPTS.values(), ids=PROMPTS)
def test_texts_are_told_apart_by_who_speaks(body, prompt):
    assert prompt_of(body) == prompt


def test_what_is_counted_is_looked_at_as_what_is_asked():
    assert prompt_of({"generateContentRequest": TURNS}, "countTokens") == prompt_of(TURNS)


def test_what_is_embedded_in_one_call_is_one_text():
    requests = [{"content": content(text)} for text in ("a", "b")]
    assert prompt_of({"requests": requests}, "batchEmbedContents") == Prompt(user=("a\nb",))
    assert prompt_of({"content": content("a")}, "embedContent") == Prompt(user=("a",))


def test_of_very_many_requests_both_ends_are_looked_at():
    requests = [{"content": content(str(number))} for number in range(1000)]
    words = prompt_of({"requests": requests}, "batchEmbedContents").user[0].split("\n")
    assert (words[0], words[-1]) == ("0", "999")
    assert len(words) <= 64


def test_the_names_of_a_schema_are_bounded():
    schema: dict[str, object] = {"properties": {f"name{number}": {} for number in range(1000)}}
    assert len(prompt_of({"generationConfig": {"responseSchema": schema}}).schema) == 64
    config = {"generationConfig": {"responseSchema": schema}}
    assert len(prompt_of({**config, "generateContentRequest": config}, "countTokens").schema) == 64
    for _ in range(60):
        schema = {"properties": {"in": schema}}
    assert len(prompt_of({"generationConfig": {"responseSchema": schema}}).schema) < 10
