"""Refusing a call as OpenAI's API would, so that its SDKs raise what their users expect and wait as they are told.

Shapes are those OpenAI answers with: `invalid_api_key` for 401, `request_forbidden` (its refusal of a region) for
403, `rate_limit_exceeded` with what ran out as the type for 429, `server_error` for 5xx.
"""

import json
from collections.abc import Iterator

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.limits import headers_of, resource
from modelfence.dialects.shared.refusing import message_of, retry_to_the_millisecond


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that OpenAI's SDKs read."""
    kind, code = _kind(refusal)
    error = {"message": message_of(refusal), "type": kind, "param": None, "code": code}
    return Answer(refusal.status, tuple(_headers(refusal)), json.dumps({"error": error}, ensure_ascii=False).encode())


def _kind(refusal: Refusal) -> tuple[str, str | None]:
    """Return the error's type and code."""
    match refusal.status:
        case 401:
            return "invalid_request_error", "invalid_api_key"
        case 403:
            return "request_forbidden", "request_forbidden"
        case 429:
            return resource(refusal.balance) if refusal.balance else "requests", "rate_limit_exceeded"
        case status if status >= 500:  # noqa: PLR2004
            return "server_error", "service_unavailable"
        case _:
            return "invalid_request_error", None


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    yield "content-type", "application/json"
    yield "x-request-id", refusal.call_id
    if refusal.status == 401:  # noqa: PLR2004
        yield "www-authenticate", "Bearer"
    yield from retry_to_the_millisecond(refusal)
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
