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
_WITH_CONTENT = frozenset(("tool_result", "search_result", "mcp_tool_result"))
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
    if isinstance(text := block.get(_TEXTS.get(kind, "")), str):
        return size_of(text)
    if kind in _WITH_CONTENT:
        return size_of_content(block.get("content"))
    if kind in _CALLS:
        return size_of_content(block.get("name")) + size_of_json(block.get("input"))
    if kind == "image":
        return IMAGE_SIZE
    return _size_of_document(block) if kind == "document" else size_of_json(block)


def _size_of_document(block: Body) -> int:
    """Return the bytes of a document: its text, its blocks, or what a file of that size, or of none, costs."""
    source = block.get("source")
    if not isinstance(source, dict):
        return IMAGE_SIZE
    if source.get("type") == "content":
        return size_of_content(source.get("content"))
    data = source.get("data")
    if not isinstance(data, str):
        return IMAGE_SIZE
    return size_of(data) if source.get("type") == "text" else max(IMAGE_SIZE, size_of_media(len(data)))
