"""Refusing a call as Anthropic's API would, so that its SDKs raise what their users expect and wait as they are told.

After Anthropic's API reference, "Errors". A fault of the fence is `overloaded_error`, the API's word for what is worth
another try.
"""

import json
from collections.abc import Iterator

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.anthropic.limits import headers_of
from modelfence.dialects.shared.refusing import message_of, retry_to_the_millisecond

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
    yield from retry_to_the_millisecond(refusal)
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
