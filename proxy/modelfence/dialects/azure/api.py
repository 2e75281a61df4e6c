"""Azure OpenAI's API: OpenAI's requests and answers under Azure's paths, with the model in the path.

After Azure OpenAI's REST reference for inference. Rule: what a body asks for is read by the dialect `openai`; here is
only what Azure does otherwise.

`request.model` is the name of a deployment, which whoever made it chose freely: policies are to name deployments.
Versions of the API from before September 2024 know neither `stream_options`, so that their upstream needs
`stream_usage: false`, nor `max_completion_tokens`, so that they refuse a call to which a limit was added.

Why a body may not name another model than the path: Azure passes over it, and what stands before Azure may not.
Why the names of deployments are not folded: the reference doesn't say whether Azure does, so a policy that forbids
some of them should name those it allows instead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

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
from modelfence.dialects.azure.paths import Place, place_of
from modelfence.dialects.azure.refusal import refuse
from modelfence.dialects.openai.api import OpenAI
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import Body, refuse_other_cases, string
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.reading import UNKNOWN

_OPENAI = OpenAI()
_OWN_DATA = frozenset(("data_sources", "enhancements"))
"""Fields that have Azure put more into the prompt than the caller sends."""
_MOST_ROLES = 8
"""Texts of data sources that are looked at."""
_CAMEL_CASE = frozenset(("dataSources",))
"""As an early version of the API spelt one of them."""
_OTHER_HEADERS = frozenset(("ocp-apim-subscription-key", "subscription-key"))
_PARAMETERS = ("subscription-key", "api-key")
"""Where Azure's gateway also reads a key, and where its realtime API does."""


class Azure:
    """The dialect `azure`."""

    name = "azure"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        return _OPENAI.operation(method, place_of(path).path)

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, _outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key."""
        return (("api-key", secret),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        _refuse_other_keys(request)
        if self.operation(request.method, request.path) == "unknown":
            return UNKNOWN
        parameters(request.query, ("api-version",))
        place, body = place_of(request.path), request.json
        if not isinstance(body, dict):
            return _OPENAI.read(_as_openai(request, place))
        _refuse_other_spellings(body)
        if place.deployment is not None:
            body = {**body, "model": _deployment(body, place.deployment)}
        reading = _OPENAI.read(replace(_as_openai(request, place), json=body))
        if not _adds_to_prompt(request.json):
            return reading
        seen = reading.least_input_tokens
        system = (*islice(_roles(body), _MOST_ROLES), *reading.prompt.system)
        return replace(
            reading, input_tokens=None, seen_input_tokens=seen, prompt=replace(reading.prompt, system=system)
        )

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was."""
        return _OPENAI.reshape(_as_openai(request, place_of(request.path)), reshaping)

    def asking_for_usage(self, request: Request) -> Json:
        """Return the body of a stream with its usage asked for, or None where that is asked already or can't be.

        Azure refuses to be asked where it adds the caller's own data.
        """
        if _adds_to_prompt(request.json):
            return None
        return _OPENAI.asking_for_usage(_as_openai(request, place_of(request.path)))

    def only_reports_usage(self, event: bytes) -> bool:
        """Say whether an event of a stream holds the usage that was asked for and nothing else."""
        return _OPENAI.only_reports_usage(event)

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        return _OPENAI.usage_reader(operation, content_type)

    def limits(self, balances: Sequence[Balance]) -> Headers:
        """Return the headers that tell an admitted caller what is left: of each kind of limit, the tightest bucket."""
        return _OPENAI.limits(balances)

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        return refuse(refusal)


def _as_openai(request: Request, place: Place) -> Request:
    return replace(request, path=place.path)


def _adds_to_prompt(body: Json) -> bool:
    return isinstance(body, dict) and any(body.get(name) is not None for name in _OWN_DATA)


def _roles(body: Body) -> Iterator[str]:
    """Yield the texts that data sources have Azure say before the system's own."""
    sources = body.get("data_sources")
    for source in sources if isinstance(sources, list) else ():
        said = source.get("parameters") if isinstance(source, dict) else None
        role = said.get("role_information") if isinstance(said, dict) else None
        if isinstance(role, str):
            yield role


def _deployment(body: Body, deployment: str) -> str:
    """Return the deployment that a path names, unless the body names another one."""
    named = string(body, "model")
    if named is not None and named != deployment:
        message = f"Invalid value for 'model': the path of this request names the deployment '{deployment}'."
        raise MalformedRequestError(message)
    return deployment


def _refuse_other_spellings(body: Body) -> None:
    refuse_other_cases(body, _OWN_DATA)
    for name in sorted(_CAMEL_CASE & body.keys()):
        raise MalformedRequestError(f"Unknown parameter: '{name}'. Did you mean 'data_sources'?")


def _refuse_other_keys(request: Request) -> None:
    """Refuse a key where only Azure would look for it, so that the call can't be judged as somebody else's."""
    if any(name in _OTHER_HEADERS for name, _ in request.headers) or parameters(request.query, _PARAMETERS):
        raise MalformedRequestError("Send the API key in the header 'api-key'.")
