"""The size of what a request shows to the model, in bytes of text that would cost as much."""

from modelfence.dialects.gemini.spellings import Names, several
from modelfence.dialects.shared.counting import size_of_media
from modelfence.dialects.shared.fields import Body, mapping, string
from modelfence.dialects.shared.tokens import IMAGE_SIZE, size_of, size_of_json

_PART = Names("text", "inlineData", "fileData", "thoughtSignature", "thought", "videoMetadata", "mediaResolution")
_SAYS_NOTHING = frozenset(("thought", "videoMetadata", "mediaResolution"))
"""What only tells of the part in which it stands."""


def size_of_contents(contents: list[Body]) -> int:
    """Return the size of contents. Raises MalformedRequestError naming the field that is wrong."""
    return sum(size_of_part(part) for content in contents for part in several(content, "parts"))


def size_of_part(part: Body) -> int:
    """Return the size of a text, a file or whatever else a part holds."""
    named = _PART.read(part)
    text = string(named, "text")
    return (0 if text is None else size_of(text)) + sum(
        _size_of_field(named, name) for name in named if name != "text" and name not in _SAYS_NOTHING
    )


def size_of_tools(tools: list[Body]) -> int:
    """Return the size of the tools that are offered."""
    return sum(map(size_of_json, tools))


def _size_of_field(part: Body, name: str) -> int:
    if part[name] is None:
        return 0
    if name == "inlineData":
        data = (mapping(part, name) or {}).get("data")
        return max(IMAGE_SIZE, size_of_media(len(data)) if isinstance(data, str) else 0)
    if name == "fileData":
        return IMAGE_SIZE
    if name == "thoughtSignature":
        return size_of_media(len(string(part, name) or ""))
    return size_of_json(part[name])
