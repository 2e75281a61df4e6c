"""What an answer of Bedrock's cost, read while it passes.

`converse` tells it in `usage`, and a stream in the event `metadata`. Answers of `invoke` are the model's own: each
family counts in its own words, and the last chunk of a stream holds `amazon-bedrock-invocationMetrics`, Bedrock's own.
What no report covers is estimated from its text; Mistral's plain answers tell nothing but in headers.

Why the input is a sum: `inputTokens` is what no cache was involved in.
"""

from collections.abc import Mapping

from modelfence.core.dialect import UsageReader
from modelfence.dialects.bedrock.endings import StreamEnding
from modelfence.dialects.bedrock.event_stream import EXCEPTION, MEDIA_TYPE, MessageFraming, MessageParser
from modelfence.dialects.bedrock.sizes import size_of_generated
from modelfence.dialects.shared.counting import MAX_TOKENS, PlainReader, StreamReader, Tally, count_in, media_type
from modelfence.dialects.shared.tokens import tokens_in_delta

METRICS = "amazon-bedrock-invocationMetrics"
_WITHOUT_TEXT = ("embeddings", "tokens")
_INPUTS = (
    ("inputTokens", "input_tokens", "inputTokenCount", "prompt_tokens", "inputTextTokenCount", "prompt_token_count"),
    ("cacheReadInputTokens", "cacheReadInputTokenCount", "cache_read_input_tokens"),
    ("cacheWriteInputTokens", "cacheWriteInputTokenCount", "cache_creation_input_tokens"),
)
"""What was read anew, out of a cache and into one: each in the words of the families, of which the largest counts."""
_OUTPUTS = (
    "outputTokens", "output_tokens", "outputTokenCount", "completion_tokens", "totalOutputTextTokenCount",
    "generation_token_count",
)  # fmt: skip
_NO_ANSWER = ("messageStart", "metadata", "contentBlockStop", "messageStop")
"""Events of `converse` and of the families like it that hold no text of the model's."""


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream of messages or a plain answer."""
    if media_type(content_type) == MEDIA_TYPE:
        parser = MessageParser()
        return StreamReader(MessageFraming(), parser, Counter().count, StreamEnding(parser))
    if operation == "tokens":
        return PlainReader(content_type, _count_nothing, is_text=False)
    return PlainReader(content_type, Counter().count, is_text=operation not in _WITHOUT_TEXT)


class Counter:
    """Counts one answer: what it says of its usage adds up over its events."""

    def __init__(self) -> None:
        self._inputs: dict[int, int] = {}

    def count(self, message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: ARG002, FBT001 - see Count
        """Count a plain answer, or what one event of a stream adds."""
        if not is_streamed:
            self._count_answer(message, tally)
            return
        for kind, event in message.items():
            inner = event if isinstance(event, dict) else {}
            # The families that answer as `converse` does have its events within chunks.
            events = inner if kind == "chunk" else {kind: event}
            told = {name: one for name, one in events.items() if name not in _NO_ANSWER}
            is_error = kind == EXCEPTION
            tally.served = tally.served or not is_error
            tally.tokens += 0 if is_error else tokens_in_delta(size_of_generated(told))
            self._report_of(events, tally)

    def _count_answer(self, message: Mapping[str, object], tally: Tally) -> None:
        tally.served = True
        tally.size += size_of_generated(message)
        self._report_of(message, tally)
        results = message.get("results")
        listed = results if isinstance(results, list) else []
        counts = [count_in(one, "tokenCount") for one in listed if isinstance(one, dict)]
        told = [count for count in counts if count is not None]
        if told:
            self._report({"outputTokens": min(MAX_TOKENS, sum(told))}, tally)

    def _report_of(self, message: Mapping[str, object], tally: Tally) -> None:
        """Take every report in an answer or an event, wherever its family puts it."""
        begun, metadata = message.get("message"), message.get("metadata")
        if isinstance(begun, dict):
            # What it says of the output is of its first token, and covers nothing that is to come.
            self._report(begun.get("usage"), tally, with_output=False)
        if isinstance(metadata, dict):
            self._report(metadata.get("usage"), tally)
        for report in (message, message.get("usage"), message.get(METRICS)):
            self._report(report, tally)

    def _report(self, usage: object, tally: Tally, *, with_output: bool = True) -> None:
        if not isinstance(usage, dict):
            return
        for place, names in enumerate(_INPUTS):
            counts = _counts(usage, names)
            if counts:
                self._inputs[place] = max(counts)
        outputs = _counts(usage, _OUTPUTS) if with_output else []
        if not outputs and not any(_counts(usage, names) for names in _INPUTS):
            return
        tally.report(
            min(MAX_TOKENS, sum(self._inputs.values())) if self._inputs else None,
            max(outputs) if outputs else None,
            cached_tokens=self._inputs.get(1, 0),
        )


def _counts(usage: Mapping[str, object], names: tuple[str, ...]) -> list[int]:
    return [count for name in names if (count := count_in(usage, name)) is not None]


def _count_nothing(_message: Mapping[str, object], _size: int, tally: Tally, _is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Report that counting tokens costs none."""
    tally.report(0, 0)
