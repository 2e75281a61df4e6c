"""Ending a stream of Gemini's API early, as Google ends one that reached its limit.

After the Gemini API's reference, `GenerateContentResponse`: the last piece of each candidate has a `finishReason`, and
every piece has the usage so far. A stream of events has no other end; an array is closed. Rule: nothing an upstream
sends raises, and only a few fields are kept.
"""

import json
from collections.abc import Mapping

from modelfence.core.call import Usage
from modelfence.dialects.gemini.json_array import ArrayParser
from modelfence.dialects.openai.endings import ChunksEnding, chat_ending, index, is_small

_HEAD = ("modelVersion", "responseId")


class Candidates:
    """Which candidates of an answer are open, and the piece that ends them."""

    def __init__(self) -> None:
        self.has_failed = False
        """The API has said that something went wrong, and nothing may follow."""
        self._head: dict[str, object] = {}
        self._open: set[int] = set()
        self._finished: set[int] = set()

    def take(self, message: Mapping[str, object]) -> None:
        """Remember which candidates have begun and which are finished."""
        if message.get("error"):
            self.has_failed = True
        self._head |= {name: value for name in _HEAD if (value := message.get(name)) and is_small(value)}
        candidates = message.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            place = index(candidate.get("index", 0)) if isinstance(candidate, dict) else None
            if not isinstance(candidate, dict) or place is None:
                continue
            if candidate.get("finishReason"):
                self._finished.add(place)
                self._open.discard(place)
            elif place not in self._finished:
                self._open.add(place)

    def last(self, usage: Usage) -> bytes:
        """Return the piece that ends what is open, or the first candidate when none has begun; empty for nothing.

        In ASCII, so that half a surrogate pair goes on as it came.
        """
        places = sorted(self._open) if self._open or self._finished else [0]
        if not places:
            return b""
        candidates = [
            {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "MAX_TOKENS", "index": place}
            for place in places
        ]
        message = {"candidates": candidates, "usageMetadata": _told(usage), **self._head}
        return json.dumps(message, separators=(",", ":")).encode()


class EventsEnding:
    """Ends a stream of events in Gemini's own words."""

    def __init__(self) -> None:
        self.ended = False
        self._candidates = Candidates()

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Take the next event."""
        self._candidates.take(message)
        self.ended = self.ended or self._candidates.has_failed

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - Gemini always tells its usage
        """Return the event that ends the stream here, unless all of it is finished."""
        last = self._candidates.last(usage)
        return b"data: " + last + b"\r\n\r\n" if last else b""


class ArrayEnding:
    """Ends a JSON array of the elements that the parser has seen."""

    def __init__(self, parser: ArrayParser) -> None:
        self.ended = False
        self._candidates = Candidates()
        self._parser = parser

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Take the next element."""
        self._candidates.take(message)

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - Gemini always tells its usage
        """Return the last element, with the comma before it, and the closing bracket."""
        last = b"" if self._candidates.has_failed else self._candidates.last(usage)
        if not self._parser.has_begun:
            return b"[" + last + b"\n]"
        return (b",\r\n" + last if last else b"") + b"\n]"


class EitherEnding:
    """Ends a stream of events in Gemini's own words or in OpenAI's, whichever the upstream speaks."""

    def __init__(self) -> None:
        self._ending: EventsEnding | ChunksEnding = EventsEnding()
        self._is_known = False

    @property
    def ended(self) -> bool:
        """Say whether the stream has said its last word."""
        return self._ending.ended

    @ended.setter
    def ended(self, has_ended: bool) -> None:
        self._ending.ended = has_ended

    def take(self, message: Mapping[str, object], data: bytes) -> None:
        """Take the next event; the first one tells whose words they are."""
        if not self._is_known:
            self._is_known = True
            if is_openai(message):
                self._ending = chat_ending()
        self._ending.take(message, data)

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:
        """Return the events that end the stream here."""
        return self._ending.events(usage, with_usage=with_usage)


def is_openai(message: Mapping[str, object]) -> bool:
    """Say whether an answer, or a piece of one, is in OpenAI's words: no message of Gemini's has these fields."""
    return "choices" in message or "object" in message


def _told(usage: Usage) -> dict[str, int]:
    counts = {
        "promptTokenCount": usage.input_tokens,
        "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.input_tokens + usage.output_tokens,
    }
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    return counts
