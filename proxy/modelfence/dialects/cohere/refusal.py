"""Refusing a call as Cohere's API would, so that its SDKs raise what their users expect and wait as they are told.

The shape is that of its error responses: an object with `message` and `id`. The SDKs choose the exception by the
status, and wait as `retry-after` says, up to a minute. What is left of a bucket is told in OpenAI's headers, since
Cohere's own speak of trial keys and months only.
"""

import json
from collections.abc import Iterator

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.limits import headers_of
from modelfence.dialects.shared.refusing import message_of, retry_after


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that Cohere's SDKs read."""
    error = {"id": refusal.call_id, "message": message_of(refusal)}
    return Answer(refusal.status, tuple(_headers(refusal)), json.dumps(error, ensure_ascii=False).encode())


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    yield "content-type", "application/json"
    yield "x-debug-trace-id", refusal.call_id
    yield from retry_after(refusal)
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
