"""Ending a stream of Anthropic's API early, as the API ends one that reached `max_tokens`.

After Anthropic's API reference, "Streaming messages": what is open is stopped, then `message_delta` says why and what
it cost, then comes `message_stop`. Rule: nothing an upstream sends raises, and only places of open blocks are kept.

Why a tool's call is closed where it was cut: the API does so, too. That its input is not whole is said by the reason
`max_tokens`, where a call that may be run ends with `tool_use`.

Why an answer without any block gets an empty one: its readers look for the text in the first.
"""

import json
from collections.abc import Iterator, Mapping

from modelfence.core.call import Usage

MAX_INDEX = 65_535
"""The highest place of a block that is followed. Blocks of one stream come one after the other."""
MAX_OPEN = 128
_UNSAID: Mapping[str, object] = {
    "id": "msg_0", "type": "message", "role": "assistant", "model": "", "content": [], "stop_reason": None,
    "stop_sequence": None,
}  # fmt: skip
"""A message of which nothing has come."""


class MessageEnding:
    """Ends a stream of events that build one message."""

    def __init__(self) -> None:
        self.ended = False
        self._begun = False
        self._has_blocks = False
        self._reason_told = False
        self._open: set[int] = set()

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember what is open, and how far the message has come."""
        delta, place = message.get("delta"), _index(message.get("index"))
        match message.get("type"):
            case "message_start":
                self._begun = True
            case "content_block_start":
                self._has_blocks = True
                if place is not None and len(self._open) < MAX_OPEN:
                    self._open.add(place)
            case "content_block_stop" if place is not None:
                self._open.discard(place)
            case "message_delta" if isinstance(delta, dict) and delta.get("stop_reason"):
                self._reason_told = True
            case "message_stop" | "error":
                self.ended = True

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - a message always tells its usage
        """Return the events that stop what is open and say that the limit was reached."""
        return b"".join(map(_as_event, self._events(usage)))

    def _events(self, usage: Usage) -> Iterator[dict[str, object]]:
        if not self._begun:
            told = {"input_tokens": usage.input_tokens, "output_tokens": 0}
            yield {"type": "message_start", "message": {**_UNSAID, "usage": told}}
        if not (self._has_blocks or self._reason_told):
            yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            yield {"type": "content_block_stop", "index": 0}
        for place in sorted(self._open):
            yield {"type": "content_block_stop", "index": place}
        if not self._reason_told:
            delta = {"stop_reason": "max_tokens", "stop_sequence": None}
            yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage.output_tokens}}
        yield {"type": "message_stop"}


def _as_event(message: Mapping[str, object]) -> bytes:
    return f"event: {message['type']}\ndata: {json.dumps(message, separators=(',', ':'))}\n\n".encode()


def _index(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_INDEX else None
