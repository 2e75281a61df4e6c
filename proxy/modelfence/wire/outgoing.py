"""Turning the caller's request into the one that the upstream reads.

What its caller has signed, where the fence has no credential of its own, arrives as it was signed or is refused: the
upstream would take a request that was changed on the way for a forged one. So the host is the one that was signed.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard
from urllib.parse import unquote_plus

from mitmproxy import http

from modelfence.core.dialect import (
    BILLING_HEADERS,
    CREDENTIAL_HEADERS,
    CREDENTIAL_PARAMETER,
    SIGNATURE_HEADERS,
    Dialect,
    MalformedRequestError,
    Outgoing,
    ReadsSignatures,
    Request,
)
from modelfence.core.policy import Reshaping
from modelfence.core.upstream import Upstream
from modelfence.wire.sanitise import Fields, passed_on

_METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
CREDENTIALS = frozenset(name.encode() for name in CREDENTIAL_HEADERS | BILLING_HEADERS | SIGNATURE_HEADERS)
_REPLACED = frozenset((b"host", b"content-length", b"content-encoding", b"accept-encoding"))
_REPLACED_WITH_KEYS = _REPLACED | CREDENTIALS
_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode


def address(
    message: http.Request, upstream: Upstream, dialect: Dialect, *, request: Request, reshaping: Reshaping
) -> bool:
    """Rewrite `message` in place: address, path, headers and body. `request` is what was judged.

    Return whether the caller could have asked for the usage of his stream, and did not. Raises MalformedRequestError
    when the caller has signed what can't arrive as it was signed.
    """
    signed = _signed_headers(upstream, dialect, request)
    shaped = dialect.reshape(request, reshaping) if reshaping else request.json
    asking = dialect.asking_for_usage(request if shaped is request.json else replace(request, json=shaped))
    wanted = shaped if asking is None or not upstream.stream_usage else asking
    body = request.body if wanted == request.json else _encode(wanted).encode()
    replaced = _REPLACED if upstream.secret is None else _REPLACED_WITH_KEYS
    fields = [field for field in passed_on(message.data.headers.fields) if field[0].lower() not in replaced]
    fields.insert(0, (b"Host", _host(message) if signed else upstream.authority.encode()))
    # Counting reads the answer as it passes, so it is asked for without compression.
    fields.append((b"Accept-Encoding", b"identity"))
    if body or message.method in _METHODS_WITH_BODY:
        # Always stated: an HTTP/2 body without a length would reach an HTTP/1 upstream with no framing at all.
        fields.append((b"Content-Length", b"%d" % len(body)))
    path, query = upstream.base_path + request.path, request.query
    if upstream.secret is not None:
        query = without_credential(query)
        outgoing = Outgoing(message.method, upstream.authority, path, query, tuple(fields), body, request.headers)
        credential = dialect.credential_headers(upstream.secret, outgoing)
        fields += [(name.encode(), value.encode()) for name, value in credential]
    data = message.data
    target = (f"{path}?{query}" if query else path).encode("ascii")
    if signed:
        if wanted != request.json:
            words = "A rule of this service changes this request, which is signed: send it with an API key instead."
            raise MalformedRequestError(words, status=403)
        _refuse_changes(message, signed, fields=fields, target=target, body=body)
    data.path = target
    data.headers.fields = tuple(fields)
    data.content = body
    data.trailers = None
    # Set beside mitmproxy's own setters, which would rewrite the host header.
    data.scheme, data.host, data.port = upstream.scheme.encode(), upstream.host, upstream.port
    data.authority = (_host(message) if signed else upstream.authority.encode()) if data.authority else b""
    return asking is not None


def _signed_headers(upstream: Upstream, dialect: Dialect, request: Request) -> Sequence[str]:
    """Return the headers that must arrive as they came, because nothing else replaces the caller's signature."""
    if upstream.secret is not None or not _reads_signatures(dialect):
        return ()
    return dialect.signed_headers(request.headers)


def _reads_signatures(dialect: Dialect) -> TypeGuard[ReadsSignatures]:
    """Look at its class: what was found of one is remembered, and looking at a protocol's instance takes 12 µs."""
    return issubclass(type(dialect), ReadsSignatures)


def _host(message: http.Request) -> bytes:
    """Return the host that the caller named."""
    return message.data.authority or b"".join(_values(message.data.headers.fields, b"host"))


def _refuse_changes(
    message: http.Request, signed: Sequence[str], *, fields: Fields, target: bytes, body: bytes
) -> None:
    """Refuse what would not arrive as it was signed."""
    received = message.data.headers.fields
    changed = [
        f"header '{name}'"
        for name in signed
        if name != "host" and _values(received, name.encode()) != _values(fields, name.encode())
    ]
    if (message.raw_content or b"") != body:
        changed.append("compressed body")
    if message.data.path != target:
        changed.append("path")
    if changed:
        raise MalformedRequestError(
            f"This request is signed, and its {changed[0]} can't be passed on as it was signed."
        )


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for other, value in fields if other.lower() == name]


def without_credential(query: str) -> str:
    """Return a query without the parameter that carries the caller's key."""
    parameters = query.split("&") if query else []
    return "&".join(one for one in parameters if unquote_plus(one.partition("=")[0]).casefold() != CREDENTIAL_PARAMETER)
