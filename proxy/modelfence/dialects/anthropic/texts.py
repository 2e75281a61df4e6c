"""The texts in an answer of Anthropic's API: what the model generated, and nothing that only wraps it.

Rule: what a tool of the provider's found is input, not output; what is not known is taken for text.
"""

from collections.abc import Mapping

from modelfence.dialects.anthropic.sizes import size_of_content
from modelfence.dialects.shared.counting import Tally
from modelfence.dialects.shared.tokens import size_of, size_of_json, tokens_in_delta

_DELTA_TEXTS = {
    "text_delta": "text",
    "input_json_delta": "partial_json",
    "thinking_delta": "thinking",
    "compaction_delta": "content",
}
_WITHOUT_TEXT = frozenset(("ping", "error", "message_start", "message_delta", "message_stop", "content_block_stop"))
_UNWRITTEN = frozenset(("container_upload", "fallback"))
"""Blocks that the model has not written; nor has it any whose name ends with `tool_result`."""
_NO_INPUT: tuple[object, ...] = ({}, None)


class Texts:
    """Adds up the text of one answer.

    Thinking that is not shown leaves only its signature, which is longer the longer it was: that is counted instead.
    """

    def __init__(self) -> None:
        self._thinking_shown = False
        """In the block that is open."""

    def add_event(self, event: Mapping[str, object], size: int, tally: Tally) -> None:
        """Add what one event of a stream adds; `size` is that of the whole event."""
        kind = event.get("type")
        block, delta, begun = event.get("content_block"), event.get("delta"), event.get("message")
        if kind == "message_start" and isinstance(begun, dict):
            tally.size += _size_of_blocks(begun.get("content"))
        elif kind == "content_block_start" and isinstance(block, dict):
            self._thinking_shown = False
            tally.size += _size_of_block(block)
        elif kind == "content_block_delta" and isinstance(delta, dict):
            self._add_delta(delta, tally)
        elif not (isinstance(kind, str) and kind in _WITHOUT_TEXT) and not event.get("error"):
            tally.size += size

    def add_answer(self, answer: Mapping[str, object], size: int, tally: Tally) -> None:
        """Add the blocks of a plain answer; what is none is counted by its size, unless it is an error."""
        content = answer.get("content")
        if isinstance(content, list):
            tally.size += _size_of_blocks(content)
        elif not (answer.get("type") == "error" or answer.get("error") or isinstance(answer.get("usage"), dict)):
            tally.size += size

    def _add_delta(self, delta: Mapping[str, object], tally: Tally) -> None:
        kind = delta.get("type")
        name = _DELTA_TEXTS.get(kind, "") if isinstance(kind, str) else ""
        text = delta.get(name) if name else None
        if isinstance(text, str):
            self._thinking_shown = self._thinking_shown or (kind == "thinking_delta" and bool(text))
            tally.tokens += tokens_in_delta(size_of(text))
        elif kind == "signature_delta":
            signature = delta.get("signature")
            tally.size += size_of(signature) if isinstance(signature, str) and not self._thinking_shown else 0
        elif kind != "citations_delta" and not name:
            tally.size += size_of_json(dict(delta))  # type: ignore[arg-type]


def _size_of_blocks(content: object) -> int:
    return sum(_size_of_block(one) for one in content if isinstance(one, dict)) if isinstance(content, list) else 0


def _size_of_block(block: dict[str, object]) -> int:
    """Return the bytes that the model wrote in a block, also in one that is only begun."""
    kind = block.get("type")
    if isinstance(kind, str) and (kind.endswith("tool_result") or kind in _UNWRITTEN):
        return 0
    if kind == "thinking" and not block.get("thinking"):
        signature = block.get("signature")
        return size_of(signature) if isinstance(signature, str) else 0
    if "input" in block and block["input"] in _NO_INPUT:
        # A call that is to come in pieces begins so.
        return size_of_content(block.get("name"))  # type: ignore[arg-type]
    return size_of_content(block)  # type: ignore[arg-type]
