"""The bytes of text that the content blocks of Anthropic's API come to.

Rule: what holds text is counted by its text, a picture as a picture, a file by its bytes, and whatever is not known by
all that it holds: doubt counts against the caller.
"""

from modelfence.core.dialect import Json
from modelfence.dialects.shared.counting import size_of_media
from modelfence.dialects.shared.fields import Body
from modelfence.dialects.shared.tokens import IMAGE_SIZE, size_of, size_of_json

_TEXTS = {"text": "text", "thinking": "thinking", "redacted_thinking": "data", "compaction": "content"}
"""The field in which a block holds its text, by its type."""
_HOLDERS = frozenset(("tool_result", "search_result", "mcp_tool_result", "document"))
_HELD = ("title", "context", "content")
_CALLS = frozenset(("tool_use", "server_tool_use", "mcp_tool_use"))


def size_of_content(content: Json) -> int:
    """Return the bytes of a message's content: a text, or blocks."""
    if isinstance(content, str):
        return size_of(content)
    if isinstance(content, list):
        return sum(map(size_of_content, content))
    return _size_of_block(content) if isinstance(content, dict) else 0


def _size_of_block(block: Body) -> int:
    kind = block.get("type")
    if not isinstance(kind, str):
        return size_of_json(block)
    if kind in _TEXTS and isinstance(text := block.get(_TEXTS[kind]), str):
        return size_of(text)
    if kind in _HOLDERS:
        held = sum(size_of_content(block.get(name)) for name in _HELD)
        return held + (_size_of_source(block.get("source")) if kind == "document" else 0)
    if kind in _CALLS:
        return size_of_content(block.get("name")) + size_of_json(block.get("input"))
    return IMAGE_SIZE if kind == "image" else size_of_json(block)


def _size_of_source(source: Json) -> int:
    """Return the bytes of a document: its text, its blocks, or what a file of that size, or of none, costs."""
    if not isinstance(source, dict):
        return IMAGE_SIZE
    if source.get("type") == "content":
        return size_of_content(source.get("content"))
    data = source.get("data")
    if not isinstance(data, str):
        return IMAGE_SIZE
    return size_of(data) if source.get("type") == "text" else max(IMAGE_SIZE, size_of_media(len(data)))
