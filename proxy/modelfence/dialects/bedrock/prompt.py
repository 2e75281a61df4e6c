"""The texts in a request to one of Bedrock's models, by who speaks: what detection looks at.

Rule: types have been checked before; what is of another shape is passed over here, never refused.
"""

import json
from collections.abc import Iterator
from itertools import islice

from modelfence.core.dialect import Json
from modelfence.core.extraction import Prompt
from modelfence.dialects.shared.fields import Body

_MODELS = frozenset(("assistant", "tool", "chatbot", "model"))
_MOST_PARTS = 256
"""Of one message, or of a call of a tool."""
_MOST_NAMES = 64
_DEEPEST = 6
_MOST_SCHEMA_BYTES = 65_536
_WRAPS = frozenset(("role", "type", "toolUseId", "tool_use_id", "tool_call_id", "id", "status", "format", "media_type"))
_NOT_SAID = frozenset(("bytes", "data", "signature", "cachePoint", "cache_control"))
_RESULTS = frozenset(("toolResult", "toolUse"))
_KINDS_OF_RESULT = ("tool_result", "tool_use")
_SCHEMAS = (
    ("outputConfig", "textFormat", "structure", "jsonSchema", "schema"),
    ("output_config", "format", "schema"),
    ("output_format", "schema"),
    ("response_format", "json_schema", "schema"),
    ("response_format", "schema"),
    ("additionalModelRequestFields", "output_config", "format", "schema"),
    ("additionalModelRequestFields", "output_format", "schema"),
)
"""Where the fields of the answer are prescribed."""


def prompt_in(body: Body) -> Prompt:
    """Return the texts that a body asks the model with."""
    system = [text for name in ("system", "preamble") if (text := _text(body.get(name)))]
    user: list[str] = []
    replies: list[str] = []
    for message in (*_objects(body.get("messages")), *_objects(body.get("chat_history"))):
        role = str(message.get("role")).lower()
        content = message.get("content", message.get("message"))
        said, answered = _text(content, of_tools=False), _text(content, of_tools=True)
        # Whoever is not known to be the model or a tool is taken for the caller.
        if role == "system":
            system.append(said or answered)
        elif role in _MODELS:
            replies.append("\n".join(filter(None, (said, answered))) or _text(dict(message)))
        elif said or not answered:
            user.append(said)
        if role not in _MODELS and role != "system" and answered:
            replies.append(answered)
    # Texts of one call are one text, not turns of a conversation.
    asked = "\n".join(text for name in ("prompt", "inputText", "message", "texts") if (text := _text(body.get(name))))
    if asked:
        user.append(asked)
    return Prompt(tuple(system), tuple(user), tuple(replies), _names_asked(body))


def _objects(value: Json) -> Iterator[Body]:
    yield from (one for one in value if isinstance(one, dict)) if isinstance(value, list) else ()


def _text(value: Json, *, of_tools: bool | None = None) -> str:
    """Return the texts in a content, of tools only, of all but tools, or, by default, all of them."""
    return "\n".join(islice(_texts(value, _DEEPEST, of_tools=of_tools), _MOST_PARTS))


def _texts(value: Json, depth: int, *, of_tools: bool | None) -> Iterator[str]:
    if isinstance(value, str):
        if of_tools is not True and value:
            yield value
    elif isinstance(value, list) and depth:
        for one in islice(value, _MOST_PARTS):
            yield from _texts(one, depth - 1, of_tools=of_tools)
    elif isinstance(value, dict) and depth:
        is_tools = not _RESULTS.isdisjoint(value) or value.get("type") in _KINDS_OF_RESULT
        if is_tools and of_tools is False:
            return
        within = None if is_tools and of_tools else of_tools
        for name, one in islice(value.items(), _MOST_PARTS):
            if name not in _WRAPS | _NOT_SAID:
                yield from _texts(one, depth - 1, of_tools=within)


def _names_asked(body: Body) -> tuple[str, ...]:
    found = (name for place in _SCHEMAS for name in _names(_schema_at(body, place), _DEEPEST))
    return tuple(islice(found, _MOST_NAMES))


def _schema_at(body: Body, place: tuple[str, ...]) -> Json:
    """Return the schema that stands there, which may be written as a text."""
    value: Json = body
    for step in place:
        value = value.get(step) if isinstance(value, dict) else None
    if not isinstance(value, str) or len(value) > _MOST_SCHEMA_BYTES:
        return value
    try:
        parsed: Json = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return parsed


def _names(schema: Json, depth: int) -> Iterator[str]:
    """Yield the names of the properties that the answer is to have."""
    if depth and isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from _names(value, depth - 1)
