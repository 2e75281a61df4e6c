"""Refusing a call as Mistral's API would, so that its SDK raises what its users expect, with the rule's message.

Shapes are those Mistral answers with: `detail` for a key that is not known, `rate_limited` with code 1300 for a limit,
and the like for the rest. `mistral-correlation-id` is what Mistral's support asks for.
"""

import json
from collections.abc import Iterator, Mapping

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.mistral.limits import headers_of
from modelfence.dialects.shared.refusing import message_of, retry_after


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that Mistral's SDK reads."""
    return Answer(refusal.status, tuple(_headers(refusal)), json.dumps(_body(refusal), ensure_ascii=False).encode())


def _body(refusal: Refusal) -> Mapping[str, object]:
    message = message_of(refusal)
    if refusal.status == 401:  # noqa: PLR2004
        return {"detail": message}
    kind, code = _kind(refusal.status)
    return {
        "object": "error",
        "message": message,
        "type": kind,
        "param": None,
        "code": code,
        "raw_status_code": refusal.status,
    }


def _kind(status: int) -> tuple[str, str | None]:
    """Return the error's type and code."""
    match status:
        case 403:
            return "forbidden", None
        case 429:
            return "rate_limited", "1300"
        case _ if status >= 500:  # noqa: PLR2004
            return "service_unavailable", None
        case _:
            return "invalid_request_error", None


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    yield "content-type", "application/json"
    yield "mistral-correlation-id", refusal.call_id
    if refusal.status == 401:  # noqa: PLR2004
        yield "www-authenticate", "Bearer"
    yield from retry_after(refusal)
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
