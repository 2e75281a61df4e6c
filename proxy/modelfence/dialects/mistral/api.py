"""Mistral's API: chat, code between a beginning and an end, agents, embeddings, moderation, and what serves batches.

After the paths and models of Mistral's own SDK. Reading documents (`/v1/ocr`), conversations and all else that is not
read here are judged as operation `unknown`.
"""

from collections.abc import Sequence
from dataclasses import replace

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
from modelfence.dialects.mistral.limits import limits
from modelfence.dialects.mistral.paths import LISTINGS, MODEL_PATH, begins_work, operation_of
from modelfence.dialects.mistral.reading import COUNTS, LIMIT, LOGPROBS, read_batch, read_call
from modelfence.dialects.mistral.refusal import refuse
from modelfence.dialects.mistral.usage import usage_reader
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import Body, json_object
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_ANSWERED = ("chat", "completion")
_JOBS = ("batch", "files", "tuning")


class Mistral:
    """The dialect `mistral`."""

    name = "mistral"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        return operation_of(method, path)

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, _outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key."""
        return (("authorization", f"Bearer {secret}"),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        operation = operation_of(request.method, request.path)
        if operation == "unknown":
            return UNKNOWN
        if (request.method, request.path) not in LISTINGS:
            parameters(request.query)
        if operation in _JOBS:
            return _read_job(operation, request)
        if operation == "models":
            named = MODEL_PATH.fullmatch(request.path)
            return Reading(operation, model=named[1] if named else "", output_tokens=0)
        return read_call(operation, request.path, json_object(request))

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was.

        `cap.output_tokens` is for the whole call and the API's limit for one choice, so each may have its share, at
        least one token. Raises MalformedRequestError for a batch, whose calls can't be reached.
        """
        operation, body = operation_of(request.method, request.path), request.json
        if operation == "batch" and begins_work(request.method, request.path):
            message = "A batch can't be limited as its sender's calls are to be; send the calls by themselves."
            raise MalformedRequestError(message, status=403)
        if operation not in _ANSWERED or not isinstance(body, dict):
            return body
        removed = {name for kind, names in _REMOVED.items() if kind in reshaping.remove for name in names}
        body = {name: value for name, value in body.items() if name not in removed}
        if (most := reshaping.cap.get("choices")) is not None:
            body.update({name: min(count, most) for name in COUNTS if (count := _given(body, name))})
        if (most := reshaping.cap.get("output_tokens")) is not None:
            share = max(1, most // max(_given(body, name) or 1 for name in COUNTS))
            given = _given(body, LIMIT)
            body[LIMIT] = share if given is None else min(given, share)
        return body

    def asking_for_usage(self, request: Request) -> Json:  # noqa: ARG002 - whatever the request
        """Return None: Mistral reports it unasked, and refuses to be asked."""
        return None

    def only_reports_usage(self, event: bytes) -> bool:  # noqa: ARG002 - whatever the event
        """Say no: the usage stands beside the last words."""
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


_REMOVED = {"logprobs": LOGPROBS, "logit_bias": ("logit_bias",)}


def _given(body: Body, name: str) -> int | None:
    value = body.get(name)
    return value if isinstance(value, int) else None


def _read_job(operation: str, request: Request) -> Reading:
    """Return what a call of a batch, of files or of tuning asks for: nothing to look at one, and what can't be seen."""
    if not begins_work(request.method, request.path):
        return Reading(operation, output_tokens=0)
    if operation == "batch":
        return read_batch(json_object(request))
    return replace(UNKNOWN, operation=operation)
