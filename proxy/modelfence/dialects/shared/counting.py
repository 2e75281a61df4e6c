"""Counting what an answer cost while it passes: the provider's own report, and an estimate of what none covers.

What passed since the last report, or without one, is estimated from its text, so that an answer cut off anywhere is
counted up to there; what a stream adds in one piece is nearly always one token, see `tokens_in_delta`. Rule: nothing an
upstream sends raises, and memory is bounded.

An estimate knows only what passed: its input is zero, and whoever settles it puts in what the request was read as.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from modelfence.core.call import Usage
from modelfence.core.dialect import Framing
from modelfence.dialects.shared.sse import Event
from modelfence.dialects.shared.tokens import BYTES_PER_TOKEN, tokens_in

MAX_TOKENS = 1_000_000_000
"""More than any answer costs: a report beyond it is a fault and is ignored."""
MAX_BODY_BYTES = 8 * 1024 * 1024
MEDIA_BYTES_PER_TOKEN = 512
"""Of base64. OpenAI bills an image of 1.5 to 2 MB as some 4,000 tokens, a second of sound (64 KB) as 20: this is more,
since doubt counts against the caller."""
_MEDIA = ("audio/", "image/", "video/", "application/octet-stream")


class Tally:
    """What is known of one answer's cost."""

    def __init__(self) -> None:
        self.tokens = 0
        """Tokens of text that no report covers yet, counted one by one."""
        self.size = 0
        """Bytes of further such text."""
        self.served = False
        """Something of an answer has passed, if only its beginning."""
        self._reported: Usage | None = None

    @property
    def output_tokens(self) -> int:
        """Return the tokens generated so far."""
        reported = self._reported.output_tokens if self._reported else 0
        return reported + self.tokens + tokens_in(self.size)

    def report(
        self, input_tokens: int | None, output_tokens: int | None, *, cached_tokens: int = 0, reasoning_tokens: int = 0
    ) -> None:
        """Take what the provider reports, which covers all text up to here; None is what it does not say.

        `cached_tokens` are part of the input, `reasoning_tokens` of the output. A report that does not grow, as some
        servers send with every piece, covers nothing new.
        """
        if input_tokens is None and output_tokens is None:
            return
        before = self._reported.output_tokens if self._reported else 0
        if output_tokens is not None and output_tokens > before:
            self.tokens = self.size = 0
        self._reported = Usage(
            input_tokens=input_tokens or 0,
            output_tokens=max(before, output_tokens or 0),
            cached_tokens=min(input_tokens or 0, cached_tokens),
            reasoning_tokens=min(output_tokens or 0, reasoning_tokens),
            # Whoever settles puts in what the request was read as: no input is no fact that was reported.
            estimated=input_tokens is None,
        )

    def usage(self) -> Usage | None:
        """Return the last report and an estimate of what it does not cover; None when nothing was served."""
        unreported = bool(self.tokens or self.size)
        if self._reported is None:
            return Usage(output_tokens=self.output_tokens, estimated=True) if self.served or unreported else None
        return (
            replace(self._reported, output_tokens=self.output_tokens, estimated=True) if unreported else self._reported
        )


type Count = Callable[[Mapping[str, object], int, Tally, bool], None]
"""Counts a message of so many bytes, a plain answer's or, when true, what one event of a stream adds."""


class Parser(Protocol):
    """Turns the bytes of one stream into its events."""

    dropped_bytes: int
    """Bytes of events that were too long to keep."""

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        ...


class Ending(Protocol):
    """What it takes to end one stream."""

    ended: bool
    """The stream has said its last word, and nothing may follow."""

    def take(self, message: Mapping[str, object], data: bytes) -> None:
        """Take the next event, parsed and as it came."""
        ...

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:
        """Return the events that end the stream here."""
        ...


