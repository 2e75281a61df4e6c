"""Cohere's API: version 2, and those parts of version 1 that are still used.

After Cohere's API reference. A path is known exactly or not at all: the older `generate`, `summarize` and `classify`,
connectors, sound, and the paths that speak OpenAI's words are judged as operation `unknown`. Rerank is read as
embeddings, which it is used with and priced like: the model reads, and writes nothing.
"""

import re
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
from modelfence.dialects.cohere.reading import has_reader, read_body
from modelfence.dialects.cohere.refusal import refuse
from modelfence.dialects.cohere.usage import usage_reader
from modelfence.dialects.openai.limits import limits
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import json_object
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_OPERATIONS = {
    ("POST", "/v2/chat"): "chat",
    ("POST", "/v1/chat"): "chat",
    ("POST", "/v2/embed"): "embeddings",
    ("POST", "/v1/embed"): "embeddings",
    ("POST", "/v2/rerank"): "embeddings",
    ("POST", "/v1/rerank"): "embeddings",
    ("POST", "/v1/tokenize"): "tokens",
    ("POST", "/v1/detokenize"): "tokens",
    ("GET", "/v1/models"): "models",
}
# None begins with a dot, so none climbs.
_ID = r"(?!\.)[\w.~-]+"
_JOBS = r"/v1/embed-jobs"
_BATCHES = r"/v2/batches"
_TUNED = r"/v1/finetuning/finetuned-models"
_MODEL_PATH = re.compile(rf"/v1/models/({_ID})", re.ASCII)
_PATTERNS = {
    "batch": rf"(?:GET|POST) (?:{_JOBS}|{_BATCHES})|GET (?:{_JOBS}|{_BATCHES})/{_ID}"
    rf"|POST {_JOBS}/{_ID}/cancel|POST {_BATCHES}/{_ID}:cancel",
    "files": rf"(?:GET|POST) /v1/datasets|(?:GET|DELETE) /v1/datasets/{_ID}",
    "tuning": rf"(?:GET|POST) {_TUNED}|(?:GET|PATCH|DELETE) {_TUNED}/{_ID}"
    rf"|GET {_TUNED}/{_ID}/(?:events|training-step-metrics)",
}
_MANY = {operation: re.compile(pattern, re.ASCII) for operation, pattern in _PATTERNS.items()}


class Cohere:
    """The dialect `cohere`."""

    name = "cohere"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        if known := _OPERATIONS.get((method, path)):
            return known
        if method == "GET" and _MODEL_PATH.fullmatch(path):
            return "models"
        call = f"{method} {path}"
        return next((operation for operation, known in _MANY.items() if known.fullmatch(call)), "unknown")

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, _outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key."""
        return (("authorization", f"Bearer {secret}"),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        operation = self.operation(request.method, request.path)
        if operation == "unknown":
            return UNKNOWN
        parameters(request.query)
        if operation == "models":
            named = _MODEL_PATH.fullmatch(request.path)
            return Reading(operation, model=named[1] if named else "", output_tokens=0)
        if request.method == "POST" and has_reader(request.path):
            return read_body(request.path, json_object(request))
        if request.method in {"POST", "PATCH"} and operation in {"files", "tuning"}:
            return replace(UNKNOWN, operation=operation)
        return Reading(operation, output_tokens=0)

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was.

        The API has neither `logit_bias` nor several choices. Raises MalformedRequestError for a batch, whose requests
        can't be reached.
        """
        body = request.json
        if (request.method, request.path) == ("POST", _BATCHES) and (reshaping.remove or reshaping.cap):
            message = "A batch can't be limited as its sender's requests are to be; send the requests by themselves."
            raise MalformedRequestError(message, status=403)
        if self.operation(request.method, request.path) != "chat" or not isinstance(body, dict):
            return body
        body = dict(body)
        if "logprobs" in reshaping.remove:
            body.pop("logprobs", None)
        if (most := reshaping.cap.get("output_tokens")) is not None:
            given, thinking = body.get("max_tokens"), body.get("thinking")
            body["max_tokens"] = min(given, most) if isinstance(given, int) else most
            if isinstance(thinking, dict) and isinstance(budget := thinking.get("token_budget"), int):
                body["thinking"] = {**thinking, "token_budget": min(budget, most)}
        return body

    def asking_for_usage(self, request: Request) -> Json:  # noqa: ARG002 - the API reports it unasked
        """Return None: usage is always told."""
        return None

    def only_reports_usage(self, event: bytes) -> bool:  # noqa: ARG002 - none was asked for
        """Say no: the event that tells the usage also ends the answer."""
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
