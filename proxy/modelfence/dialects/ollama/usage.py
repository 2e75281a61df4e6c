"""What an answer of Ollama's cost, read while it passes.

The counts stand in a plain answer, and in the last line of a stream. An answer in OpenAI's words is known by its shape,
a stream of them by its kind.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import cast

from modelfence.core.dialect import Json, UsageReader
from modelfence.dialects.ollama.endings import chat_ending, completion_ending
from modelfence.dialects.openai import usage as of_openai
from modelfence.dialects.shared.counting import (
    Ending,
    PlainReader,
    StreamReader,
    Tally,
    count_in,
    media_type,
    size_of_media,
)
from modelfence.dialects.shared.lines import LineFraming, LineParser
from modelfence.dialects.shared.tokens import size_of, size_of_json, tokens_in_delta

_LINES = ("application/x-ndjson", "application/jsonl", "application/ndjson")
_WITHOUT_TEXT = ("embeddings", "models")
_ENDINGS: Mapping[str, Callable[[], Ending]] = {"chat": chat_ending, "completion": completion_ending}
_TEXTS = ("content", "thinking", "response")
_BESIDE_TEXT = frozenset(
    (
        *_TEXTS, "model", "created_at", "done", "done_reason", "error", "total_duration", "load_duration", "role",
        "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration", "context", "logprobs", "message",
        "remote_model", "remote_host", "completed", "total", "tool_name", "embeddings", "embedding", "models",
    )
)  # fmt: skip
"""What is read, and what stands beside the text and is none, or repeats it."""


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream of lines, a stream of OpenAI's events or a plain answer."""
    kind = media_type(content_type)
    if kind in _LINES:
        ending = _ENDINGS.get(operation)
        return StreamReader(LineFraming(), LineParser(), count, ending() if ending else None)
    if kind == "text/event-stream":
        return of_openai.usage_reader(operation, content_type)
    return PlainReader(content_type, _count_either, is_text=operation not in _WITHOUT_TEXT)


def count(message: Mapping[str, object], _size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count a plain answer, or what one line of a stream adds."""
    sizes = list(_sizes(message))
    if is_streamed:
        tally.tokens += sum(map(tokens_in_delta, sizes))
    else:
        tally.size += sum(sizes)
    tally.served = tally.served or not message.get("error")
    tally.report(count_in(message, "prompt_eval_count"), count_in(message, "eval_count"))


def _count_either(message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001
    is_openais = isinstance(message.get("object"), str)
    (of_openai.count if is_openais else count)(message, size, tally, is_streamed)


def _sizes(message: Mapping[str, object]) -> Iterator[int]:
    """Yield the bytes of each text; what is not known is taken for text, since doubt counts against the caller."""
    said = message.get("message")
    for holder in (message, said if isinstance(said, dict) else {}):
        for name, value in holder.items():
            if name in _TEXTS:
                yield size_of(value) if isinstance(value, str) else 0
            elif name in {"image", "images"}:
                yield size_of_media(size_of_json(cast("Json", value)))
            elif value and name not in _BESIDE_TEXT:
                yield size_of_json(cast("Json", value))
