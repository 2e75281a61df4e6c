"""What an answer of OpenAI's API cost, read while it passes.

Usage stands in a plain answer's `usage`, in the last chunk of a chat stream, and in the `response` of the events that
end a responses stream. What is counted in between: `openai.texts`. What a tool drew comes on top: it is billed by the
model that drew it, and the usage of a response is its own model's.
"""

import json
from collections.abc import Callable, Mapping

from modelfence.core.dialect import UsageReader
from modelfence.dialects.openai.endings import chat_ending, completion_ending
from modelfence.dialects.openai.response_ending import ResponseEnding
from modelfence.dialects.openai.texts import drawn_size, only_text, text_sizes, unread_size
from modelfence.dialects.shared.counting import Ending, PlainReader, StreamReader, Tally, count_in, media_type
from modelfence.dialects.shared.sse import EventFraming, EventParser
from modelfence.dialects.shared.tokens import size_of, tokens_in_delta

_WITHOUT_TEXT = ("embeddings", "models", "moderation", "tokens")
_ENDINGS: Mapping[str, Callable[[], Ending]] = {
    "chat": chat_ending,
    "completion": completion_ending,
    "responses": ResponseEnding,
}
_REPORTS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))


def only_reports_usage(event: bytes) -> bool:
    """Say whether a whole event is the chunk that `include_usage` adds: usage, and no choices."""
    for one in EventParser().feed(event):
        try:
            chunk = json.loads(one.data)
        except (ValueError, RecursionError):
            return False
        return isinstance(chunk, dict) and chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
    return False


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream of events or a plain answer."""
    if media_type(content_type) == "text/event-stream":
        ending = _ENDINGS.get(operation)
        return StreamReader(EventFraming(), EventParser(), count, ending() if ending else None, last=b"[DONE]")
    return PlainReader(content_type, count, is_text=operation not in _WITHOUT_TEXT)


def count(message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count a plain answer, or what one event of a stream adds."""
    if is_streamed and (text := only_text(message)) is not None:
        tally.tokens += tokens_in_delta(size_of(text))
        tally.served = True
        return
    sizes, unread = list(text_sizes(message)), unread_size(message, size)
    if is_streamed:
        tally.tokens += sum(map(tokens_in_delta, sizes))
    else:
        tally.size += sum(sizes)
    tally.size += unread
    response = message.get("response")
    if isinstance(response, dict):
        tally.served = True
        report(tally, response.get("usage"))
        tally.size += drawn_size(response)
        return
    tally.served = tally.served or not (message.get("error") or message.get("type") == "error")
    report(tally, message.get("usage"))
    tally.size += drawn_size(message)


def report(tally: Tally, usage: object) -> None:
    """Take what an answer reports, if it does, by the names of any of OpenAI's APIs."""
    if not isinstance(usage, dict):
        return
    for read, written in _REPORTS:
        input_tokens, output_tokens = count_in(usage, read), count_in(usage, written)
        if input_tokens is not None or output_tokens is not None:
            tally.report(
                input_tokens,
                output_tokens,
                cached_tokens=_detail(usage, f"{read}_details", "cached_tokens"),
                reasoning_tokens=_detail(usage, f"{written}_details", "reasoning_tokens"),
            )
            return


def _detail(usage: Mapping[str, object], name: str, detail: str) -> int:
    details = usage.get(name)
    return (count_in(details, detail) or 0) if isinstance(details, dict) else 0
