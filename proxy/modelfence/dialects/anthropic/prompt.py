"""The texts in a request to Anthropic's API, by who speaks: what detection looks at.

Rule: types have been checked before (`anthropic.reading`); what is of another shape is passed over here, never refused.

Why a forced tool's schema counts as the answer's: having a tool "called" is how answers of a given form were asked for
before the API had a field for it, and still are.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from modelfence.core.dialect import Json
from modelfence.core.extraction import Prompt
from modelfence.dialects.shared.fields import Body

_REPLIES = frozenset(("tool_result", "mcp_tool_result", "tool_use", "server_tool_use", "mcp_tool_use"))
"""What stands in a message of the user's and is the word of a tool, or of the model."""
_MOST_PARTS = 256
"""Of one message, or of a call of a tool."""
_MOST_NAMES = 64
_MOST_REQUESTS = 32
"""At either end of those of one batch."""
_DEEPEST = 6
"""In a schema, in blocks that hold blocks, and in a call of a tool."""


def prompt_in(body: Body) -> Prompt:
    """Return the texts that a body asks the model with."""
    system = list(_texts_of_system(body.get("system")))
    user: list[str] = []
    replies: list[str] = []
    messages = body.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        content, role = message.get("content"), message.get("role")
        if role == "system":
            system.append(_text(content))
        elif role == "user":
            # Results of tools come in the user's name, and what the user adds to them is asked all the same.
            said = _text(_without_replies(content))
            if said or not _replies_in(content):
                user.append(said)
            replies.extend(_text([block]) for block in _replies_in(content))
        else:
            replies.append(_text(content))
    user.extend(instructions_in(body))
    return Prompt(tuple(system), tuple(user), tuple(replies), tuple(islice(_schema_of(body), _MOST_NAMES)))


def instructions_in(body: Body) -> Iterator[str]:
    """Yield what the caller says instead of, or beside, the API's own words when it has a conversation summarised."""
    management = body.get("context_management")
    edits = management.get("edits") if isinstance(management, dict) else None
    for asking in (body.get("compaction"), *(edits if isinstance(edits, list) else ())):
        if isinstance(asking, dict) and isinstance(text := asking.get("instructions"), str):
            yield text


def prompt_of_batch(prompts: Sequence[Prompt]) -> Prompt:
    """Return the prompts of a batch as one: they are one text, not turns of a conversation."""
    if len(prompts) <= 1:
        return prompts[0] if prompts else Prompt()
    ends = prompts if len(prompts) <= 2 * _MOST_REQUESTS else [*prompts[:_MOST_REQUESTS], *prompts[-_MOST_REQUESTS:]]
    asked = "\n".join(chain.from_iterable(prompt.user for prompt in ends))
    system = tuple(dict.fromkeys(chain.from_iterable(prompt.system for prompt in ends)))
    schema = dict.fromkeys(chain.from_iterable(prompt.schema for prompt in ends))
    replies = tuple(chain.from_iterable(prompt.replies for prompt in ends))
    return Prompt(system, (asked,) if asked else (), replies, tuple(islice(schema, _MOST_NAMES)))


def _texts_of_system(system: Json) -> Iterator[str]:
    if isinstance(system, str):
        yield system
    elif isinstance(system, list) and system:
        yield _text(system)


def _text(content: Json) -> str:
    """Return a content as one text; a call of a tool too, so that two histories that differ in it differ."""
    return "\n".join(_texts(content, _DEEPEST))


def _texts(content: Json, depth: int) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    for block in islice(content, _MOST_PARTS) if isinstance(content, list) and depth else ():
        if isinstance(block, str):
            yield block
        elif isinstance(block, dict):
            yield from _texts_of_block(block, depth - 1)


def _texts_of_block(block: Body, depth: int) -> Iterator[str]:
    for name in ("title", "context", "text"):
        if isinstance(text := block.get(name), str):
            yield text
    if "input" in block:
        yield " ".join(islice(_strings([block.get("name"), block.get("input")], _DEEPEST), _MOST_PARTS))
    yield from _texts(block.get("content"), depth)
    source = block.get("source")
    if isinstance(source, dict):
        if source.get("type") == "text" and isinstance(data := source.get("data"), str):
            yield data
        yield from _texts(source.get("content"), depth)


def _replies_in(content: Json) -> list[Json]:
    return [block for block in content if _is_reply(block)] if isinstance(content, list) else []


def _without_replies(content: Json) -> Json:
    return [block for block in content if not _is_reply(block)] if isinstance(content, list) else content


def _is_reply(block: Json) -> bool:
    kind = block.get("type") if isinstance(block, dict) else None
    return isinstance(kind, str) and (kind in _REPLIES or kind.endswith("_tool_result"))


def _strings(value: Json, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth and isinstance(value, dict | list):
        for one in islice(value.values() if isinstance(value, dict) else value, _MOST_PARTS):
            yield from _strings(one, depth - 1)


def _schema_of(body: Body) -> Iterator[str]:
    """Yield the names of the fields that the answer is to have."""
    config = body.get("output_config")
    formats = (config.get("format") if isinstance(config, dict) else None, body.get("output_format"))
    for schema in (*formats, *_forced_schemas(body.get("tool_choice"), body.get("tools"))):
        yield from _names(schema, _DEEPEST)


def _forced_schemas(choice: Json, tools: Json) -> Iterator[Json]:
    if not isinstance(choice, dict) or choice.get("type") not in ("tool", "any") or not isinstance(tools, list):
        return
    for tool in tools:
        if isinstance(tool, dict) and (choice.get("type") == "any" or tool.get("name") == choice.get("name")):
            yield tool.get("input_schema")


def _names(schema: Json, depth: int) -> Iterator[str]:
    if depth and isinstance(schema, Mapping):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for value in schema.values():
            yield from _names(value, depth - 1)
