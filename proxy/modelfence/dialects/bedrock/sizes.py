"""The bytes of text that requests and answers of Bedrock's models come to, whichever family's words they are in.

Rule: a text counts by its bytes, a picture, a sound or a document by what it costs, and whatever is not known by all
the text in it: doubt counts against the caller. What only names or wraps the rest counts for nothing.
"""

from modelfence.dialects.shared.counting import size_of_media
from modelfence.dialects.shared.tokens import BYTES_PER_TOKEN, IMAGE_SIZE, size_of, size_of_json

_NO_TEXT = frozenset(
    (
        "role", "type", "format", "id", "index", "model", "toolUseId", "tool_use_id", "tool_call_id",
        "contentBlockIndex", "status", "cachePoint", "cache_control", "media_type", "signature", "citations",
        "generation_id", "response_id",
        "stop_reason", "stopReason", "stop_sequence", "finish_reason", "completionReason", "event_type", "is_finished",
        "usage", "metrics", "trace", "amazon-bedrock-invocationMetrics", "amazon-bedrock-trace", "performanceConfig",
        "serviceTier", "object", "created", "p", "response_type",
        # What repeats the request or the answer.
        "chat_history", "prompt", "response", "token_likelihoods", "likelihood", "meta",
        # Counts.
        "inputTextTokenCount", "tokenCount", "totalOutputTextTokenCount", "prompt_token_count",
        "generation_token_count", "inputTokens",
    )
)  # fmt: skip
"""Of an answer: what is not generated."""
_WRAPS = frozenset(
    (
        "role", "type", "format", "toolUseId", "tool_use_id", "tool_call_id", "status", "cachePoint", "cache_control",
        "media_type",
    )
)  # fmt: skip
_MEDIA = frozenset(("bytes", "data"))
_ELSEWHERE = frozenset(("s3Location", "url", "file_id", "image_url", "inputImage"))
_AS_IT_STANDS = frozenset(("input", "json", "input_schema", "inputSchema", "arguments", "parameters"))
"""What the model is shown, or shows, as JSON."""


def size_of_asked(value: object) -> int:
    """Return the bytes of text that a part of a request comes to."""
    return _size(value, _WRAPS)


def size_of_generated(value: object) -> int:
    """Return the bytes of text that an answer, or an event of it, comes to."""
    return _size(value, _NO_TEXT)


def _size(value: object, passed_over: frozenset[str]) -> int:
    if isinstance(value, str):
        return size_of(value)
    if isinstance(value, list):
        return sum(_size(one, passed_over) for one in value)
    if isinstance(value, dict):
        return sum(_size_of_field(name, one, passed_over) for name, one in value.items() if name not in passed_over)
    return BYTES_PER_TOKEN if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _size_of_field(name: str, value: object, passed_over: frozenset[str]) -> int:
    if name in _MEDIA and isinstance(value, str):
        return max(IMAGE_SIZE, size_of_media(len(value)))
    if name in _ELSEWHERE and value:
        return IMAGE_SIZE
    if name in _AS_IT_STANDS and isinstance(value, dict | list):
        return size_of_json(value)
    return _size(value, passed_over)
