"""What an answer of Cohere's API cost, read while it passes.

Usage stands in a plain answer's `usage`, in version 1 in its `meta`, and in the event that ends a stream. `tokens` says
what the model read and wrote, and counts where it is there; `billed_units` leaves out what Cohere adds to a prompt.
"""

import math
from collections.abc import Mapping
from typing import cast

from modelfence.core.dialect import Json, UsageReader
from modelfence.dialects.cohere.endings import ChatEnding, OldChatEnding
from modelfence.dialects.cohere.texts import text_sizes
from modelfence.dialects.shared.counting import MAX_TOKENS, PlainReader, StreamReader, Tally, media_type
from modelfence.dialects.shared.lines import LineFraming, LineParser
from modelfence.dialects.shared.sse import EventFraming, EventParser
from modelfence.dialects.shared.tokens import tokens_in_delta

_LINES = ("application/stream+json", "application/x-ndjson", "application/jsonl")
"""Version 1 streams lines, unless it is asked for events."""
_WITHOUT_TEXT = ("embeddings", "tokens", "models", "batch", "files", "tuning")


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream of events or of lines, or a plain answer."""
    kind, is_chat = media_type(content_type), operation == "chat"
    if kind == "text/event-stream":
        return StreamReader(EventFraming(), EventParser(), count, ChatEnding() if is_chat else None, last=b"[DONE]")
    if kind in _LINES:
        return StreamReader(LineFraming(), LineParser(), count, OldChatEnding() if is_chat else None)
    return PlainReader(content_type, count, is_text=operation not in _WITHOUT_TEXT)


def count(message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count a plain answer, or what one event of a stream adds."""
    sizes = list(text_sizes(cast("Mapping[str, Json]", message), size, is_streamed=is_streamed))
    if is_streamed:
        tally.tokens += sum(map(tokens_in_delta, sizes))
    else:
        tally.size += sum(sizes)
    tally.served = True
    for holder, name in ((message, "usage"), (message.get("delta"), "usage"), (message, "meta")):
        if isinstance(holder, Mapping):
            _report(tally, holder.get(name))
    response = message.get("response")
    if isinstance(response, dict):
        _report(tally, response.get("meta"))


def _report(tally: Tally, usage: object) -> None:
    if not isinstance(usage, dict):
        return
    tokens, billed = (
        value if isinstance(value := usage.get(name), dict) else {} for name in ("tokens", "billed_units")
    )
    read, written = (
        next((known for counts in (tokens, billed) if (known := _count(counts, name)) is not None), None)
        for name in ("input_tokens", "output_tokens")
    )
    # Of an embedding with images, text and images are billed apart.
    parts = [known for name in ("text_tokens", "image_tokens") if (known := _count(billed, name)) is not None]
    tally.report(
        max(read or 0, sum(parts)) if parts else read, written, cached_tokens=_count(usage, "cached_tokens") or 0
    )


def _count(counts: Mapping[str, object], name: str) -> int | None:
    """Return a count of tokens, which Cohere may write as a decimal number; None when it is missing or can't be one."""
    value = counts.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return math.ceil(value) if 0 <= value <= MAX_TOKENS else None
