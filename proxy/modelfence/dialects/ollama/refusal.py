"""Refusing a call as Ollama would: a sentence under `error`, which its clients raise with the status.

Ollama limits nobody, so how long to wait and what is left of a bucket are told as OpenAI does. Its clients do not try
again by themselves.
"""

import json
from collections.abc import Iterator

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.limits import headers_of
from modelfence.dialects.shared.refusing import message_of, retry_after


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON."""
    error = {"error": message_of(refusal)}
    return Answer(refusal.status, tuple(_headers(refusal)), json.dumps(error, ensure_ascii=False).encode())


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    yield "content-type", "application/json"
    yield "x-request-id", refusal.call_id
    yield from retry_after(refusal)
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
