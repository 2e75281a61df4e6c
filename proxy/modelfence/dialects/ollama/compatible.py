"""Ollama in OpenAI's words, under /v1: what the dialect `openai` reads, and what Ollama does otherwise.

After Ollama's guide "OpenAI compatibility" and its `openai` package. Rule: paths of OpenAI's API that Ollama doesn't
serve stay unknown, and `max_completion_tokens`, which Ollama passes over, limits nothing.
"""

from dataclasses import replace

from modelfence.core.call import Reading
from modelfence.core.dialect import Json, Request
from modelfence.core.policy import Reshaping
from modelfence.dialects.ollama.names import known_name
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.shared.fields import refuse_other_cases

OPENAI = OpenAI()
_LIMITED = ("/v1/chat/completions", "/v1/completions")
"""Where the limit stands in `max_tokens`, and zero is none."""
_POSTED = (*_LIMITED, "/v1/responses", "/v1/embeddings")
_READ_OF_MESSAGES = frozenset(("role", "content", "reasoning", "tool_calls", "name", "tool_call_id"))


def operation_of(method: str, path: str) -> str:
    """Return the operation a path stands for, `unknown` when Ollama serves none there."""
    is_served = path in _POSTED if method == "POST" else method == "GET" and path.startswith("/v1/models")
    return OPENAI.operation(method, path) if is_served else "unknown"


def read(request: Request) -> Reading:
    """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
    body = request.json if isinstance(request.json, dict) else {}
    reading = OPENAI.read(request)
    if reading.operation == "models":
        return reading
    for name in ("messages", "input"):
        said = body.get(name)
        for message in said if isinstance(said, list) else ():
            if isinstance(message, dict):
                refuse_other_cases(message, _READ_OF_MESSAGES)
    is_limited = request.path not in _LIMITED or bool(body.get("max_tokens"))
    return replace(
        reading,
        model=known_name(reading.model or ""),
        output_tokens=reading.output_tokens if is_limited else None,
    )


def reshape(request: Request, reshaping: Reshaping) -> Json:
    """Return the body with fields removed and limits lowered, in the field that Ollama reads."""
    body, most = request.json, reshaping.cap.get("output_tokens")
    if most is not None and request.path in _LIMITED and isinstance(body, dict) and not body.get("max_tokens"):
        request = replace(request, json={**body, "max_tokens": most})
    return OPENAI.reshape(request, reshaping)