class StreamReader:
    """A `UsageReader` of a stream of events, each of which is a JSON object; it knows how to end it.

    `last` is what stands in place of a JSON object when the stream is over, where there is such a thing.
    """

    def __init__(
        self, framing: Framing, parser: Parser, count: Count, ending: Ending | None, *, last: bytes | None = None
    ) -> None:
        self.framing = framing
        self._parser = parser
        self._count = count
        self._ending = ending
        self._last = last
        self._tally = Tally()
        self._is_done = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, decoded."""
        dropped_bytes = self._parser.dropped_bytes
        for event in self._parser.feed(data):
            if self._last is None or event.data != self._last:
                self._take(event.data)
                continue
            self._is_done = True
            if self._ending is not None:
                self._ending.ended = True
        self._tally.size += self._parser.dropped_bytes - dropped_bytes

    def usage(self) -> Usage | None:
        """Return what is known by now."""
        return self._tally.usage()

    @property
    def has_ended(self) -> bool:
        """Say whether the stream's last event has passed."""
        return self._is_done or (self._ending is not None and self._ending.ended)

    @property
    def output_tokens(self) -> int:
        """Return the tokens generated so far."""
        return self._tally.output_tokens

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:
        """Return the events that end the stream here."""
        if self._ending is None or self._ending.ended:
            return b""
        usage = self.usage() or Usage()
        told = replace(usage, input_tokens=usage.input_tokens or input_tokens)
        return self._ending.events(told, with_usage=with_usage)

    def _take(self, data: bytes) -> None:
        """Take one event; one that is no JSON object, or nested beyond reading, is counted by its size."""
        try:
            message = json.loads(data.decode())
            if isinstance(message, dict):
                self._count(message, len(data), self._tally, True)
                if self._ending is not None:
                    self._ending.take(message, data)
                return
        except (ValueError, RecursionError):
            pass
        self._tally.size += len(data)


class PlainReader:
    """A `UsageReader` of an answer that is one JSON object, kept until it is asked for."""

    framing = None

    def __init__(self, content_type: str, count: Count, *, is_text: bool = True) -> None:
        """What is no text, such as embeddings, costs its input only."""
        self._is_media = media_type(content_type).startswith(_MEDIA)
        self._count = count
        self._is_text = is_text
        self._body = bytearray()
        self._size = 0
        self._last = b""
        self._counted: Usage | None = None
        self._is_counted = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body, decoded."""
        self._is_counted = False
        self._size += len(data)
        self._last = data.rstrip()[-1:] or self._last
        if self._size <= MAX_BODY_BYTES:
            self._body += data
        else:
            self._body.clear()

    def usage(self) -> Usage | None:
        """Return what is known by now."""
        if not self._is_counted:
            self._counted, self._is_counted = self._read(), True
        return self._counted

    @property
    def has_ended(self) -> bool:
        """Say no: only the end of the body is the end."""
        return False

    @property
    def output_tokens(self) -> int:
        """Return the tokens generated so far."""
        usage = self.usage()
        return usage.output_tokens if usage else 0

    def ending(self, *, with_usage: bool, input_tokens: int) -> bytes:  # noqa: ARG002 - it is no stream of events
        """Return nothing."""
        return b""

    def _read(self) -> Usage | None:
        tally = Tally()
        if not (self._last == b"}" and self._take(tally)) and self._size:
            # Cut off, too long to keep, or nothing that is read here: it is counted as if all of it were text.
            tally.served = True
            tally.size = size_of_media(self._size) if self._is_media else self._size
        if not self._is_text:
            tally.size = 0
        return tally.usage()

    def _take(self, tally: Tally) -> bool:
        """Count what ends as a JSON object does; say False when it is none, or nested beyond reading."""
        try:
            message = json.loads(bytes(self._body))
            if isinstance(message, dict):
                self._count(message, self._size, tally, False)
                return True
        except (ValueError, RecursionError):
            pass
        return False


def media_type(content_type: str) -> str:
    """Return the media type of a Content-Type, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def size_of_media(size: int) -> int:
    """Return the bytes of text that cost as much as these of base64."""
    return -(-size * BYTES_PER_TOKEN // MEDIA_BYTES_PER_TOKEN)


def count_in(usage: Mapping[str, object], name: str) -> int | None:
    """Return a count of tokens that a report gives; None when it is missing or can't be one."""
    value = usage.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_TOKENS else None
