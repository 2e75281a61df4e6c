"""Ending a stream of chunks early, as Mistral's API ends one that reached its limit.

After the events that Mistral's SDK reads: each choice ends with a chunk that has a `finish_reason`, the last of them
tells the usage, unasked, and `[DONE]` follows. Rule: nothing an upstream sends raises, and only a few fields are kept.
"""

from collections.abc import Iterator, Mapping

from modelfence.core.call import Usage
from modelfence.dialects.openai.endings import as_event, index, is_small

_HEAD = ("id", "object", "created", "model")


class ChunksEnding:
    """Ends a stream of chunks, each of which adds to some of its choices."""

    def __init__(self) -> None:
        self.ended = False
        self._head: dict[str, object] = {"id": "0", "object": "chat.completion.chunk", "created": 0, "model": ""}
        self._open: set[int] = set()
        self._finished: set[int] = set()

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember which choices have begun and which are finished."""
        if message.get("object") == "error" or message.get("error"):
            self.ended = True
        choices = message.get("choices")
        if not isinstance(choices, list):
            return
        if not (self._open or self._finished):
            self._head |= {name: value for name in _HEAD if (value := message.get(name)) and is_small(value)}
        for choice in choices:
            self._take_choice(choice)

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - Mistral always tells it
        """Return one chunk for each choice that is open, the last of them with the usage, and the end."""
        return b"".join(map(as_event, self._chunks(usage))) + b"data: [DONE]\n\n"

    def _take_choice(self, choice: object) -> None:
        place = index(choice.get("index", 0)) if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or place is None:
            return
        if choice.get("finish_reason"):
            self._finished.add(place)
            self._open.discard(place)
        elif place not in self._finished:
            self._open.add(place)

    def _chunks(self, usage: Usage) -> Iterator[dict[str, object]]:
        begun = bool(self._open or self._finished)
        places = sorted(self._open) if begun else [0]
        counts = {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        for place in places:
            delta = {"content": ""} if begun else {"role": "assistant", "content": ""}
            choice = {"index": place, "delta": delta, "finish_reason": "length"}
            told = {"usage": counts} if place == places[-1] else {}
            yield {**self._head, "choices": [choice], **told}
