"""Gemini in OpenAI's words, under /v1beta/openai: what the dialect `openai` reads, and what Google does otherwise.

After Google's guide "OpenAI compatibility". Rule: a request is handed to the dialect `openai` under the path that it
has there; paths of OpenAI's API that Google doesn't serve stay unknown.

Why `extra_body` and names in camel case are refused: in the one Google reads fields of its own, such as a budget for
thinking or a cache; the others its servers may read as well as the usual spelling.
"""

from dataclasses import replace

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError, Request
from modelfence.dialects.gemini.paths import openai_path
from modelfence.dialects.openai.api import OpenAI

OPENAI = OpenAI()
PREFIX = "/v1beta/openai/"
"""What all these paths hold, whatever the upstream's own address puts before them."""
_GOOGLES_OWN = frozenset(("extra_body", "google"))


def as_openai(request: Request) -> Request | None:
    """Return the request as the dialect `openai` knows it; None where it is in Gemini's own words."""
    path = openai_path(request.path)
    return None if path is None else replace(request, path=path)


def read(request: Request) -> Reading:
    """Return what the facts need. Raises MalformedRequestError when the upstream might read it otherwise."""
    for name in request.json if isinstance(request.json, dict) else ():
        if name in _GOOGLES_OWN or not (name.islower() or name == ""):
            raise MalformedRequestError(f"The field '{name}' is not accepted in this request.")
    reading = OPENAI.read(request)
    # `models/m` and `m` are one model here.
    return replace(reading, model=reading.model.removeprefix("models/")) if reading.model else reading
