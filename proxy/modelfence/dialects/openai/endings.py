"""Ending a stream of chat or completion chunks early, as OpenAI's API ends one that reached its limit.

After OpenAI's API reference, "Streaming": each choice ends with a chunk that has a `finish_reason`, then comes the
usage where it was asked for, then `[DONE]`. Rule: nothing an upstream sends raises, and only a few fields are kept.
"""

import json
from collections.abc import Iterator, Mapping

from modelfence.core.call import Usage

MAX_INDEX = 127
"""The highest place of a choice, an item or a part that is followed: OpenAI's own limit is 128 choices."""
MAX_SCALAR = 1024
"""Characters of the longest field that is taken over."""
_HEAD = ("id", "object", "created", "model", "system_fingerprint", "service_tier")


class ChunksEnding:
    """Ends a stream of chunks, each of which adds to some of its choices."""

    def __init__(
        self, head: Mapping[str, object], *, nothing: Mapping[str, object], first: Mapping[str, object]
    ) -> None:
        """`head` stands in for what the stream did not say; `nothing` and `first` are what a choice's end adds to it.

        `first` is for a choice that has not even begun.
        """
        self.ended = False
        self._head = dict(head)
        self._nothing = nothing
        self._first = first
        self._open: set[int] = set()
        self._finished: set[int] = set()
        self._usage_told = False

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember which choices have begun and which are finished."""
        if message.get("error"):
            self.ended = True
        choices = message.get("choices")
        if not isinstance(choices, list):
            return
        if not (self._open or self._finished):
            # Azure's first chunk has neither choices nor a name, so it is the first with a choice that counts.
            self._head |= {name: value for name in _HEAD if (value := message.get(name)) and is_small(value)}
        for choice in choices:
            self._take_choice(choice)
        if not choices and isinstance(message.get("usage"), dict):
            self._usage_told = True

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:
        """Return one chunk for each choice that is open, the usage if it is to be told, and the end."""
        return b"".join(as_event(chunk) for chunk in self._chunks(usage, with_usage=with_usage)) + b"data: [DONE]\n\n"

    def _take_choice(self, choice: object) -> None:
        place = index(choice.get("index", 0)) if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or place is None:
            return
        if choice.get("finish_reason"):
            self._finished.add(place)
            self._open.discard(place)
        elif place not in self._finished:
            self._open.add(place)

    def _chunks(self, usage: Usage, *, with_usage: bool) -> Iterator[dict[str, object]]:
        # Who asks for usage gets a null in every chunk but the last.
        no_usage = {"usage": None} if with_usage else {}
        begun = bool(self._open or self._finished)
        for place in sorted(self._open) if begun else [0]:
            added = self._nothing if begun else self._first
            choice = {"index": place, **added, "logprobs": None, "finish_reason": "length"}
            yield {**self._head, "choices": [choice], **no_usage}
        if with_usage and not self._usage_told:
            counts = {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.input_tokens + usage.output_tokens,
            }
            yield {**self._head, "choices": [], "usage": counts}


def chat_ending() -> ChunksEnding:
    """Return the ending of a chat stream of which nothing has passed yet."""
    return ChunksEnding(
        {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": ""},
        nothing={"delta": {}},
        first={"delta": {"role": "assistant", "content": ""}},
    )


def completion_ending() -> ChunksEnding:
    """Return the ending of a completion's stream of which nothing has passed yet."""
    head = {"id": "cmpl-0", "object": "text_completion", "created": 0, "model": ""}
    return ChunksEnding(head, nothing={"text": ""}, first={"text": ""})


def as_event(message: Mapping[str, object], *, name: str = "") -> bytes:
    """Return a message as one event. In ASCII, so that half a surrogate pair goes on as it came."""
    lines = f"event: {name}\n" if name else ""
    return f"{lines}data: {json.dumps(message, separators=(',', ':'))}\n\n".encode()


def index(value: object) -> int | None:
    """Return the place of a choice, an item or a part; None when it is none that is followed."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_INDEX else None


def is_small(value: object) -> bool:
    """Say whether a value is a number or a text, and short."""
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= MAX_SCALAR)
