"""The texts in an answer of Gemini's API: what the model generated, and nothing that only wraps it."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelfence.dialects.shared.counting import size_of_media
from modelfence.dialects.shared.tokens import size_of, size_of_json

_ENVELOPES = frozenset(
    (
        "candidates", "promptFeedback", "usageMetadata", "error", "embedding", "embeddings", "totalTokens", "models",
        "name", "modelVersion", "responseId", "createTime",
    )
)  # fmt: skip
"""What Gemini's answers come in. Whatever comes in none of them is not read, and counted by its size."""
_OF_A_CANDIDATE = frozenset(
    (
        "content", "index", "finishReason", "finishMessage", "safetyRatings", "citationMetadata", "tokenCount",
        "groundingMetadata", "groundingAttributions", "avgLogprobs", "logprobsResult", "urlContextMetadata",
    )
)  # fmt: skip
_OF_A_PART = frozenset(("text", "thought", "thoughtSignature", "inlineData", "videoMetadata", "fileData"))


def text_sizes(message: Mapping[str, object]) -> Iterator[int]:
    """Yield the bytes of each text in a plain answer, or in what one element of a stream adds."""
    for part in _parts(message):
        if isinstance(text := part.get("text"), str):
            yield size_of(text)


def unread_size(message: Mapping[str, object], size: int) -> int:
    """Return the bytes of a message that are no text, and no mere wrapping of known kinds.

    `size` is that of the whole message. Doubt counts against the caller: what is not known is taken for text.
    """
    if not any(message.get(name) is not None for name in _ENVELOPES):
        return size
    unread = sum(map(_unread_of_part, _parts(message)))
    for candidate in _candidates(message):
        unread += sum(size_of_json(value) for name, value in candidate.items() if name not in _OF_A_CANDIDATE)
    return unread


def _candidates(message: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    candidates = message.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        if isinstance(candidate, dict):
            yield candidate


def _parts(message: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    for candidate in _candidates(message):
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                yield part


def _unread_of_part(part: Mapping[str, Any]) -> int:
    size = sum(size_of_json(value) for name, value in part.items() if name not in _OF_A_PART)
    media = part.get("inlineData")
    data = media.get("data") if isinstance(media, dict) else None
    return size + (size_of_media(len(data)) if isinstance(data, str) else 0)
