"""What an answer of Gemini's API cost, read while it passes.

Usage stands in `usageMetadata`, which a stream repeats with every piece as the sum so far. What is counted in between:
`gemini.texts`. An answer in OpenAI's words is counted as the dialect `openai` does, and then by its total.

Why a piece is counted by its size: Gemini gathers several tokens in each, however short it is.
Why thoughts are added: `candidatesTokenCount` is without them, and they are paid as output. Why the total is looked at,
too: it was there before thoughts were counted by themselves, and of several counts the largest holds.
"""

from collections.abc import Mapping

from modelfence.core.call import Usage
from modelfence.core.dialect import Framing, UsageReader
from modelfence.dialects.gemini.endings import ArrayEnding, EitherEnding, is_openai
from modelfence.dialects.gemini.json_array import END, ArrayFraming, ArrayParser
from modelfence.dialects.gemini.texts import text_sizes, unread_size
from modelfence.dialects.openai.usage import count as count_openai
from modelfence.dialects.shared.counting import PlainReader, StreamReader, Tally, count_in, media_type
from modelfence.dialects.shared.sse import EventFraming, EventParser
from modelfence.dialects.shared.tokens import tokens_in

_WITHOUT_TEXT = ("embeddings", "models", "tokens")


def usage_reader(operation: str, content_type: str) -> UsageReader:
    """Return a counter for a stream or a plain answer."""
    kind = media_type(content_type)
    if kind == "text/event-stream":
        ending = EitherEnding() if operation == "chat" else None
        return StreamReader(EventFraming(), EventParser(), count, ending, last=b"[DONE]")
    if kind == "application/json" and operation == "chat":
        return ArrayOrObjectReader(content_type)
    return PlainReader(content_type, count, is_text=operation not in _WITHOUT_TEXT)


class ArrayOrObjectReader:
    """A `UsageReader` of a JSON array that is streamed, or of a plain answer: both are `application/json`.

    Before the first byte it is taken for a stream. A plain answer says at once that it has ended: it was reserved as
    a whole, and must not be cut off in its middle, where no word could end it.
    """

    def __init__(self, content_type: str) -> None:
        parser = ArrayParser()
        self.framing: Framing = ArrayFraming()
        self._array = StreamReader(self.framing, parser, count, ArrayEnding(parser), last=END)
        self._plain = PlainReader(content_type, count)
        self._is_plain: bool | None = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, decoded."""
        if self._is_plain is None and (begun := data.lstrip(b" \t\r\n")):
            self._is_plain = not begun.startswith(b"[")
        self._reader.feed(data)

    def usage(self) -> Usage | None:
        """Return what is known by now."""
        return self._reader.usage()

    @property
    def has_ended(self) -> bool:
        """Say whether no further event of a stream is to come."""
        return bool(self._is_plain) or self._array.has_ended

    @property
    def output_tokens(self) -> int:
        """Return the tokens generated so far."""
        return self._reader.output_tokens

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:
        """Return the element that ends an array here, and its closing bracket."""
        return self._reader.ending(with_usage=with_usage, input_tokens=input_tokens)

    @property
    def _reader(self) -> StreamReader | PlainReader:
        return self._plain if self._is_plain else self._array


def count(message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count a plain answer, or what one piece of a stream adds."""
    if is_openai(message):
        count_openai(message, size, tally, is_streamed)
        _report_total(tally, message.get("usage"))
        return
    sizes, unread = list(text_sizes(message)), unread_size(message, size)
    if is_streamed:
        tally.tokens += sum(map(tokens_in, sizes))
    else:
        tally.size += sum(sizes)
    tally.size += unread
    tally.served = tally.served or not message.get("error")
    if isinstance(usage := message.get("usageMetadata"), dict):
        _report(tally, usage)


def _report_total(tally: Tally, usage: object) -> None:
    """Take what the total in OpenAI's words holds beyond prompt and completion: there Google puts thoughts."""
    if not isinstance(usage, dict):
        return
    prompt, total = count_in(usage, "prompt_tokens"), count_in(usage, "total_tokens")
    if prompt is None or total is None:
        return
    answered = count_in(usage, "completion_tokens") or 0
    if total - prompt > answered:
        tally.report(prompt, total - prompt, reasoning_tokens=total - prompt - answered)


def _report(tally: Tally, usage: Mapping[str, object]) -> None:
    prompt, tools = count_in(usage, "promptTokenCount"), count_in(usage, "toolUsePromptTokenCount") or 0
    answered, thought = count_in(usage, "candidatesTokenCount"), count_in(usage, "thoughtsTokenCount")
    total = count_in(usage, "totalTokenCount")
    given = None if prompt is None else prompt + tools
    outputs = [] if answered is None and thought is None else [(answered or 0) + (thought or 0)]
    if given is not None and total is not None:
        outputs.append(max(0, total - given))
    tally.report(
        given,
        max(outputs, default=None),
        cached_tokens=count_in(usage, "cachedContentTokenCount") or 0,
        reasoning_tokens=thought or 0,
    )
