"""Refusing a call as Bedrock would, so that AWS's SDKs raise the exceptions that their users catch.

Shapes are those of the API reference, "Common errors" and the errors of "Converse": the SDKs read the exception's name
in `x-amzn-errortype`, the status as it stands and the message in the body.

What is left of a bucket is told in OpenAI's words: Bedrock has no headers for it.
"""

import json
from collections.abc import Iterator

from modelfence.core.dialect import Answer, Refusal
from modelfence.dialects.openai.limits import headers_of
from modelfence.dialects.shared.refusing import message_of, retry_after

_ERRORS = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    429: "ThrottlingException",
}
_FIRST_OF_OURS = 500


def refuse(refusal: Refusal) -> Answer:
    """Return the refusal as JSON, with the headers that AWS's SDKs read."""
    body = json.dumps({"message": message_of(refusal)}, ensure_ascii=False).encode()
    return Answer(refusal.status, tuple(_headers(refusal)), body)


def _headers(refusal: Refusal) -> Iterator[tuple[str, str]]:
    ours = "ServiceUnavailableException" if refusal.status >= _FIRST_OF_OURS else "ValidationException"
    yield "content-type", "application/json"
    yield "x-amzn-requestid", refusal.call_id
    yield "x-amzn-errortype", _ERRORS.get(refusal.status, ours)
    yield from retry_after(refusal)
    if refusal.balance is not None:
        yield from headers_of(refusal.balance)
