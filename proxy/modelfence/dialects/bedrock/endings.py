"""Ending a stream of Bedrock's early, as Bedrock ends one that reached its limit.

After the API reference, "ConverseStreamOutput": what is open is stopped, `messageStop` says why, and `metadata` tells
the usage. The streams of `invoke` hold the model's own events in chunks: Anthropic's are ended as Anthropic's API does,
Nova's as `converse` does, each with Bedrock's own metrics in the last. Streams of other families just end: their pieces
stand by themselves. Rule: nothing an upstream sends raises, and only places of open blocks are kept.

Why a stream of which no event has passed is not ended in words: what it was to be can't be told.
"""

from collections.abc import Iterator, Mapping

from modelfence.core.call import Usage
from modelfence.dialects.bedrock.event_stream import EXCEPTION, MessageParser, chunk, message

MAX_INDEX = 65_535
"""The highest place of a block that is followed. Blocks of one stream come one after the other."""
MAX_OPEN = 128
_METRICS = "amazon-bedrock-invocationMetrics"
_CHUNK = "chunk"
_CONVERSES = frozenset(("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop"))

type Events = Iterator[Mapping[str, object]]


class StreamEnding:
    """Ends a stream of messages, whichever kind of them it holds."""

    def __init__(self, parser: MessageParser) -> None:
        self.ended = False
        self._parser = parser
        self._is_chunks = False
        self._is_anthropics = False
        self._is_conversation = False
        self._has_blocks = False
        self._reason_told = False
        self._open: set[int] = set()

    def take(self, message: Mapping[str, object], _data: bytes) -> None:
        """Remember what is open, and how far the answer has come."""
        for kind, event in message.items():
            if not isinstance(event, dict):
                continue
            if kind != _CHUNK:
                self._take_converse(kind, event)
                self.ended = self.ended or kind in {"metadata", EXCEPTION}
                continue
            self._is_chunks = True
            self.ended = self.ended or _METRICS in event
            self._take_anthropic(event)
            for inner, value in event.items():
                self._take_converse(inner, value if isinstance(value, dict) else {})

    def events(self, usage: Usage, *, with_usage: bool) -> bytes:  # noqa: ARG002 - every stream tells its usage
        """Return the messages that stop what is open, say that the limit was reached, and tell the usage."""
        if self._parser.is_amid_event:
            return b""
        if self._is_anthropics:
            return b"".join(map(chunk, self._as_anthropic(usage)))
        if not self._is_conversation:
            return b""
        ended = self._as_converse(usage)
        if self._is_chunks:
            return b"".join(map(chunk, ended))
        return b"".join(message(kind, payload) for event in ended for kind, payload in _named(event))

    def _take_converse(self, kind: str, event: Mapping[str, object]) -> None:
        if kind not in _CONVERSES:
            return
        self._is_conversation = True
        self._reason_told = self._reason_told or kind == "messageStop"
        self._follow(event.get("contentBlockIndex"), begins=kind in {"contentBlockStart", "contentBlockDelta"})

    def _take_anthropic(self, event: Mapping[str, object]) -> None:
        kind, delta = event.get("type"), event.get("delta")
        self._is_anthropics = self._is_anthropics or kind == "message_start"
        if kind == "content_block_start":
            self._has_blocks = True
        if kind == "message_delta" and isinstance(delta, dict) and delta.get("stop_reason"):
            self._reason_told = True
        if kind in ("content_block_start", "content_block_stop"):
            self._follow(event.get("index"), begins=kind == "content_block_start")

    def _follow(self, place: object, *, begins: bool) -> None:
        """Remember that a block begins, goes on or ends; a text has no event that begins it."""
        if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place <= MAX_INDEX:
            return
        if not begins:
            self._open.discard(place)
        elif len(self._open) < MAX_OPEN:
            self._open.add(place)

    def _as_converse(self, usage: Usage) -> Events:
        for place in sorted(self._open):
            yield {"contentBlockStop": {"contentBlockIndex": place}}
        if not self._reason_told:
            yield {"messageStop": {"stopReason": "max_tokens"}}
        fresh = usage.input_tokens - usage.cached_tokens
        counts = {
            "inputTokens": fresh,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
            **({"cacheReadInputTokens": usage.cached_tokens} if usage.cached_tokens else {}),
        }
        last = {"metadata": {"usage": counts, "metrics": {"latencyMs": 0}}}
        yield {**last, _METRICS: _metrics(usage)} if self._is_chunks else last

    def _as_anthropic(self, usage: Usage) -> Events:
        if not (self._has_blocks or self._reason_told):
            # Readers look for the text in the first block.
            yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            yield {"type": "content_block_stop", "index": 0}
        for place in sorted(self._open):
            yield {"type": "content_block_stop", "index": place}
        if not self._reason_told:
            delta = {"stop_reason": "max_tokens", "stop_sequence": None}
            yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": usage.output_tokens}}
        yield {"type": "message_stop", _METRICS: _metrics(usage)}


def _metrics(usage: Usage) -> Mapping[str, object]:
    return {
        "inputTokenCount": usage.input_tokens - usage.cached_tokens,
        "outputTokenCount": usage.output_tokens,
        "cacheReadInputTokenCount": usage.cached_tokens,
        "invocationLatency": 0,
        "firstByteLatency": 0,
    }


def _named(event: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    yield from ((kind, payload) for kind, payload in event.items() if isinstance(payload, dict))
