"""Ending a stream of OpenAI's Responses API early, as the API ends one that reached `max_output_tokens`.

After OpenAI's API reference, "Streaming events": what is open is closed from the inside out (text, part, item), and
`response.incomplete` carries the whole response. Rule: nothing an upstream sends raises, and memory is bounded: events
are kept as the bytes they came in, and parsed when a stream has to be ended.

Why a tool's call is left out when it is cut: clients run a tool as soon as its arguments are called done, and half a
shell command is another command. It could not be sent back in the next request either, without an output.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelfence.core.call import Usage
from modelfence.dialects.openai.endings import as_event, index, is_small

MAX_RESPONSE_BYTES = 256 * 1024
"""Of a larger response object, such as one that repeats long instructions, only numbers and short texts are kept."""
MAX_KEPT_BYTES = 2 * 1024 * 1024
"""Beyond this in items and their text, those still open are let go, and later ones with them."""
MAX_NUMBER = 1_000_000_000
_LAST = ("response.completed", "response.failed", "response.incomplete", "response.cancelled", "error")
_CLOSED_ITEMS = ("message", "reasoning")
_TEXT_DONE = {
    "output_text": "response.output_text.done",
    "refusal": "response.refusal.done",
    "reasoning_text": "response.reasoning_text.done",
    "summary_text": "response.reasoning_summary_text.done",
}
_TEXT_DONES = tuple(_TEXT_DONE.values())
_PART_ADDED = ("response.content_part.added", "response.reasoning_summary_part.added")
_PART_DONE = {
    "content_index": "response.content_part.done",
    "summary_index": "response.reasoning_summary_part.done",
}
_PART_DONES = tuple(_PART_DONE.values())
_LISTS = {"content_index": "content", "summary_index": "summary"}
_UNSAID: dict[str, object] = {
    "id": "resp_0", "object": "response", "created_at": 0, "model": "", "error": None, "instructions": None,
    "metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "temperature": None, "top_p": None,
}  # fmt: skip
"""Stands in for what the stream did not say of a response and its clients expect there."""

type Place = tuple[int, str, int]
"""The item, which of its lists, and the part in that list."""


@dataclass(slots=True)
class _Part:
    """A part of an item that is not done yet."""

    event: bytes
    """The event that added it, or the one that said it is done."""
    text: bytearray = field(default_factory=bytearray)
    text_done: bool = False
    done: bool = False


class ResponseEnding:
    """Ends a stream of events that build one response."""

    def __init__(self) -> None:
        self.ended = False
        self._next_number = 0
        self._begun = False
        self._response = b""
        """The last event that carried the response, if it was not too large."""
        self._fields: dict[str, object] = {}
        """The response's numbers and short texts."""
        self._done: dict[int, bytes] = {}
        self._open: dict[int, bytes] = {}
        self._parts: dict[Place, _Part] = {}
        self._room = MAX_KEPT_BYTES

    def take(self, message: Mapping[str, object], data: bytes) -> None:
        """Remember what is open, and what the response looks like."""
        number = message.get("sequence_number")
        if not isinstance(number, int) or not 0 <= number <= MAX_NUMBER:
            number = self._next_number
        self._next_number = number + 1
        response = message.get("response")
        item = index(message.get("output_index"))
        if message.get("type") in _LAST:
            self.ended = True
        elif isinstance(response, dict):
            self._begun = True
            self._response = data if len(data) <= MAX_RESPONSE_BYTES else b""
            self._fields = {name: value for name, value in response.items() if is_small(name) and is_small(value)}
        elif item is not None:
            self._take_of_item(item, message, data)

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - a response always tells its usage
        """Return the events that close what is open and call the response incomplete."""
        try:
            return self._numbered(self._closing(usage))
        except RecursionError:
            # What could just be read is nested too deeply to be written: the end is said without it.
            return self._numbered([_incomplete(self._fields, [], usage)])

    def _take_of_item(self, item: int, message: Mapping[str, object], data: bytes) -> None:
        kind, given = message.get("type"), message.get("item")
        if kind == "response.output_item.added":
            if isinstance(given, dict) and given.get("type") in _CLOSED_ITEMS and self._has_room(len(data)):
                self._open[item] = data
        elif kind == "response.output_item.done":
            if isinstance(given, dict) and self._has_room(len(data)):
                self._done[item] = data
            self._open.pop(item, None)
            for place in [place for place in self._parts if place[0] == item]:
                self._room += len(self._parts.pop(place).text)
        elif item in self._open:
            self._take_of_part(item, message, data)

    def _take_of_part(self, item: int, message: Mapping[str, object], data: bytes) -> None:
        kind, given = message.get("type"), message.get("part")
        name = "summary_index" if "summary_index" in message else "content_index"
        number = index(message.get(name))
        if number is None:
            return
        place = (item, name, number)
        part = self._parts.get(place)
        if kind in _PART_ADDED:
            if isinstance(given, dict) and given.get("type") in tuple(_TEXT_DONE) and self._has_room(len(data)):
                self._parts[place] = _Part(data)
        elif part is None:
            return
        elif kind in _PART_DONES:
            if isinstance(given, dict) and self._has_room(len(data)):
                part.event, part.done = data, True
        elif kind in _TEXT_DONES:
            part.text_done = True
        elif isinstance(delta := message.get("delta"), str):
            text = delta.encode(errors="surrogatepass")
            if self._has_room(len(text)):
                part.text += text

    def _has_room(self, size: int) -> bool:
        """Take that much of the room; when there is none left, let go of what is open, whose text is not whole now."""
        self._room -= size
        if self._room < 0:
            self._open.clear()
            self._parts.clear()
        return self._room >= 0

    def _closing(self, usage: Usage) -> Iterator[dict[str, object]]:
        if not self._begun:
            yield {"type": "response.created", "response": {**_UNSAID, "status": "in_progress", "output": []}}
        response = json.loads(self._response)["response"] if self._response else self._fields
        items = {place: json.loads(data)["item"] for place, data in self._done.items()}
        for place, data in sorted(self._open.items()):
            item = items[place] = json.loads(data)["item"]
            parts = sorted(part for part in self._parts if part[0] == place)
            item |= {_LISTS[name]: [] for _, name, _ in parts}
            for part in parts:
                yield from self._closing_part(item, part)
            if "status" in item:
                item["status"] = "incomplete"
            yield {"type": "response.output_item.done", "output_index": place, "item": item}
        yield _incomplete(response, [item for _, item in sorted(items.items())], usage)

    def _closing_part(self, item: dict[str, Any], place: Place) -> Iterator[dict[str, object]]:
        """Yield what closes one part, and put the part into its item."""
        number, name, in_list = place
        part = self._parts[place]
        shape = json.loads(part.event)["part"]
        where = {"item_id": item.get("id"), "output_index": number, name: in_list}
        if not part.done:
            kind = shape["type"]
            word = "refusal" if kind == "refusal" else "text"
            text = shape[word] = part.text.decode(errors="surrogatepass")
            if not part.text_done:
                logprobs: dict[str, object] = {"logprobs": []} if kind == "output_text" else {}
                yield {"type": _TEXT_DONE[kind], **where, word: text, **logprobs}
            yield {"type": _PART_DONE[name], **where, "part": shape}
        item[_LISTS[name]].append(shape)

    def _numbered(self, messages: Iterable[dict[str, object]]) -> bytes:
        return b"".join(
            as_event({"type": message["type"], "sequence_number": number, **message}, name=str(message["type"]))
            for number, message in enumerate(messages, self._next_number)
        )


def _incomplete(response: Mapping[str, object], items: list[object], usage: Usage) -> dict[str, object]:
    """Return the event that ends a response at its limit."""
    counts = {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
    reached = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    ended = {**_UNSAID, **response, **reached, "output": items, "usage": counts}
    return {"type": "response.incomplete", "response": ended}
