"""The parameters of a request's query, where some upstreams look for what others read in the body or the path."""

from collections.abc import Collection, Mapping
from urllib.parse import unquote_plus

from modelfence.core.dialect import MalformedRequestError

_ALWAYS_READ = frozenset({"model", "deployment", "stream"})
"""Who reads one of these in a query may take it for more than what was judged."""


def parameters(query: str, names: Collection[str] = ()) -> Mapping[str, str]:
    """Return those of these parameters that are given.

    Raises MalformedRequestError when one is given twice or in another case, and when another than these could choose
    the model.
    """
    found: dict[str, str] = {}
    for parameter in query.split("&") if query else ():
        written, _, value = parameter.partition("=")
        name = unquote_plus(written)
        known = next((one for one in names if one.casefold() == name.casefold()), None)
        if known is None:
            if name.casefold() in _ALWAYS_READ:
                raise MalformedRequestError(f"The parameter '{name}' does not belong into the query of this request.")
            continue
        if name != known or known in found:
            raise MalformedRequestError(f"The parameter '{known}' must be given once, and be written like this.")
        found[known] = unquote_plus(value)
    return found
