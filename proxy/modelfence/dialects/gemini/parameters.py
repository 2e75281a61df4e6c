"""The parameters and headers of a request to Gemini's API that change how it is read or answered.

After Google's "System parameters". Rule: those that are known to be harmless are let through, any other is refused.

Why so strict: Google's servers take from a query a second credential, another method, or a selection of the answer's
fields, by which a caller could hide what the answer cost.
"""

from urllib.parse import unquote_plus

from modelfence.core.dialect import MalformedRequestError, Request
from modelfence.dialects.gemini.paths import Place
from modelfence.dialects.shared.queries import parameters

_FORMATS = ("alt", "$alt")
_KNOWN = (*_FORMATS, "key", "prettyPrint", "$prettyPrint", "$.xgafv", "quotaUser", "pageSize", "pageToken")
_REFUSED_HEADERS = frozenset(("x-goog-fieldmask",))


def check_parameters(request: Request, place: Place) -> None:
    """Raise MalformedRequestError where the upstream might answer otherwise than the fence can follow."""
    given = parameters(request.query, _KNOWN)
    for written in request.query.split("&") if request.query else ():
        name = unquote_plus(written.partition("=")[0])
        if name and name not in _KNOWN:
            raise MalformedRequestError(f"The parameter '{name}' is not accepted in the query of this request.")
    formats = [given[name] for name in _FORMATS if name in given]
    if len(formats) > 1:
        raise MalformedRequestError("The parameters 'alt' and '$alt' are one; give one of them.")
    known = ("json", "sse") if place.is_streamed else ("json",)
    if formats and formats[0] not in known:
        raise MalformedRequestError(f"Invalid value for 'alt': expected {' or '.join(known)}.")
    for name, _ in request.headers:
        if name in _REFUSED_HEADERS:
            raise MalformedRequestError(f"The header '{name}' is not accepted: answers are read as a whole.")
