"""The parts of what somebody wants the fingerprint of: a template's text, or a request as it is sent to an API."""

import json
from collections.abc import Mapping

from modelfence.core.dialect import Json, MalformedRequestError, Request
from modelfence.dialects.known import DIALECTS

_REQUESTS = (
    ("contents", "gemini", "/v1beta/models/any:generateContent"),
    ("inferenceConfig", "bedrock", "/model/any/converse"),
    ("system", "anthropic", "/v1/messages"),
    ("messages", "openai", "/v1/chat/completions"),
    ("prompt", "openai", "/v1/completions"),
    ("input", "openai", "/v1/responses"),
)
"""By which field a request is known, of which API, and where it is sent; the first that is there counts."""


def parts_of(text: str) -> Mapping[str, str]:
    """Return the texts by what they are: the template, or a request's system text and last message."""
    try:
        body: Json = json.loads(text)
    except (ValueError, RecursionError):
        return {"template": text}
    if not isinstance(body, dict):
        return {"template": text}
    found = next(((name, path) for field, name, path in _REQUESTS if field in body), None)
    if found is None:
        return {"template": text}
    name, path = found
    try:
        prompt = DIALECTS[name].read(Request("POST", path, (), json={"model": "any", **body})).prompt
    except MalformedRequestError:
        return {"template": text}
    parts = {"system": "\n".join(prompt.system), "message": prompt.user[-1] if prompt.user else ""}
    return {part: words for part, words in parts.items() if words}
