"""Ending a stream of Cohere's API early, as the API ends one that reached `max_tokens`.

After Cohere's API reference, "Stream events": what is open is closed, then the last event tells why it ended and what
it cost. Rule: nothing an upstream sends raises, and memory is bounded.

Why a tool's call is left open when it is cut: clients run a tool as soon as its call is said to have ended, and half
a shell command is another command.
"""

from collections.abc import Callable, Iterator, Mapping

from modelfence.core.call import Usage
from modelfence.dialects.openai.endings import as_event, index, is_small
from modelfence.dialects.shared.lines import as_line

MAX_KEPT_BYTES = 512 * 1024
"""Of an answer of version 1, whose last event repeats its text: a longer one is left out of it."""
_OPENS = {"content-start": "content-end", "content-delta": "content-end", "citation-start": "citation-end"}
_CLOSES = frozenset(_OPENS.values())
_NOBODY = "00000000-0000-0000-0000-000000000000"
"""Stands in for an id that the stream did not say."""


class ChatEnding:
    """Ends a stream of events; those of version 1, which may be asked for as events, are ended in its own words."""

    def __init__(self) -> None:
        self.ended = False
        self._id = ""
        self._begun = False
        self._open: dict[tuple[str, int], None] = {}
        """What is to be closed: the event that does it, and the place; those opened first come first."""
        self._old: OldChatEnding | None = None

    def take(self, message: Mapping[str, object], data: bytes) -> None:
        """Remember what is open."""
        if "event_type" in message and not self._begun:
            self._old = self._old or OldChatEnding(_as_old_event)
            self._old.take(message, data)
            self.ended = self._old.ended
            return
        kind, place = message.get("type"), index(message.get("index", 0))
        if kind == "message-end":
            self.ended = True
        elif kind == "message-start":
            self._begun, given = True, message.get("id")
            self._id = given if isinstance(given, str) and is_small(given) else ""
        elif isinstance(kind, str) and place is not None:
            if kind in _OPENS:
                self._open[_OPENS[kind], place] = None
            elif kind in _CLOSES:
                self._open.pop((kind, place), None)

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:
        """Return the events that close what is open, and the last one."""
        if self._old is not None:
            return self._old.events(usage, with_usage=with_usage)
        return b"".join(as_event(event, name=str(event["type"])) for event in self._closing(usage))

    def _closing(self, usage: Usage) -> Iterator[dict[str, object]]:
        name = self._id or _NOBODY
        if not self._begun:
            message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
            yield {"id": name, "type": "message-start", "delta": {"message": message}}
        for kind, place in self._open:
            yield {"type": kind, "index": place}
        yield {"id": name, "type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": _counts(usage)}}


class OldChatEnding:
    """Ends a stream of version 1, whose last message repeats the answer."""

    def __init__(self, write: Callable[[Mapping[str, object]], bytes] = as_line) -> None:
        """`write` makes what the stream is made of out of a message: a line, or an event."""
        self.ended = False
        self._write = write
        self._id = ""
        self._text = bytearray()
        self._room = MAX_KEPT_BYTES

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember the text."""
        kind, text, given = message.get("event_type"), message.get("text"), message.get("generation_id")
        if kind == "stream-end":
            self.ended = True
        elif kind == "stream-start":
            self._id = given if isinstance(given, str) and is_small(given) else ""
        elif kind == "text-generation" and isinstance(text, str):
            encoded = text.encode(errors="surrogatepass")
            self._room -= len(encoded)
            if self._room >= 0:
                self._text += encoded

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - a chat always tells its usage
        """Return the last message."""
        text = self._text.decode(errors="surrogatepass") if self._room >= 0 else ""
        response = {
            "response_id": _NOBODY,
            "generation_id": self._id or _NOBODY,
            "text": text,
            "finish_reason": "MAX_TOKENS",
            "meta": {"api_version": {"version": "1"}, **_counts(usage)},
        }
        ended = {"is_finished": True, "event_type": "stream-end", "finish_reason": "MAX_TOKENS"}
        return self._write({**ended, "response": response})


def _as_old_event(message: Mapping[str, object]) -> bytes:
    return as_event(message, name=str(message["event_type"]))


def _counts(usage: Usage) -> dict[str, object]:
    counts = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {"billed_units": counts, "tokens": counts}
