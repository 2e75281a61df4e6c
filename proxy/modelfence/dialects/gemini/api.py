"""Google's Gemini API: its own words, and those of OpenAI that it also understands.

After the Gemini API's reference. A path is known exactly or not at all: an upstream may be laxer, and what the fence
can't read is judged as operation `unknown`. Of two interfaces that answer at one place, a request is read by its path
and an answer by its shape.
"""

from collections.abc import Sequence

from modelfence.core.call import Credential, Reading
from modelfence.core.charge import Balance
from modelfence.core.dialect import Answer, Headers, Json, Outgoing, Refusal, Request, UsageReader
from modelfence.core.policy import Reshaping
from modelfence.dialects.gemini import compatible
from modelfence.dialects.gemini.compatible import OPENAI, as_openai
from modelfence.dialects.gemini.parameters import check_parameters
from modelfence.dialects.gemini.paths import openai_path, place_of
from modelfence.dialects.gemini.reading import read_body
from modelfence.dialects.gemini.refusal import refuse
from modelfence.dialects.gemini.reshaping import reshaped
from modelfence.dialects.gemini.usage import usage_reader
from modelfence.dialects.shared.credentials import credential
from modelfence.dialects.shared.fields import json_object
from modelfence.dialects.shared.reading import UNKNOWN


class Gemini:
    """The dialect `gemini`."""

    name = "gemini"

    def operation(self, method: str, path: str) -> str:
        """Return the operation a path stands for, `unknown` when it is none of those read here."""
        known = openai_path(path)
        return place_of(method, path).operation if known is None else OPENAI.operation(method, known)

    def credential(self, headers: Headers, query: str = "") -> Credential:
        """Return the caller's credential. Raises MalformedRequestError when two different ones are given."""
        return credential(headers, query)

    def credential_headers(self, secret: str, outgoing: Outgoing) -> Headers:
        """Return the header that carries an API key, which OpenAI's words have elsewhere."""
        if compatible.PREFIX in outgoing.path:
            return OPENAI.credential_headers(secret, outgoing)
        return (("x-goog-api-key", secret),)

    def read(self, request: Request) -> Reading:
        """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
        if self.operation(request.method, request.path) == "unknown":
            return UNKNOWN
        place = place_of(request.method, request.path)
        check_parameters(request, place)
        if (known := as_openai(request)) is not None:
            return compatible.read(known)
        if place.operation == "models":
            return Reading("models", model=place.model, output_tokens=0)
        return read_body(place, json_object(request))

    def reshape(self, request: Request, reshaping: Reshaping) -> Json:
        """Return the body with fields removed and limits lowered; the given one is left as it was."""
        if (known := as_openai(request)) is not None:
            return OPENAI.reshape(known, reshaping)
        is_generation = place_of(request.method, request.path).operation == "chat"
        return reshaped(request.json, reshaping) if is_generation and isinstance(request.json, dict) else request.json

    def asking_for_usage(self, request: Request) -> Json:
        """Return the body of a stream with its usage asked for, or None where that is asked already or can't be.

        Gemini's own streams report their usage unasked.
        """
        known = as_openai(request)
        return None if known is None else OPENAI.asking_for_usage(known)

    def only_reports_usage(self, event: bytes) -> bool:
        """Say whether an event of a stream holds the usage that was asked for and nothing else."""
        return OPENAI.only_reports_usage(event)

    def usage_reader(self, operation: str, content_type: str) -> UsageReader:
        """Return a counter for an answer of that kind."""
        return usage_reader(operation, content_type)

    def limits(self, balances: Sequence[Balance]) -> Headers:
        """Return the headers that tell an admitted caller what is left: of each kind of limit, the tightest bucket.

        Google tells nobody; OpenAI's names are those that clients know.
        """
        return OPENAI.limits(balances)

    def refuse(self, refusal: Refusal) -> Answer:
        """Return the refusal in the API's own shape."""
        return refuse(refusal)
