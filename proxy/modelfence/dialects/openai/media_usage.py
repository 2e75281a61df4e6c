"""What an answer of OpenAI's API with pictures, sound or transcripts cost, read while it passes.

After OpenAI's API reference for images and audio: `usage` stands in a plain answer, and in the event that ends a
picture, a transcript or speech. What nobody reports is estimated: a picture as `IMAGE_TOKENS`, sound by its size, a
transcript by its text. Rule: nothing an upstream sends raises, and memory is bounded.

Why only what says that it is JSON is read for usage: a transcript asked for as plain text is all the caller's words.
Why events are shortened: a picture in base64 is larger than any event that is kept, and its usage stands behind it.
"""

import re
from collections.abc import Mapping

from modelfence.core.dialect import UsageReader
from modelfence.dialects.openai.media_endings import PictureEnding, SoundEnding, kind_of
from modelfence.dialects.openai.usage import count, report
from modelfence.dialects.shared.counting import PlainReader, StreamReader, Tally, count_in, media_type, size_of_media
from modelfence.dialects.shared.sse import Event, EventFraming, EventParser
from modelfence.dialects.shared.tokens import IMAGE_TOKENS, size_of, tokens_in_delta

PARTIAL_IMAGE_TOKENS = 100
"""What OpenAI charges for each picture that a stream shows before it is ready."""
LONGEST_RUN = 64 * 1024
"""Of base64 in one event of a stream of pictures; what goes on after it is only counted."""
_TEXT_EVENTS: Mapping[str, str] = {
    "transcript.text.delta": "delta",
    "transcript.text.segment": "text",
    "transcript.text.done": "text",
}
_RUN = re.compile(rb"[A-Za-z0-9+/=]+")


def media_reader(operation: str, content_type: str) -> UsageReader | None:
    """Return a counter for an answer with pictures, sound or files, None for those that `openai.usage` counts."""
    kind = media_type(content_type)
    return _stream_reader(operation) if kind == "text/event-stream" else _plain_reader(operation, kind)


def _stream_reader(operation: str) -> UsageReader | None:
    if operation == "image":
        return StreamReader(EventFraming(), PictureEvents(), PictureCounter(), PictureEnding())
    if operation == "audio":
        return StreamReader(EventFraming(), EventParser(), SoundCounter(), SoundEnding(), last=b"[DONE]")
    return None


def _plain_reader(operation: str, kind: str) -> UsageReader | None:
    match operation:
        case "image":
            # Whatever it says it is, what can't be read of it is pictures in base64.
            return PlainReader("image/*", PictureCounter())
        case "audio":
            return PlainReader(kind, SoundCounter() if kind == "application/json" else count_by_size)
        case "files":
            # A file may hold a batch's answers.
            return PlainReader("", count_by_size)
        case "batch" | "tuning":
            return PlainReader(kind, count_nothing, is_text=False)
        case _:
            return None


class PictureCounter:
    """Counts one answer of the images API, plain or streamed; each picture of a stream reports its own usage."""

    def __init__(self) -> None:
        self._input_tokens = 0
        self._output_tokens = 0

    def __call__(self, message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
        """Count a plain answer, or what one event of a stream adds."""
        kind, data = kind_of(message), message.get("data")
        if message.get("error") or kind == "error":
            return
        tally.served = True
        if kind.endswith(".partial_image"):
            tally.tokens += PARTIAL_IMAGE_TOKENS
        elif isinstance(data, list) or kind.endswith(".completed"):
            tally.tokens += IMAGE_TOKENS * (len(data) if isinstance(data, list) else 1)
            self._report(message, tally, is_streamed=is_streamed)
        else:
            tally.size += size

    def _report(self, message: Mapping[str, object], tally: Tally, *, is_streamed: bool) -> None:
        """Take what was reported in place of what was estimated; a drawing in SVG has a report of its own."""
        reports = [usage for name in ("usage", "svg_usage") if isinstance(usage := message.get(name), dict)]
        outputs = [count_in(usage, "output_tokens") for usage in reports]
        inputs = [count_in(usage, "input_tokens") for usage in reports]
        if not any(outputs):
            return
        if not is_streamed:
            self._input_tokens = self._output_tokens = 0
        self._input_tokens += sum(tokens or 0 for tokens in inputs)
        self._output_tokens += sum(tokens or 0 for tokens in outputs)
        reasoning = sum(count_in(usage, "reasoning_tokens") or 0 for usage in reports)
        told = None if None in inputs and not self._input_tokens else self._input_tokens
        tally.report(told, self._output_tokens, reasoning_tokens=reasoning)


class SoundCounter:
    """Counts one answer of the audio API, plain or streamed: a transcript, or speech."""

    def __init__(self) -> None:
        self._counted: set[str] = set()
        """The events whose text was counted; others repeat it."""

    def __call__(self, message: Mapping[str, object], size: int, tally: Tally, is_streamed: bool) -> None:  # noqa: FBT001 - see Count
        """Count a plain answer, or what one event of a stream adds."""
        kind, text = kind_of(message), message.get("text")
        if not is_streamed and isinstance(text, str):
            tally.size += size_of(text)
        elif kind in _TEXT_EVENTS and isinstance(added := message.get(_TEXT_EVENTS[kind]), str):
            self._add(kind, added, tally)
        elif kind == "speech.audio.delta" and isinstance(audio := message.get("audio"), str):
            tally.size += size_of_media(len(audio))
        elif kind != "speech.audio.done":
            count(message, size, tally, is_streamed)
            return
        tally.served = True
        report(tally, message.get("usage"))

    def _add(self, kind: str, text: str, tally: Tally) -> None:
        repeats = self._counted - {kind} if kind != "transcript.text.delta" else set()
        if not repeats:
            self._counted.add(kind)
            tally.tokens += tokens_in_delta(size_of(text))


def count_by_size(_message: Mapping[str, object], size: int, tally: Tally, _is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count all of an answer as text."""
    tally.served = True
    tally.size += size


def count_nothing(_message: Mapping[str, object], _size: int, tally: Tally, _is_streamed: bool) -> None:  # noqa: FBT001 - see Count
    """Count an answer that no model gave; what it reports was used by other calls."""
    tally.served = True


class PictureEvents:
    """A parser of a stream of pictures, in whose events what is long of base64 is left out."""

    def __init__(self) -> None:
        self.dropped_bytes = 0
        """Bytes of text that cost as much as what an event too long to keep would have."""
        self._events = EventParser()
        self._run = 0
        """Length of the base64 at the end of what was fed."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        if not data:
            return []
        shortened: list[bytes] = []
        at, run = 0, self._run
        for found in _RUN.finditer(data):
            if found.start():
                run = 0
            shortened += (data[at : found.start()], found[0][: max(0, LONGEST_RUN - run)])
            at, run = found.end(), run + len(found[0])
        self._run = run if at == len(data) else 0
        shortened.append(data[at:])
        events = self._events.feed(b"".join(shortened))
        self.dropped_bytes = size_of_media(self._events.dropped_bytes)
        return events
