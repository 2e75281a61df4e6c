"""Refusing a call as Anthropic's API would, so that its SDKs raise what their users expect and wait as they are told.

After Anthropic's API reference, "Errors". A fault of the fence is `overloaded_error`, the API's word for what is worth
another try.

Why `x-should-retry`: some versions of the SDKs wait up to 60 s as they are told, and beyond it fall back to their own
half second to eight seconds: a caller with an hour to wait would hammer. Others would sleep for that hour without a
word. All obey this header.
"""

import json
from collections.abc import Iterator

from modelfence.core.bucket import SECOND_US
from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.anthropic.limits import headers_of
from modelfence.dialects.shared.refusing import message_of, retry_after

MAX_WAIT_US = 60 * SECOND_US
"""The longest wait that every version of the SDKs obeys."""
_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that Anthropic's SDKs read."""
    otherwise = "api_error" if refusal.status >= 500 else "invalid_request_error"  # noqa: PLR2004
    error = {"type": _KINDS.get(refusal.status, otherwise), "message": message_of(refusal)}
    body = {"type": "error", "error": error, "request_id": refusal.call_id}
    return Answer(refusal.status, tuple(_headers(refusal)), json.dumps(body, ensure_ascii=False).encode())


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    yield "content-type", "application/json"
    yield "request-id", refusal.call_id
    if refusal.status == 401:  # noqa: PLR2004
        yield "www-authenticate", "Bearer"
    yield from retry_after(refusal)
    if refusal.retry_after_us is not None:
        yield "retry-after-ms", str(max(1, -(-refusal.retry_after_us // 1000)))
        if refusal.retry_after_us > MAX_WAIT_US:
            yield "x-should-retry", "false"
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
