"""Finding the caller's API key, wherever an LLM API would look for it.

Every API's header is read for every API: a second key in a header that the fence passed over would reach an upstream
that might look there first, and the call would be judged as somebody else's.

A key of the operator's own that was cut or mistyped is malformed: no directory needs to be asked for it.
"""

import re
from urllib.parse import unquote_plus

from modelfence.core.call import Credential, CredentialState
from modelfence.core.dialect import CREDENTIAL_HEADERS, CREDENTIAL_PARAMETER, Headers, MalformedRequestError
from modelfence.core.virtual_key import is_damaged

# A token of an identity provider that lists many groups has some thousand characters.
_KEY = re.compile(r"[\x21-\x7e]{1,8192}")
_BEARER = re.compile(r"(?i:bearer) +([\x21-\x7e]{1,8192})")


def credential(headers: Headers, query: str = "") -> Credential:
    """Return the one credential of a call. Raises MalformedRequestError when two that differ are given."""
    found: set[str | None] = set()
    for name, value in headers:
        if name == "authorization":
            bearer = _BEARER.fullmatch(value.strip(" \t"))
            found.add(bearer[1] if bearer else None)
        elif name in CREDENTIAL_HEADERS:
            key = value.strip(" \t")
            found.add(key if _KEY.fullmatch(key) else None)
    for parameter in query.split("&") if query else ():
        name, _, value = parameter.partition("=")
        if unquote_plus(name).casefold() == CREDENTIAL_PARAMETER:
            key = unquote_plus(value)
            found.add(key if _KEY.fullmatch(key) else None)
    if len(found) > 1:
        message = "Two different API keys were given in one request; send one."
        raise MalformedRequestError(message)
    if not found:
        return Credential(CredentialState.MISSING)
    secret = found.pop()
    if secret is None or is_damaged(secret):
        return Credential(CredentialState.MALFORMED)
    return Credential.of(secret)
