"""What an answer of Mistral's API cost, read while it passes.

Answers and chunks have OpenAI's shape, but for contents that are lists of parts. Usage stands in the chunk that ends
the last choice, unasked.
"""

from collections.abc import Mapping

from modelfence.core.dialect import UsageReader
from modelfence.dialects.mistral.content import flat_answer
from modelfence.dialects.mistral.endings import ChunksEnding
from modelfence.dialects.openai.usage import count as count_as_openai
from modelfence.dialects.shared.counting import PlainReader, StreamReader, Tally, media_type
from modelfence.dialects.shared.sse import EventFraming, EventParser

_WITHOUT_TEXT = ("embeddings", "moderation", "models", "batch", "files", "tuning")
_STREAMED = ("chat", "completion")


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream of events or a plain answer."""
    if media_type(content_type) == "text/event-stream":
        ending = ChunksEnding() if operation in _STREAMED else None
        return StreamReader(EventFraming(), EventParser(), count, ending, last=b"[DONE]")
    return PlainReader(content_type, count, is_text=operation not in _WITHOUT_TEXT)


def count(message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count a plain answer, or what one event of a stream adds."""
    known = {"error": message} if message.get("object") == "error" else flat_answer(message)
    count_as_openai(known, size, tally, is_streamed)
