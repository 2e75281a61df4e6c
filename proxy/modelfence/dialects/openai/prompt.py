"""The texts in a request to OpenAI's API, by who speaks: what detection looks at.

Rule: types have been checked before (`openai_reading`); what is of another shape is passed over here, never refused.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice

from modelfence.core.dialect import Json
from modelfence.core.extraction import Prompt
from modelfence.dialects.openai.additions import SCHEMAS
from modelfence.dialects.shared.fields import Body

_SYSTEM_ROLES = ("system", "developer")
_CALLS = ("tool_calls", "function_call", "arguments")
_MOST_TOKENS = 512
"""Of a prompt given as token ids, at either end: detection looks at both ends of a text, and no further."""
_MOST_PROMPTS = 32
"""At either end of those of one call."""
_MOST_NAMES = 64
_MOST_PARTS = 256
"""Of one message, or of a call of a tool."""
_DEEPEST_SCHEMA = 6
_LONGEST_SCHEMA = 64 * 1024
"""In characters, of one that is given as a text."""
_SCHEMAS = ("response_format", *SCHEMAS)


def prompt_in(operation: str, body: Body) -> Prompt:
    """Return the texts that a body asks the model with."""
    if operation == "chat":
        return _of_messages(body.get("messages"), (), _names_prescribed(body))
    if operation == "responses":
        instructions, text = body.get("instructions"), body.get("text")
        first = (instructions,) if isinstance(instructions, str) else ()
        schema = _names_of_schema(text.get("format")) if isinstance(text, dict) else ()
        given = body.get("input")
        return Prompt(first, (given,), (), schema) if isinstance(given, str) else _of_messages(given, first, schema)
    # Prompts of one call are one text, not turns of a conversation.
    prompts = "\n".join(_prompts(body.get("prompt" if operation == "completion" else "input")))
    after = body.get("suffix")
    asked = f"{prompts}\n{after}" if isinstance(after, str) and after else prompts
    return Prompt(user=(asked,) if asked else (), schema=_names_prescribed(body) if operation == "completion" else ())


def _of_messages(messages: Json, system: tuple[str, ...], schema: tuple[str, ...]) -> Prompt:
    by_role: dict[bool | None, list[str]] = {True: list(system), False: [], None: []}
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            role = message.get("role")
            # Whoever is not known to be the model or a tool is taken for the caller.
            speaks: bool | None = role in _SYSTEM_ROLES
            if role in ("assistant", "tool", "function") or (role is None and message.get("type") != "message"):
                speaks = None
            by_role[speaks].append("\n".join(_texts(message.get("content", message.get("output")))) or _called(message))
    return Prompt(tuple(by_role[True]), tuple(by_role[False]), tuple(by_role[None]), schema)


def _called(message: Body) -> str:
    """Return a call of a tool as a text, so that two histories that differ in it differ."""
    called = next((message[name] for name in _CALLS if message.get(name)), "")
    return " ".join(islice(_strings(called, _DEEPEST_SCHEMA), _MOST_PARTS))


def _strings(value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict | list):
        for one in islice(value.values() if isinstance(value, dict) else value, _MOST_PARTS):
            yield from _strings(one, depth - 1)


def _texts(content: Json) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for part in islice(content, _MOST_PARTS) if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            yield text


def _prompts(value: Json) -> Iterator[str]:
    """Yield the prompts of a field: texts, parts with texts, or token ids, each of which is then a word."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([value])
    elif isinstance(value, list) and value and isinstance(value[0], int):
        ends = value if len(value) <= 2 * _MOST_TOKENS else [*value[:_MOST_TOKENS], *value[-_MOST_TOKENS:]]
        yield " ".join(f"t{token}" for token in ends)
    elif isinstance(value, list):
        for one in value if len(value) <= 2 * _MOST_PROMPTS else [*value[:_MOST_PROMPTS], *value[-_MOST_PROMPTS:]]:
            yield from _prompts(one)


def _names_prescribed(body: Body) -> tuple[str, ...]:
    """Return the names of the fields that an answer is to have, by whichever of the fields that prescribe them."""
    schemas = [_parsed(body[name]) for name in _SCHEMAS if name in body]
    if not schemas:
        return ()
    inside = [_parsed(schema.get("json")) for schema in schemas if isinstance(schema, dict)]
    return tuple(dict.fromkeys(name for schema in (*schemas, *inside) for name in _names_of_schema(schema)))[
        :_MOST_NAMES
    ]


def _parsed(schema: Json) -> Json:
    """Return a schema as a value, where vLLM is given it as a text."""
    if not isinstance(schema, str) or len(schema) > _LONGEST_SCHEMA:
        return schema
    try:
        parsed: Json = json.loads(schema)
    except (ValueError, RecursionError):
        return None
    return parsed


def _names_of_schema(schema: Json) -> tuple[str, ...]:
    names = _names(schema, _DEEPEST_SCHEMA) if schema is not None else ()
    return tuple(name for name, _ in zip(names, range(_MOST_NAMES), strict=False))


def _names(schema: Json, depth: int) -> Iterable[str]:
    """Yield the names of the properties that the answer is to have."""
    if depth and isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from _names(value, depth - 1)
