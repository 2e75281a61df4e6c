"""What an answer of Anthropic's API cost, read while it passes.

Usage stands in a plain answer's `usage`; a stream tells the input in `message_start` and all of the output in
`message_delta`, where what it leaves out stays as it was. `input_tokens` is there what no cache was involved in, so the
input is the sum of three numbers. Some parts of an answer, such as a summary of what went before it, stand only in
`iterations`: what these add up to counts where it is more. The results of a batch are lines, each with a message.

Why the results of a batch cost their output only: the input was counted when the batch was made.
"""

from collections.abc import Mapping

from modelfence.core.dialect import UsageReader
from modelfence.dialects.anthropic.batch_results import ResultsReader
from modelfence.dialects.anthropic.endings import MessageEnding
from modelfence.dialects.anthropic.texts import Texts
from modelfence.dialects.shared.counting import MAX_TOKENS, PlainReader, StreamReader, Tally, count_in, media_type
from modelfence.dialects.shared.sse import EventFraming, EventParser

_INPUTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream of events, the results of a batch or a plain answer."""
    kind = media_type(content_type)
    counter = Counter()
    if kind == "text/event-stream":
        ending = MessageEnding() if operation == "chat" else None
        return StreamReader(EventFraming(), EventParser(), counter.count, ending)
    if operation == "batch" and kind != "application/json":
        return ResultsReader(lambda: Counter().count)
    return PlainReader(content_type, counter.count, is_text=operation not in {"tokens", "batch", "models"})


class Counter:
    """Counts one answer: what it says of its usage adds up over its events."""

    def __init__(self) -> None:
        self._inputs: dict[str, int] = {}
        self._texts = Texts()

    def count(self, message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
        """Count a plain answer, or what one event of a stream adds."""
        if is_streamed:
            self._texts.add_event(message, size, tally)
        else:
            self._texts.add_answer(message, size, tally)
        kind = message.get("type")
        tally.served = tally.served or not (kind == "error" or message.get("error") or kind == "ping")
        begun = message.get("message")
        if kind == "message_start" and isinstance(begun, dict):
            # What it says of the output is of its first token, and covers nothing that is to come.
            self._report(tally, begun.get("usage"), with_output=False)
        else:
            self._report(tally, message.get("usage"), with_output=True)

    def _report(self, tally: Tally, usage: object, *, with_output: bool) -> None:
        if not isinstance(usage, dict):
            return
        for name in _INPUTS:
            if (count := _count_in(usage, name)) is not None:
                self._inputs[name] = count
        details = usage.get("output_tokens_details")
        tally.report(
            min(MAX_TOKENS, sum(self._inputs.values())) if self._inputs else None,
            _count_in(usage, "output_tokens") if with_output else None,
            cached_tokens=self._inputs.get("cache_read_input_tokens", 0),
            reasoning_tokens=(count_in(details, "thinking_tokens") or 0) if isinstance(details, dict) else 0,
        )


def _count_in(usage: Mapping[str, object], name: str) -> int | None:
    """Return a count of the whole answer, or the sum over its parts where that is more; None when neither is told."""
    parts = usage.get("iterations")
    counts = [count_in(part, name) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    told = [count for count in counts if count is not None]
    count = count_in(usage, name)
    if not told:
        return count
    return min(MAX_TOKENS, max(count or 0, sum(told)))
