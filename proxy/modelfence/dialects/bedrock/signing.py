"""Signatures of requests to AWS, version 4: reading the caller's, and making the fence's own.

After AWS's "Signature Version 4 signing process" and "Create a signed AWS API request". Rule: the secret key itself is
never sent, and what is signed is what is sent: the request as the upstream receives it, its body included.

Why an access key id stands for the caller: the fence can't check a signature without the secret it was made with. An
upstream that reads the caller's own signature does check it. With a credential of the fence's own nobody does, so the
ids in the accounts file must then be secrets: as long and random as any API key, and issued by the operator.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from modelfence.core.dialect import Headers, Outgoing

SCHEME = "AWS4-HMAC-SHA256"
SERVICE = "bedrock"
DEFAULT_REGION = "us-east-1"
_REGION = r"[a-z]{2,8}(?:-[a-z]{2,16}){1,3}-[0-9]{1,2}"
_HOST = re.compile(rf"(?:[a-z0-9-]+\.)*bedrock-runtime(?:-fips)?\.({_REGION})\.[a-z0-9.-]+(?::[0-9]+)?")
_AUTHORIZATION = re.compile(
    rf"{SCHEME} +Credential=(\w{{16,128}})/([0-9]{{8}})/({_REGION})/{SERVICE}/aws4_request *, *"
    r"SignedHeaders=([a-z0-9!#$&'*+.^_`|~;-]{1,2048}) *, *Signature=([0-9a-f]{64})",
    re.ASCII,
)
_SECRET = re.compile(r"(\w{16,128}):([^:\s]{16,256})(?::([^:\s]+))?", re.ASCII)
_NOT_SIGNED = "x-amzn-trace-id"
"""Proxies on the way may change it."""
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a caller's signature says of itself."""

    key_id: str
    region: str
    signed: tuple[str, ...]
    """Names of the headers that it covers, in lower case."""


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What requests are signed with."""

    id: str
    secret: str
    session_token: str | None = None


def signature(authorization: str) -> Signature | None:
    """Return what a signature for this API says; None when it is malformed, or is for another service."""
    found = _AUTHORIZATION.fullmatch(authorization.strip(" \t"))
    if found is None:
        return None
    key_id, _date, region, names, _ = found.groups()
    signed = tuple(names.split(";"))
    return Signature(key_id, region, signed) if "host" in signed and all(signed) else None


def keys(secret: str) -> Keys | None:
    """Return the keys in `ID:SECRET` or `ID:SECRET:SESSION_TOKEN`; None for another kind of credential."""
    found = _SECRET.fullmatch(secret)
    return Keys(found[1], found[2], found[3]) if found else None


def region(outgoing: Outgoing) -> str:
    """Return the region that a request is for: by the upstream's name, or else as the caller signed, or the default."""
    if found := _HOST.fullmatch(outgoing.authority.lower()):
        return found[1]
    given = (signature(value) for name, value in outgoing.received if name == "authorization")
    return next((one.region for one in given if one is not None), DEFAULT_REGION)


def sign(keys: Keys, outgoing: Outgoing, *, now_us: int) -> Headers:
    """Return the headers that sign a request."""
    at = datetime.fromtimestamp(now_us / 1_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [("x-amz-date", at)]
    if keys.session_token is not None:
        added.append(("x-amz-security-token", keys.session_token))
    covered = _covered([*outgoing.headers, *added], outgoing.authority)
    names = ";".join(covered)
    request = "\n".join(
        (
            outgoing.method,
            quote(outgoing.path, safe="/~"),
            _canonical_query(outgoing.query),
            *(f"{name}:{','.join(' '.join(value.split()) for value in covered[name])}" for name in covered),
            "",
            names,
            hashlib.sha256(outgoing.body).hexdigest(),
        )
    )
    scope = f"{at[:8]}/{region(outgoing)}/{SERVICE}/aws4_request"
    text = "\n".join((SCHEME, at, scope, hashlib.sha256(request.encode()).hexdigest()))
    signed = _mac(_key(keys.secret, scope.split("/")), text).hex()
    authorization = f"{SCHEME} Credential={keys.id}/{scope}, SignedHeaders={names}, Signature={signed}"
    return (*added, ("authorization", authorization))


def _covered(headers: Headers, authority: str) -> dict[str, Sequence[str]]:
    """Return the headers to sign, sorted: the host, the kind of the body, and all that are AWS's own."""
    covered: dict[str, list[str]] = {"host": [authority]}
    for name, value in headers:
        if name == "content-type" or (name.startswith("x-amz") and name != _NOT_SIGNED):
            covered.setdefault(name, []).append(value)
    return dict(sorted(covered.items()))


def _canonical_query(query: str) -> str:
    parts = [one.partition("=") for one in query.split("&")] if query else []
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in parts)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encoded(text: str) -> str:
    return quote(unquote(text), safe=_UNRESERVED)


def _key(secret: str, scope: Sequence[str]) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = _mac(key, part)
    return key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
