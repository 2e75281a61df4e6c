"""The parts of what somebody wants the fingerprint of: a template's text, or a request as it is sent to an API."""

import json
from collections.abc import Mapping

from modelfence.dialects.openai.prompt import prompt_in

_OPERATIONS = {"messages": "chat", "prompt": "completion", "input": "responses"}


def parts_of(text: str) -> Mapping[str, str]:
    """Return the texts by what they are: the template, or a request's system text and last message."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    operation = next((known for field, known in _OPERATIONS.items() if isinstance(body, dict) and field in body), None)
    if operation is None:
        return {"template": text}
    prompt = prompt_in(operation, body)
    parts = {"system": "\n".join(prompt.system), "message": prompt.user[-1] if prompt.user else ""}
    return {part: words for part, words in parts.items() if words}
