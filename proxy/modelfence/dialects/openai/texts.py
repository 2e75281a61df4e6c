"""The texts in an answer of OpenAI's API: what the model generated, and nothing that only wraps it."""

from collections.abc import Iterator, Mapping

from modelfence.dialects.shared.counting import size_of_media
from modelfence.dialects.shared.tokens import size_of, size_of_content, size_of_json

_TEXTS = ("content", "refusal", "text")
_REASONING = ("reasoning_content", "reasoning")
"""vLLM sends the same text under both names."""
_CALL_TEXTS = ("name", "arguments", "input")
_ITEM_TEXTS = ("content", "arguments", "input", "summary")
_ENVELOPES = ("choices", "output", "response", "error", "usage")
"""What OpenAI's answers and events come in. Whatever comes in none of them is not read, and counted by its size."""
_OF_A_DELTA = frozenset(
    ("role", "index", "finish_reason", "logprobs", "stop_reason", "token_ids", "annotations", "reasoning_details")
)
"""What stands beside the text, and is no text or repeats it."""
_OF_A_CHUNK = frozenset(
    ("id", "object", "created", "model", "service_tier", "system_fingerprint", "obfuscation", "choices", "usage")
)
_OF_A_CHOICE = frozenset(("index", "delta", "finish_reason", "logprobs"))
"""What a chunk of text, and its choice, are made of."""
_READ = frozenset((*_TEXTS, *_REASONING, "tool_calls", "function_call", "audio", "delta", "message"))


def only_text(message: Mapping[str, object]) -> str | None:
    """Return the text of a chunk that adds one to one choice and has nothing else that counts, as nearly all are."""
    choices = message.get("choices")
    if not isinstance(choices, list) or len(choices) != 1 or not message.keys() <= _OF_A_CHUNK or message.get("usage"):
        return None
    choice = choices[0]
    if not isinstance(choice, dict) or not choice.keys() <= _OF_A_CHOICE:
        return None
    delta = choice.get("delta")
    if not isinstance(delta, dict) or len(delta) != 1:
        return None
    text = delta.get("content")
    return text if isinstance(text, str) else None


def text_sizes(message: Mapping[str, object]) -> Iterator[int]:
    """Yield the bytes of each text in a plain answer, or in what one event of a stream adds.

    Events that carry a response repeat what was streamed, so they add nothing.
    """
    choices, delta, output = message.get("choices"), message.get("delta"), message.get("output")
    if isinstance(message.get("response"), dict):
        return
    if isinstance(choices, list):
        for choice in choices:
            yield from _sizes_of_choice(choice)
    elif isinstance(delta, str):
        yield size_of(delta)
    elif isinstance(output, list):
        for item in output:
            yield from _sizes_of(item, _ITEM_TEXTS)


def unread_size(message: Mapping[str, object], size: int) -> int:
    """Return the bytes of a message that `text_sizes` makes nothing of, and that are no mere wrapping of known kinds.

    `size` is that of the whole message. Doubt counts against the caller: what is not known is taken for text.
    """
    choices, kind = message.get("choices"), message.get("type")
    if isinstance(choices, list):
        return sum(map(_unread_of_choice, choices))
    if isinstance(kind, str) and kind.startswith("response."):
        return _unread_of_response_event(message, kind, size)
    return 0 if kind == "error" or any(message.get(name) is not None for name in _ENVELOPES) else size


def drawn_size(holder: Mapping[str, object]) -> int:
    """Return the bytes of text that cost as much as the pictures which a tool drew for a response, or for one item."""
    output = holder.get("output")
    items = output if isinstance(output, list) else [holder.get("item")]
    drawn = (item for item in items if isinstance(item, dict) and item.get("type") == "image_generation_call")
    return sum(_size_of_media(item.get("result")) for item in drawn)


def _unread_of_choice(choice: object) -> int:
    delta = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
    if not isinstance(delta, dict):
        return 0
    size = sum(size_of_json(value) for name, value in delta.items() if value and name not in _OF_A_DELTA | _READ)
    audio = delta.get("audio")
    if isinstance(audio, dict):
        size += size_of_content(audio.get("transcript")) + _size_of_media(audio.get("data"))
    return size


def _unread_of_response_event(message: Mapping[str, object], kind: str, size: int) -> int:
    if (media := message.get("partial_image_b64")) is not None:
        return _size_of_media(media)
    return size if kind.endswith(".delta") and not isinstance(message.get("delta"), str) else 0


def _size_of_media(media: object) -> int:
    """Return the bytes of text that cost as much as these of base64."""
    return size_of_media(len(media)) if isinstance(media, str) else 0


def _sizes_of_choice(choice: object) -> Iterator[int]:
    """Yield the texts of one choice: a completion's, a message's, or those of what a chunk adds to one."""
    message = (choice.get("message") or choice.get("delta") or choice) if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return
    yield from _sizes_of(message, _TEXTS)
    yield size_of_content(next((text for name in _REASONING if (text := message.get(name))), None))
    calls = message.get("tool_calls")
    for call in (*(calls if isinstance(calls, list) else ()), message.get("function_call")):
        # A stream gives a call's arguments in pieces, each in the same wrapping.
        called = (call.get("function") or call.get("custom") or call) if isinstance(call, dict) else None
        yield from _sizes_of(called, _CALL_TEXTS)


def _sizes_of(holder: object, names: tuple[str, ...]) -> Iterator[int]:
    if isinstance(holder, dict):
        yield from (size_of_content(holder.get(name)) for name in names)
