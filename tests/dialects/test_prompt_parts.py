"""Which parts of a request have fingerprints, whatever API it is for."""

import json

import pytest

from modelfence.dialects.prompt_parts import parts_of

BOTH = {"system": "be brief", "message": "hello"}


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        ({"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]}, BOTH),
        ({"instructions": "be brief", "input": "hello"}, BOTH),
        ({"system": "be brief", "messages": [{"role": "user", "content": "hello"}]}, BOTH),
        (
            {
                "systemInstruction": {"parts": [{"text": "be brief"}]},
                "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            },
            BOTH,
        ),
        (
            {
                "system": [{"text": "be brief"}],
                "messages": [{"role": "user", "content": [{"text": "hello"}]}],
                "inferenceConfig": {},
            },
            BOTH,
        ),
        ({"prompt": "hello"}, {"message": "hello"}),
    ],
)
def test_a_requests_parts_are_told_apart(body, parts):
    assert parts_of(json.dumps(body)) == parts


@pytest.mark.parametrize("text", ["hello there", "[1]", '{"x": 1}', '{"messages": 3}', "{"])
def test_anything_else_is_a_template(text):
    assert parts_of(text) == {"template": text}
