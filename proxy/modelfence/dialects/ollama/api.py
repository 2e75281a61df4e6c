"""Ollama's API, in its own words under /api and in OpenAI's under /v1.

After Ollama's API reference. A path is known exactly or not at all: what changes the models that a server holds (pull,
push, create, copy, delete, blobs) is judged as operation `unknown`.

Why a form's content type is accepted: Ollama reads JSON whatever the type says, and its reference shows calls by curl,
which says so of all that it posts.
"""

from collections.abc import Sequence
from dataclasses import replace

from modelfence.core.call import Credential, Reading
from modelfence.core.charge import Balance
from modelfence.core.dialect import Answer, Headers, Json, Outgoing, Refusal, Request, UsageReader
from modelfence.core.policy import Reshaping
from modelfence.dialects.ollama import compatible
from modelfence.dialects.ollama.reading import limit_in, read_body
from modelfence.dialects.ollama.refusal import refuse
from modelfence.dialects.ollama.usage import usage_reader
from modelfence.dialects.openai.limits import limits
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import Body, json_object
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_OPERATIONS = {
    ("POST", "/api/chat"): "chat",
    ("POST", "/api/generate"): "completion",
    ("POST", "/api/embed"): "embeddings",
    ("POST", "/api/embeddings"): "embeddings",
    ("POST", "/api/show"): "models",
    ("GET", "/api/tags"): "models",
    ("GET", "/api/ps"): "models",
    ("GET", "/api/version"): "models",
}
_GENERATING = ("/api/chat", "/api/generate")
_FORM = ("content-type", "application/x-www-form-urlencoded")


class Ollama:
    """The dialect `ollama`."""

    name = "ollama"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        return _OPERATIONS.get((method, path)) or compatible.operation_of(method, path)

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, _outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key."""
        return (("authorization", f"Bearer {secret}"),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        if self.operation(request.method, request.path) == "unknown":
            return UNKNOWN
        if (request.method, request.path) not in _OPERATIONS:
            return compatible.read(request)
        parameters(request.query)
        if request.method == "GET":
            return Reading("models", output_tokens=0)
        others = tuple(header for header in request.headers if header != _FORM)
        return read_body(request.path, json_object(replace(request, headers=others)))

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was.

        In Ollama's own words there is one choice.
        """
        if (request.method, request.path) not in _OPERATIONS:
            return compatible.reshape(request, reshaping)
        if request.path not in _GENERATING or not isinstance(request.json, dict):
            return request.json
        body = dict(request.json)
        options = dict(given) if isinstance(given := body.get("options"), dict) else {}
        if "logprobs" in reshaping.remove:
            body.pop("logprobs", None)
            body.pop("top_logprobs", None)
        if "logit_bias" in reshaping.remove:
            options.pop("logit_bias", None)
        if (most := reshaping.cap.get("output_tokens")) is not None:
            _lower(body, options, most)
        return {**body, "options": options} if options or body.get("options") else body

    def asking_for_usage(self, request: Request) -> Json:
        """Return the body of a stream in OpenAI's words with its usage asked for; Ollama's own always tell it."""
        is_own = (request.method, request.path) in _OPERATIONS
        return None if is_own else compatible.OPENAI.asking_for_usage(request)

    def only_reports_usage(self, event: bytes) -> bool:
        """Say whether an event of a stream holds the usage that was asked for and nothing else."""
        return compatible.OPENAI.only_reports_usage(event)

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        return usage_reader(operation, content_type)

    def limits(self, balances: Sequence[Balance]) -> Headers:
        """Return the headers that tell an admitted caller what is left: of each kind of limit, the tightest bucket."""
        return limits(balances)

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        return refuse(refusal)


def _lower(body: Body, options: Body, most: int) -> None:
    """Let the call generate at most that, and think no longer."""
    limit, think = limit_in(options), body.get("think")
    options["num_predict"] = most if limit is None else min(limit, most)
    if isinstance(think, int) and not isinstance(think, bool):
        body["think"] = min(think, most)
