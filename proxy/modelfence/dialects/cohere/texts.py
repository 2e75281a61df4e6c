"""The texts in an answer of Cohere's API: what the model generated, and nothing that only wraps or repeats it."""

from collections.abc import Iterator, Mapping

from modelfence.core.dialect import Json
from modelfence.dialects.shared.tokens import size_of, size_of_json

_TEXTS = ("text", "thinking")
_READ_OF_CONTENT = frozenset((*_TEXTS, "type"))
_REPEAT = frozenset(
    (
        "message-start", "content-end", "tool-call-end", "citation-start", "citation-end", "message-end", "debug",
        "stream-start", "stream-end", "search-results", "citation-generation",
    )
)  # fmt: skip
"""Events that add nothing the model generated, or nothing that did not pass before."""
_MESSAGE_EVENTS = frozenset(("content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta"))
_OLD_EVENTS = frozenset(("text-generation", "tool-calls-chunk", "tool-calls-generation", "search-queries-generation"))
_ENVELOPES = (
    "message",
    "text",
    "tool_calls",
    "embeddings",
    "results",
    "tokens",
    "meta",
    "usage",
    "models",
    "token_strings",
)
"""What Cohere's plain answers come in. What comes in none of them is not read, and counted by its size."""


def text_sizes(message: Mapping[str, Json], size: int, *, is_streamed: bool) -> Iterator[int]:
    """Yield the bytes of each text in a plain answer, or in what one event of a stream adds.

    `size` is that of the whole message. Doubt counts against the caller: what is not known is taken for text.
    """
    if not is_streamed:
        yield from _sizes_of_message(message.get("message"))
        yield from _sizes_of_old(message)
        if not any(message.get(name) is not None for name in _ENVELOPES):
            yield size
        return
    kind, delta = message.get("type") or message.get("event_type"), message.get("delta")
    if not isinstance(kind, str):
        yield size
    elif kind in _MESSAGE_EVENTS and isinstance(delta, dict):
        yield from _sizes_of_message(delta.get("message"))
    elif kind in _OLD_EVENTS:
        yield from _sizes_of_old(message)
    elif kind not in _REPEAT:
        yield size


def _sizes_of_message(message: Json) -> Iterator[int]:
    if not isinstance(message, dict):
        return
    content, calls = message.get("content"), message.get("tool_calls")
    for part in content if isinstance(content, list) else [content]:
        yield from _sizes_of_part(part)
    yield _size_of_text(message.get("tool_plan"))
    for call in calls if isinstance(calls, list) else [calls]:
        called = call.get("function") if isinstance(call, dict) else None
        if isinstance(called, dict):
            yield from (_size_of_text(called.get(name)) for name in ("name", "arguments"))


def _sizes_of_part(part: Json) -> Iterator[int]:
    if isinstance(part, dict):
        yield from (_size_of_text(part.get(name)) for name in _TEXTS)
        yield sum(size_of_json(value) for name, value in part.items() if value and name not in _READ_OF_CONTENT)
    else:
        yield _size_of_text(part)


def _sizes_of_old(message: Mapping[str, Json]) -> Iterator[int]:
    """Yield the texts of version 1: a plain answer's, or those of an event."""
    yield _size_of_text(message.get("text"))
    yield from (size_of_json(value) for name in ("tool_calls", "search_queries") if (value := message.get(name)))
    delta = message.get("tool_call_delta")
    if isinstance(delta, dict):
        yield from (_size_of_text(delta.get(name)) for name in ("name", "parameters", "text"))


def _size_of_text(value: Json) -> int:
    return size_of(value) if isinstance(value, str) else 0
