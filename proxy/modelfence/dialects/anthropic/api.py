"""Anthropic's API, also as other servers speak it.

After Anthropic's API reference for messages, message batches, counting of tokens and models. A path is known exactly
or not at all: the API's older completions, files, skills and agents are judged as operation `unknown`.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from modelfence.core.call import Credential, Reading
from modelfence.core.charge import Balance
from modelfence.core.dialect import Answer, Headers, Json, Outgoing, Refusal, Request, UsageReader
from modelfence.core.policy import Reshaping
from modelfence.dialects.anthropic.limits import limits
from modelfence.dialects.anthropic.reading import read_batch, read_message
from modelfence.dialects.anthropic.refusal import refuse
from modelfence.dialects.anthropic.reshaping import reshape
from modelfence.dialects.anthropic.usage import usage_reader
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import json_object
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_OPERATIONS = {
    ("POST", "/v1/messages"): "chat",
    ("POST", "/v1/messages/count_tokens"): "tokens",
    ("POST", "/v1/messages/batches"): "batch",
    ("GET", "/v1/messages/batches"): "batch",
    ("GET", "/v1/models"): "models",
}
_BATCH = r"/v1/messages/batches/[A-Za-z0-9_-]+"
_BATCH_PATHS = {
    "GET": re.compile(rf"{_BATCH}(?:/results)?"),
    "POST": re.compile(rf"{_BATCH}/cancel"),
    "DELETE": re.compile(_BATCH),
}
# Ids such as `claude-3-5-haiku@20241022` and `anthropic.claude-v1:0`; none begins with a dot, so none climbs.
_MODEL_PATH = re.compile(r"/v1/models/((?!\.)(?:[\w.:~@-]|%3[Aa]|%40)+)", re.ASCII)


class Anthropic:
    """The dialect `anthropic`."""

    name = "anthropic"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        if known := _OPERATIONS.get((method, path)):
            return known
        if method == "GET" and _MODEL_PATH.fullmatch(path):
            return "models"
        batches = _BATCH_PATHS.get(method)
        return "batch" if batches is not None and batches.fullmatch(path) else "unknown"

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, _outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key."""
        return (("x-api-key", secret),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        operation = self.operation(request.method, request.path)
        if operation == "unknown":
            return UNKNOWN
        parameters(request.query)
        if operation == "models":
            named = _MODEL_PATH.fullmatch(request.path)
            return Reading(operation, model=unquote(named[1]) if named else "", output_tokens=0)
        if (request.method, request.path) not in _OPERATIONS or request.method == "GET":
            return Reading(operation, output_tokens=0)
        body = json_object(request)
        return read_batch(body) if operation == "batch" else read_message(operation, body)

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with limits lowered; the given one is left as it was.

        The API has neither `logprobs` nor `logit_bias`, and one answer to each request: there is nothing to remove.
        Raises MalformedRequestError, 403, when a batch holds more requests than the tokens that all of them may have.
        """
        return reshape(self.operation(request.method, request.path), request.json, reshaping)

    def asking_for_usage(self, _request: Request) -> Json:
        """Return None: every stream reports its usage unasked."""
        return None

    def only_reports_usage(self, _event: bytes) -> bool:
        """Say no: the event that reports the usage says why the answer ended, too."""
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
