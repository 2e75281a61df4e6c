"""How much a request to OpenAI's API brings for the model to read."""

from modelfence.core.dialect import Json
from modelfence.dialects.shared.fields import Body, objects, string, wrong_type
from modelfence.dialects.shared.tokens import size_of, size_of_content, size_of_json, tokens_in

_OTHER_TEXTS = ("output", "arguments", "input", "summary", "reasoning_content")
_CALLS = ("tool_calls", "function_call")


def size_of_input(body: Body, tools: list[Json]) -> int:
    """Return the bytes of what a call to the responses API brings."""
    given = body.get("input")
    size = size_of(given) if isinstance(given, str) else size_of_messages(objects(body, "input"))
    return size + size_of(string(body, "instructions") or "") + size_of_tools(tools)


def size_of_messages(messages: list[Body]) -> int:
    """Return the bytes of a conversation."""
    size = 0
    for message in messages:
        size += size_of_content(message.get("content"))
        # Most have only a role and a content.
        if len(message) > 2:  # noqa: PLR2004
            size += sum(size_of_content(message.get(name)) for name in _OTHER_TEXTS)
            size += sum(size_of_json(calls) for name in _CALLS if (calls := message.get(name)))
    return size


def size_of_tools(tools: list[Json]) -> int:
    """Return the bytes of what the model is told about the tools it may call."""
    return size_of_json(tools) if tools else 0


def prompts_in(body: Body, name: str) -> tuple[int, int]:
    """Return how many prompts a field holds and their tokens: a text, texts, token ids or lists of token ids."""
    value = body.get(name)
    if value is None:
        return 1, 0
    if isinstance(value, str):
        return 1, tokens_in(size_of(value))
    if not isinstance(value, list):
        raise wrong_type(name, "a string or an array", value)
    if _are_token_ids(value):
        return 1, len(value)
    texts = [entry for entry in value if isinstance(entry, str)]
    if texts and len(texts) == len(value):
        return len(texts), tokens_in(sum(map(size_of, texts)))
    lists = [entry for entry in value if isinstance(entry, list) and _are_token_ids(entry)]
    if lists and len(lists) == len(value):
        return len(lists), sum(map(len, lists))
    raise wrong_type(name, "a string, or an array of strings, of token ids or of arrays of token ids", value)


def _are_token_ids(value: list[Json]) -> bool:
    return set(map(type, value)) == {int}
