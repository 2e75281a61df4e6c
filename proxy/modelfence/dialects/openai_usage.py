"""What an answer of OpenAI's API cost, read while it passes.

Usage stands in a plain answer's `usage`, in the last chunk of a chat stream, and in the `response` of the events that
end a responses stream. What passed since the last report, or without one, is estimated from its text, so that an
answer cut off anywhere is counted up to there; what a stream adds in one piece is nearly always one token, see
`tokens_in_delta`. Rule: nothing an upstream sends raises, and memory is bounded.

An estimate knows only what passed: its input is zero, and whoever settles it puts in what the request was read as.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from modelfence.core.call import Usage
from modelfence.core.dialect import UsageReader
from modelfence.dialects.openai_endings import Ending, chat_ending, completion_ending
from modelfence.dialects.openai_response_ending import ResponseEnding
from modelfence.dialects.openai_tally import Tally
from modelfence.dialects.openai_texts import MEDIA_BYTES_PER_TOKEN, text_sizes, unread_size
from modelfence.dialects.sse import EventParser
from modelfence.dialects.tokens import BYTES_PER_TOKEN, tokens_in_delta

MAX_BODY_BYTES = 8 * 1024 * 1024
_WITHOUT_TEXT = ("embeddings", "models")
_MEDIA = ("audio/", "image/", "video/", "application/octet-stream")
_ENDINGS: Mapping[str, Callable[[], Ending]] = {
    "chat": chat_ending,
    "completion": completion_ending,
    "responses": ResponseEnding,
}


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
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        ending = _ENDINGS.get(operation)
        return _StreamReader(ending() if ending else None)
    return _PlainReader(kind, is_text=operation not in _WITHOUT_TEXT)


class _StreamReader:
    """Counts a stream of server-sent events, and knows how to end it."""

    def __init__(self, ending: Ending | None) -> None:
        self._tally = Tally()
        self._parser = EventParser()
        self._ending = ending
        self._is_done = False

    def feed(self, data: bytes) -> None:
        dropped_bytes = self._parser.dropped_bytes
        for event in self._parser.feed(data):
            if event.data != b"[DONE]":
                self._take(event.data)
                continue
            self._is_done = True
            if self._ending is not None:
                self._ending.ended = True
        self._tally.size += self._parser.dropped_bytes - dropped_bytes

    def usage(self) -> Usage | None:
        return self._tally.usage()

    @property
    def has_ended(self) -> bool:
        return self._is_done or (self._ending is not None and self._ending.ended)

    @property
    def output_tokens(self) -> int:
        return self._tally.output_tokens

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:
        if self._ending is None or self._ending.ended:
            return b""
        usage = self.usage() or Usage()
        told = replace(usage, input_tokens=usage.input_tokens or input_tokens)
        return self._ending.events(told, with_usage=with_usage)

    def _take(self, data: bytes) -> None:
        """Take one event; one that is no JSON object, or nested beyond reading, is counted by its size."""
        try:
            message = json.loads(data)
            if isinstance(message, dict):
                tokens, unread = sum(map(tokens_in_delta, text_sizes(message))), unread_size(message, len(data))
                self._tally.tokens += tokens
                self._tally.size += unread
                self._tally.take(message)
                if self._ending is not None:
                    self._ending.take(message, data)
                return
        except (ValueError, RecursionError):
            pass
        self._tally.size += len(data)


class _PlainReader:
    """Counts an answer that is one JSON object, kept until it is asked for."""

    def __init__(self, kind: str, *, is_text: bool) -> None:
        """`kind` is the media type; what is no text, such as embeddings, costs its input only."""
        self._is_media = kind.startswith(_MEDIA)
        self._is_text = is_text
        self._body = bytearray()
        self._size = 0
        self._last = b""
        self._counted: Usage | None = None
        self._is_counted = False

    def feed(self, data: bytes) -> None:
        self._is_counted = False
        self._size += len(data)
        self._last = data.rstrip()[-1:] or self._last
        if self._size <= MAX_BODY_BYTES:
            self._body += data
        else:
            self._body.clear()

    def usage(self) -> Usage | None:
        if not self._is_counted:
            self._counted, self._is_counted = self._read(), True
        return self._counted

    @property
    def has_ended(self) -> bool:
        return False

    @property
    def output_tokens(self) -> int:
        usage = self.usage()
        return usage.output_tokens if usage else 0

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:  # noqa: ARG002 - it is no stream of events
        return b""

    def _read(self) -> Usage | None:
        tally = Tally()
        if not (self._last == b"}" and self._take(tally)) and self._size:
            # Cut off, too long to keep, or nothing that is read here: it is counted as if all of it were text.
            tally.served = True
            tally.size = -(-self._size * BYTES_PER_TOKEN // MEDIA_BYTES_PER_TOKEN) if self._is_media else self._size
        if not self._is_text:
            tally.size = 0
        return tally.usage()

    def _take(self, tally: Tally) -> bool:
        """Count what ends as a JSON object does; say False when it is none, or nested beyond reading."""
        try:
            message = json.loads(bytes(self._body))
            tally.size = sum(text_sizes(message)) + unread_size(message, self._size)
        except (ValueError, RecursionError):
            return False
        tally.take(message)
        return True
