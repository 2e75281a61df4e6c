"""Amazon Bedrock's runtime API: any model by `converse`, and the bodies of the families that are read here by `invoke`.

After the API reference of the Bedrock runtime. Guardrails by themselves, asynchronous calls and streams both ways are
operation `unknown`, and so is `invoke` of a model whose body is not read here.

Rule: a caller's signature goes up as it came or not at all. With a credential of the fence's own it is replaced: by a
new one when that is a pair of keys, and else by a bearer token. See `signing` for what a caller is known by.
"""

import time
from collections.abc import Callable, Sequence
from urllib.parse import unquote_plus

from modelfence.core.call import Credential, Reading
from modelfence.core.charge import Balance
from modelfence.core.dialect import (
    Answer,
    Headers,
    Json,
    MalformedRequestError,
    Outgoing,
    Refusal,
    Request,
    UsageReader,
)
from modelfence.core.policy import Reshaping
from modelfence.dialects.bedrock.models import asked
from modelfence.dialects.bedrock.reading import read_body
from modelfence.dialects.bedrock.refusal import refuse
from modelfence.dialects.bedrock.reshaping import reshape
from modelfence.dialects.bedrock.signing import keys, sign, signature
from modelfence.dialects.bedrock.usage import usage_reader
from modelfence.dialects.openai.limits import limits
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import json_object
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_SIGNED_QUERY = "x-amz-"


def _clock_us() -> int:
    return time.time_ns() // 1000


class Bedrock:
    """The dialect `bedrock`."""

    name = "bedrock"

    def __init__(self, now_us: Callable[[], int] = _clock_us) -> None:
        """`now_us` tells the time, in microseconds since the epoch: a signature holds for some minutes."""
        self._now_us = now_us

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        known = asked(method, path)
        return known.operation if known else "unknown"

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential: an API key, or the id of the key that a request is signed with.

        Raises MalformedRequestError when two different ones are given, or when the query is signed instead.
        """
        for parameter in query.split("&") if query else ():
            if unquote_plus(parameter.partition("=")[0]).casefold().startswith(_SIGNED_QUERY):
                raise MalformedRequestError("A signature in the query is not accepted; send it in a header.")
        return credential(
            [(name, _as_key(value) if name == "authorization" else value) for name, value in headers], query
        )

    def signed_headers(self, headers: Headers) -> Sequence[str]:
        """Return the names of the headers that the caller's signature covers; empty where there is none."""
        found = [signature(value) for name, value in headers if name == "authorization"]
        return tuple(name for one in found if one is not None for name in one.signed)

    def credential_headers(self, secret: str, outgoing: Outgoing) -> Headers:
        """Return a signature with the keys in `ID:SECRET` or `ID:SECRET:SESSION_TOKEN`, or else a bearer token."""
        pair = keys(secret)
        if pair is None:
            return (("authorization", f"Bearer {secret}"),)
        return sign(pair, outgoing, now_us=self._now_us())

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        known = asked(request.method, request.path)
        if known is None:
            return UNKNOWN
        parameters(request.query)
        return read_body(known, json_object(request))

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was."""
        known = asked(request.method, request.path)
        if known is None or not isinstance(request.json, dict):
            return request.json
        return reshape(known, request.json, reshaping)

    def asking_for_usage(self, _request: Request) -> Json:
        """Return None: every stream reports its usage unasked."""
        return None

    def only_reports_usage(self, _event: bytes) -> bool:
        """Say no: nobody asks for it, so nobody is spared it."""
        return False

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        return usage_reader(operation, content_type)

    def limits(self, balances: Sequence[Balance]) -> Headers:
        """Return the headers that tell an admitted caller what is left: of each kind of limit, the tightest bucket."""
        return limits(balances)

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        return refuse(refusal)


def _as_key(authorization: str) -> str:
    """Return a signature as the id of its key would be sent by itself; what is none stays as it is."""
    found = signature(authorization)
    return authorization if found is None else f"Bearer {found.key_id}"
