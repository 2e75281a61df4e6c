"""What a message of Mistral's says: a text, or parts of which some hold further parts, as thoughts do.

Rule: every text comes out as a part that has a `text`, wherever it stood, so that what reads OpenAI's contents can
read it. What holds no text is left as it is, and counts as an image.
"""

import json
from collections.abc import Iterator, Mapping

from modelfence.core.dialect import Json
from modelfence.dialects.shared.fields import Body

_HOLDERS = ("thinking", "content", "resource")
"""Fields of a part that hold further parts, or one, or a text."""
_REFERENCES = ("reference", "tool_reference")


def flat_messages(messages: list[Body]) -> list[Body]:
    """Return messages whose contents are flat."""
    return [flat_message(message) for message in messages]


def flat_message(message: Body) -> Body:
    """Return a message, or what a chunk adds to one, whose content is flat."""
    content = message.get("content")
    return {**message, "content": list(_parts(content))} if isinstance(content, list | dict) else message


def _parts(content: Json) -> Iterator[Json]:
    if isinstance(content, list):
        for part in content:
            yield from _parts(part)
    elif not isinstance(content, dict):
        yield content
    elif content.get("type") in _REFERENCES:
        yield {"text": json.dumps(content, ensure_ascii=False)}
    elif held := [value for name in _HOLDERS if (value := content.get(name)) is not None]:
        if (text := content.get("text")) is not None:
            yield {"text": text}
        for value in held:
            yield from _parts({"text": value} if isinstance(value, str) else value)
    else:
        yield content


def flat_answer(answer: Mapping[str, object]) -> Mapping[str, object]:
    """Return an answer, or an event of a stream, whose choices have flat contents."""
    choices = answer.get("choices")
    return {**answer, "choices": [_flat_choice(choice) for choice in choices]} if isinstance(choices, list) else answer


def _flat_choice(choice: Json) -> Json:
    if not isinstance(choice, dict):
        return choice
    said = {name: flat_message(value) for name in ("message", "delta") if isinstance(value := choice.get(name), dict)}
    messages = choice.get("messages")
    if isinstance(messages, list) and not said:
        # Whoever is answered with several messages gets them here.
        said["message"] = {"content": [part for one in messages for part in _parts(one)]}
    return {**choice, **said}
