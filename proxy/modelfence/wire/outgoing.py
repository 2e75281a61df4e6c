"""Turning the caller's request into the one that the upstream reads."""

import json
from dataclasses import replace
from urllib.parse import unquote_plus

from mitmproxy import http

from modelfence.core.dialect import (
    BILLING_HEADERS,
    CREDENTIAL_HEADERS,
    CREDENTIAL_PARAMETER,
    Dialect,
    Outgoing,
    Request,
)
from modelfence.core.policy import Reshaping
from modelfence.core.upstream import Upstream
from modelfence.wire.sanitise import passed_on

_METHODS_WITH_BODY = ("POST", "PUT", "PATCH")
CREDENTIALS = frozenset(name.encode() for name in CREDENTIAL_HEADERS | BILLING_HEADERS)
_REPLACED = frozenset((b"host", b"content-length", b"content-encoding", b"accept-encoding"))


def address(
    message: http.Request, upstream: Upstream, dialect: Dialect, *, request: Request, reshaping: Reshaping
) -> bool:
    """Rewrite `message` in place: address, path, headers and body. `request` is what was judged.

    Return whether the caller could have asked for the usage of his stream, and did not.
    """
    shaped = dialect.reshape(request, reshaping) if reshaping else request.json
    asking = dialect.asking_for_usage(replace(request, json=shaped))
    wanted = shaped if asking is None or not upstream.stream_usage else asking
    body = request.body if wanted == request.json else json.dumps(wanted, ensure_ascii=False).encode()
    replaced = _REPLACED if upstream.secret is None else _REPLACED | CREDENTIALS
    fields = [field for field in passed_on(message.data.headers.fields) if field[0].lower() not in replaced]
    fields.insert(0, (b"Host", upstream.authority.encode()))
    # Counting reads the answer as it passes, so it is asked for without compression.
    fields.append((b"Accept-Encoding", b"identity"))
    if body or message.method in _METHODS_WITH_BODY:
        # Always stated: an HTTP/2 body without a length would reach an HTTP/1 upstream with no framing at all.
        fields.append((b"Content-Length", b"%d" % len(body)))
    path, query = upstream.base_path + request.path, request.query
    if upstream.secret is not None:
        query = without_credential(query)
        headers = [(name.decode("ascii").lower(), value.decode("latin-1")) for name, value in fields]
        outgoing = Outgoing(message.method, upstream.authority, path, query, headers, body)
        credential = dialect.credential_headers(upstream.secret, outgoing)
        fields += [(name.encode(), value.encode()) for name, value in credential]
    data = message.data
    data.path = (f"{path}?{query}" if query else path).encode("ascii")
    data.headers = http.Headers(fields)
    data.content = body
    data.trailers = None
    # Set beside mitmproxy's own setters, which would rewrite the host header.
    data.scheme, data.host, data.port = upstream.scheme.encode(), upstream.host, upstream.port
    data.authority = upstream.authority.encode() if data.authority else b""
    return asking is not None


def without_credential(query: str) -> str:
    """Return a query without the parameter that carries the caller's key."""
    parameters = query.split("&") if query else []
    return "&".join(one for one in parameters if unquote_plus(one.partition("=")[0]).casefold() != CREDENTIAL_PARAMETER)
