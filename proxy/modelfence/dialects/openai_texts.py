"""The texts in an answer of OpenAI's API: what the model generated, and nothing that only wraps it."""

from collections.abc import Iterator, Mapping

from modelfence.dialects.tokens import size_of, size_of_content

_TEXTS = ("content", "refusal", "text")
_REASONING = ("reasoning_content", "reasoning")
"""vLLM sends the same text under both names."""
_CALL_TEXTS = ("name", "arguments", "input")
_ITEM_TEXTS = ("content", "arguments", "input", "summary")


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
