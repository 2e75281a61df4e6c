"""The texts in a request to Gemini's API, by who speaks: what detection looks at.

Rule: types have been checked before (`gemini.reading`); what is of another shape is passed over here, never refused.
"""

from collections.abc import Iterator
from itertools import islice

from modelfence.core.dialect import Json
from modelfence.core.extraction import Prompt
from modelfence.dialects.gemini.spellings import given_name
from modelfence.dialects.shared.fields import Body

_MOST_CALLS = 32
"""At either end of those in one request."""
_MOST_NAMES = 64
_MOST_PARTS = 256
"""Of one content, or of a call of a tool."""
_DEEPEST_SCHEMA = 6
_SCHEMAS = ("responseSchema", "responseJsonSchema")
_OTHERS = ("model", "function")
"""Roles that are not the caller's."""


def prompt_of(*calls: Body) -> Prompt:
    """Return the texts that these calls, all sent in one request, ask the model with."""
    ends = calls if len(calls) <= 2 * _MOST_CALLS else (*calls[:_MOST_CALLS], *calls[-_MOST_CALLS:])
    system: list[str] = []
    replies: list[str] = []
    asked: list[str] = []
    schema: list[str] = []
    for call in ends:
        system += filter(None, map(_text_of, _entries(call.get("systemInstruction"))))
        for content in _entries(call.get("contents")):
            (replies if _is_reply(content) else asked).append(_text_of(content))
        schema += _names_in(call.get("generationConfig"))
    # What is embedded in one call is one text, not turns of a conversation.
    embedded = "\n".join(_text_of(content) for call in ends for content in _entries(call.get("content")))
    user = (*asked, embedded) if embedded else tuple(asked)
    return Prompt(tuple(system), user, tuple(replies), tuple(schema[:_MOST_NAMES]))


def _is_reply(content: Body) -> bool:
    """Say whether a content is the model's or a tool's, whose answers may also stand in the caller's role."""
    if content.get("role") in _OTHERS:
        return True
    parts = list(islice(_entries(content.get("parts")), _MOST_PARTS))
    return bool(parts) and all(given_name(part, "functionResponse") in part for part in parts)


def _text_of(content: Body) -> str:
    """Return the texts of a content; or a call of a tool as a text, so that two histories that differ in it differ."""
    parts = list(islice(_entries(content.get("parts")), _MOST_PARTS))
    texts = [text for part in parts if isinstance(text := part.get("text"), str)]
    if texts:
        return "\n".join(texts)
    called = (part.get(given_name(part, name)) for part in parts for name in ("functionCall", "functionResponse"))
    return " ".join(islice((text for one in called for text in _strings(one, _DEEPEST_SCHEMA)), _MOST_PARTS))


def _entries(value: Json) -> Iterator[Body]:
    """Yield one object, or each of several."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            yield one


def _strings(value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict | list):
        for one in islice(value.values() if isinstance(value, dict) else value, _MOST_PARTS):
            yield from _strings(one, depth - 1)


def _names_in(config: Json) -> list[str]:
    """Return the names of the fields that the answer is to have."""
    if not isinstance(config, dict):
        return []
    schemas = (config.get(given_name(config, name)) for name in _SCHEMAS)
    return list(islice((name for schema in schemas for name in _names(schema, _DEEPEST_SCHEMA)), _MOST_NAMES))


def _names(schema: Json, depth: int) -> Iterator[str]:
    if depth and isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from _names(value, depth - 1)
