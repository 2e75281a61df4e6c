"""What an answer of OpenAI's API cost, read while it passes.

Usage stands in a plain answer's `usage`, in the last chunk of a chat stream, and in the `response` of the events that
end a responses stream. What passed since the last report, or without one, is estimated from its text, so that an
answer cut off anywhere is counted up to there. Rule: nothing an upstream sends raises, and memory is bounded.

An estimate knows only what passed: its input is zero, and whoever settles it puts in what the request was read as.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from modelfence.core.call import Usage
from modelfence.core.dialect import UsageReader
from modelfence.dialects.sse import EventParser
from modelfence.dialects.tokens import size_of, size_of_content, tokens_in

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_TOKENS = 1_000_000_000
"""More than any answer costs: a report beyond it is a fault and is ignored."""
_REPORTS = (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens"))
_TEXTS = ("content", "refusal", "text")
_REASONING = ("reasoning_content", "reasoning")
"""vLLM sends the same text under both names."""
_CALL_TEXTS = ("name", "arguments", "input")
_ITEM_TEXTS = ("content", "arguments", "input", "summary")


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
        return _StreamReader()
    return _PlainReader(is_json=kind == "application/json", is_text=operation != "embeddings")


class _Tally:
    """What is known of one answer's cost."""

    def __init__(self) -> None:
        self.size = 0
        """Bytes of text that no report covers yet."""
        self.served = False
        """Something of an answer has passed, if only its beginning."""
        self._reported: Usage | None = None

    def take(self, message: Mapping[str, object]) -> None:
        """Count a plain answer, or one event of a stream."""
        response = message.get("response")
        if isinstance(response, dict):
            self.served = True
            self._report(response.get("usage"))
            return
        choices, delta, output = message.get("choices"), message.get("delta"), message.get("output")
        self.served = self.served or not (message.get("error") or message.get("type") == "error")
        if isinstance(choices, list):
            self.size += sum(map(_size_of_choice, choices))
        elif isinstance(delta, str):
            self.size += size_of(delta)
        elif isinstance(output, list):
            self.size += sum(map(_size_of_item, output))
        self._report(message.get("usage"))

    def usage(self) -> Usage | None:
        """Return the last report and an estimate of what it does not cover; None when nothing was served."""
        if self._reported is None:
            served = self.served or self.size
            return Usage(output_tokens=tokens_in(self.size), estimated=True) if served else None
        if not self.size:
            return self._reported
        output_tokens = self._reported.output_tokens + tokens_in(self.size)
        return replace(self._reported, output_tokens=output_tokens, estimated=True)

    def _report(self, usage: object) -> None:
        if not isinstance(usage, dict):
            return
        for read, written in _REPORTS:
            input_tokens, output_tokens = _count(usage, read), _count(usage, written)
            if input_tokens is None and output_tokens is None:
                continue
            if output_tokens is not None:
                self.size = 0
            self._reported = Usage(
                input_tokens=input_tokens or 0,
                output_tokens=output_tokens or 0,
                cached_tokens=min(input_tokens or 0, _detail(usage, f"{read}_details", "cached_tokens")),
                reasoning_tokens=min(output_tokens or 0, _detail(usage, f"{written}_details", "reasoning_tokens")),
                # Whoever settles puts in what the request was read as: no input is no fact that was reported.
                estimated=input_tokens is None,
            )
            return


class _StreamReader:
    """Counts a stream of server-sent events."""

    def __init__(self) -> None:
        self._tally = _Tally()
        self._parser = EventParser()

    def feed(self, data: bytes) -> None:
        dropped_bytes = self._parser.dropped_bytes
        for event in self._parser.feed(data):
            if event.data != b"[DONE]":
                _take(event.data, self._tally)
        self._tally.size += self._parser.dropped_bytes - dropped_bytes

    def usage(self) -> Usage | None:
        return self._tally.usage()


class _PlainReader:
    """Counts an answer that is one JSON object, kept until it is asked for."""

    def __init__(self, *, is_json: bool, is_text: bool) -> None:
        """What is not called JSON, such as a web page or a sound, counts only if it is; embeddings are no text."""
        self._is_json = is_json
        self._is_text = is_text
        self._body = bytearray()
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MAX_BODY_BYTES:
            self._body += data
        else:
            self._body.clear()

    def usage(self) -> Usage | None:
        tally = _Tally()
        whole = self._body.rstrip().endswith(b"}") and _take(bytes(self._body), tally)
        if not whole and self._is_json and self._size:
            # Cut off, or too long to keep: it is counted as if all of it were text.
            tally.served = True
            tally.size = self._size if self._is_text else 0
        return tally.usage()


def _take(data: bytes, tally: _Tally) -> bool:
    """Count a JSON object; say False when it is none, or nested beyond reading."""
    try:
        message = json.loads(data)
        if isinstance(message, dict):
            tally.take(message)
            return True
    except (ValueError, RecursionError):
        return False
    return False


def _count(usage: Mapping[str, object], name: str) -> int | None:
    value = usage.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_TOKENS else None


def _detail(usage: Mapping[str, object], name: str, detail: str) -> int:
    details = usage.get(name)
    return (_count(details, detail) or 0) if isinstance(details, dict) else 0


def _size_of_choice(choice: object) -> int:
    """Return the text of one choice: a completion's, a message, or what a chunk adds to one."""
    if not isinstance(choice, dict):
        return 0
    message = choice.get("message") or choice.get("delta") or choice
    if not isinstance(message, dict):
        return 0
    size = sum(size_of_content(message.get(name)) for name in _TEXTS)
    size += size_of_content(next((text for name in _REASONING if (text := message.get(name))), None))
    calls = message.get("tool_calls")
    size += sum(map(_size_of_call, calls)) if isinstance(calls, list) else 0
    return size + _size_of_call(message.get("function_call"))


def _size_of_call(call: object) -> int:
    """Return the text of a call of a tool; a stream gives its arguments in pieces, each in the same wrapping."""
    called = (call.get("function") or call.get("custom") or call) if isinstance(call, dict) else None
    return sum(size_of_content(called.get(name)) for name in _CALL_TEXTS) if isinstance(called, dict) else 0


def _size_of_item(item: object) -> int:
    """Return the text of one item of a plain response's output."""
    return sum(size_of_content(item.get(name)) for name in _ITEM_TEXTS) if isinstance(item, dict) else 0
