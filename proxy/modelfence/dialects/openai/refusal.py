"""Refusing a call as OpenAI's API would, so that its SDKs raise what their users expect and wait as they are told.

Shapes are those OpenAI answers with: `invalid_api_key` for 401, `request_forbidden` (its refusal of a region) for
403, `rate_limit_exceeded` with what ran out as the type for 429, `server_error` for 5xx.

Why `x-should-retry`: the SDKs wait as long as they are told up to 60 s (older ones) or 120 s, and beyond it fall back
to their own half second to eight seconds: a caller with an hour to wait would hammer. They obey this header.
"""

import json
from collections.abc import Iterator

from modelfence.core.bucket import SECOND_US
from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.limits import headers_of, resource
from modelfence.dialects.shared.refusing import message_of, retry_after

MAX_WAIT_US = 60 * SECOND_US
"""The longest wait that every version of the SDKs obeys."""


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
    yield from retry_after(refusal)
    if refusal.retry_after_us is not None:
        yield "retry-after-ms", str(max(1, -(-refusal.retry_after_us // 1000)))
        if refusal.retry_after_us > MAX_WAIT_US:
            yield "x-should-retry", "false"
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
