"""Refusing a call as Google's APIs would: an error with the canonical name of its status, and details of known types.

After Google's AIP-193 and `google/rpc/error_details.proto`. Nobody knows here in whose words the call was made, so the
headers also hold what OpenAI's SDKs read: they raise by the status, and wait as long as the headers say.
"""

import json
from collections.abc import Iterator

from modelfence.core.bucket import SECOND_US
from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.refusal import refuse as refuse_as_openai
from modelfence.dialects.shared.refusing import message_of

_NAMES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FIRST_OF_SERVERS = 500
_TYPES = "type.googleapis.com/google.rpc."


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that SDKs read."""
    default = "INTERNAL" if refusal.status >= _FIRST_OF_SERVERS else "INVALID_ARGUMENT"
    error = {
        "code": refusal.status,
        "message": message_of(refusal),
        "status": _NAMES.get(refusal.status, default),
        "details": list(_details(refusal)),
    }
    body = json.dumps({"error": error}, ensure_ascii=False).encode()
    return Answer(refusal.status, refuse_as_openai(refusal).headers, body)


def _details(refusal: Refusal) -> Iterator[dict[str, object]]:
    if refusal.retry_after_us is not None:
        wait_s = max(1, -(-refusal.retry_after_us // SECOND_US))
        yield {"@type": f"{_TYPES}RetryInfo", "retryDelay": f"{wait_s}s"}
    yield {"@type": f"{_TYPES}RequestInfo", "requestId": refusal.call_id}
    if refusal.help_url:
        yield {"@type": f"{_TYPES}Help", "links": [{"description": "Help", "url": refusal.help_url}]}
