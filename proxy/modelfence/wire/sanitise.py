"""What a request must look like before anyone reads it: one meaning, for the fence and for the upstream alike.

mitmproxy looks at traffic and so forgives; a fence must not, because whatever two parsers read differently is a way
around it. RFC 9112 (HTTP/1.1) sections 2.2, 3, 5 and 6 and RFC 9110 section 7.6.1 say what is allowed. Where they
leave a choice, the stricter one is taken.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from modelfence.core.client_address import SINGLE_HEADERS
from modelfence.core.dialect import CREDENTIAL_HEADERS, MalformedRequestError

MAX_HEADERS = 1000
"""However many the settings allow."""
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_METHOD = re.compile(rb"[A-Z]{1,16}")
_TOKEN_OR_NOTHING = re.compile(_TOKEN + b"|")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# Half a line end, or a control character: mitmproxy strips some of them off a value as if they were spaces.
_STRAY = re.compile(rb"(?<!\r)\n|\r(?!\n)(?!\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Lines that surely hold none of these, which is found out in a fraction of the time.
_PLAIN = re.compile(rb"(?:[\t\x20-\x7e\x80-\xff]*+\r\n)*+")
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") (/[^ \t]*) HTTP/1\.[01]")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x5b\x5d-\x7e]*")
_DOT_SEGMENT = re.compile(rb"/\.{1,2}(/|\Z)")
# Characters whose encoded form some parsers take for the plain one: unreserved ones, separators, controls.
_NEEDLESSLY_ENCODED = re.compile(rb"[A-Za-z0-9\-._~/\\%;\x00-\x1f\x7f]")

# CONNECT asks for a tunnel; TRACE for an echo of the request, the fence's own credential included.
_METHODS_REFUSED = (b"CONNECT", b"TRACE", b"TRACK")
_NOTHING: frozenset[bytes] = frozenset()
_OF_A_CONNECTION = frozenset(b"connection keep-alive proxy-connection upgrade trailer".split())
# What concerns one connection only, what tells of proxies before this one, and what asks an upstream to take the
# request for another than the one that was judged.
_NOT_PASSED_ON = _OF_A_CONNECTION | frozenset(
    b"proxy-authenticate proxy-authorization te transfer-encoding http2-settings expect forwarded via "
    b"x-original-forwarded-for cf-connecting-ipv6 x-remote-ip x-remote-addr x-originating-ip x-http-method "
    b"x-http-method-override x-method-override x-original-url x-rewrite-url x-original-host x-host".split()
)
_NOT_PASSED_ON |= frozenset(name.encode() for name in SINGLE_HEADERS)
_JUDGED = frozenset(name.encode() for name in CREDENTIAL_HEADERS) | frozenset(
    b"host content-length content-type content-encoding accept-encoding".split()
)
_FORWARDED_PREFIX = b"x-forwarded-"

type Fields = Sequence[tuple[bytes, bytes]]


class HeadCheck:
    """Checks the bytes of one HTTP/1 head as they come, each of them once.

    Looks at what no longer shows once the head is parsed: bare line ends, folded lines, odd request lines.
    """

    def __init__(self, max_bytes: int, max_headers: int = 100) -> None:
        self._max_bytes = max_bytes
        self._max_headers = max_headers
        self._checked = 0

    def complete(self, data: bytes) -> bool:
        """Say whether the head is complete; `data` begins with it. Raises MalformedRequestError."""
        # What was checked last may have been the beginning of an end.
        since = max(0, self._checked - 3)
        end = data.find(b"\r\n\r\n", since)
        stop = end + 2 if end >= 0 else len(data)
        if stop > self._max_bytes:
            raise MalformedRequestError("The request's headers are too large.", status=431)
        is_plain = end >= 0 and _PLAIN.fullmatch(data, 0, stop)
        if not is_plain and _STRAY.search(data, since, stop):
            message = "A line of the request's head does not end in CR LF, or holds a control character."
            raise MalformedRequestError(message)
        self._checked = stop
        if end < 0:
            return False
        first = data.find(b"\r\n")
        if not _REQUEST_LINE.fullmatch(data, 0, first):
            raise MalformedRequestError("The request line is malformed.")
        if data.find(b"\r\n ", 0, end) >= 0 or data.find(b"\r\n\t", 0, end) >= 0:
            raise MalformedRequestError("A header is folded over several lines.")
        if data.count(b"\r\n", 0, end) > self._max_headers:
            raise MalformedRequestError(f"More than {self._max_headers} headers.", status=431)
        return True


def framing(version: bytes, fields: Fields) -> int | None:
    """Return the length of an HTTP/1 request's body, None for one in chunks. Raises MalformedRequestError.

    Also checks that the host is named, and once.
    """
    names = [name.lower() for name, _ in fields]
    for once in (b"host", b"content-length", b"transfer-encoding"):
        if names.count(once) > 1:
            raise MalformedRequestError(f"The header {once.decode()} is given more than once.")
    if b"host" not in names and version == b"HTTP/1.1":
        raise MalformedRequestError("The header host is missing.")
    if b"transfer-encoding" not in names:
        if b"content-length" not in names:
            return 0
        length = fields[names.index(b"content-length")][1]
        if not _LENGTH.fullmatch(length):
            raise MalformedRequestError("The content-length is malformed.")
        return int(length)
    if b"content-length" in names:
        raise MalformedRequestError("Both content-length and transfer-encoding are given.")
    if version != b"HTTP/1.1":
        raise MalformedRequestError("HTTP/1.0 knows no transfer encoding.")
    if fields[names.index(b"transfer-encoding")][1].lower() != b"chunked":
        raise MalformedRequestError("The only transfer encoding that is accepted is chunked.")
    return None


def check_request(method: bytes, target: bytes, fields: Fields) -> None:
    """Check a parsed request head of any HTTP version. Raises MalformedRequestError."""
    if not _METHOD.fullmatch(method) or method in _METHODS_REFUSED:
        raise MalformedRequestError("This method is not allowed.", status=405)
    check_target(target)
    if len(fields) > MAX_HEADERS:
        raise MalformedRequestError(f"More than {MAX_HEADERS} headers.", status=431)
    names = [name.lower() for name, _ in fields]
    if not all(names) or not _TOKEN_OR_NOTHING.fullmatch(b"".join(names)):
        raise MalformedRequestError("The name of a header is malformed.")
    if not _VALUE.fullmatch(b"".join([value for _, value in fields])):
        raise MalformedRequestError("The value of a header holds a control character.")
    for once in (b"content-type", b"content-encoding", b"expect"):
        if names.count(once) > 1:
            raise MalformedRequestError(f"The header {once.decode()} is given more than once.")
    if header(fields, b"expect").lower() not in ("", "100-continue"):
        raise MalformedRequestError("The expectation can't be met.", status=417)


def check_target(target: bytes) -> None:
    """Check that a request target is a plain path with one meaning. Raises MalformedRequestError."""
    path, _, _query = target.partition(b"?")
    if not _TARGET.fullmatch(target):
        raise MalformedRequestError("The request target must be a path, in printable ASCII.")
    if b"//" in path or b";" in path or _DOT_SEGMENT.search(path):
        raise MalformedRequestError("The path holds empty segments, dot segments or parameters.")
    if b"%" in path:
        _check_encoded(path)


def _check_encoded(path: bytes) -> None:
    encoded = [unquote_to_bytes(match[0]) for match in re.finditer(rb"%(..)?", path)]
    try:
        unquote_to_bytes(path).decode()
        ambiguous = any(len(plain) != 1 or _NEEDLESSLY_ENCODED.fullmatch(plain) for plain in encoded)
    except UnicodeDecodeError:  # such as a slash of two bytes, which some decoders take for one
        ambiguous = True
    if ambiguous:
        raise MalformedRequestError("The path holds a percent-encoding that can be read in two ways.")


def passed_on(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Return the headers without those of this connection, those it names, and those of proxies before this one.

    Some servers take `_` for `-` in names: what would become one of these, or a header that was judged, is dropped.
    """
    named = _named_by_connection(fields)
    kept = []
    for name, value in fields:
        lower = plain = name.lower()
        if b"_" in lower:
            plain = lower.replace(b"_", b"-")
            if plain in _JUDGED:
                continue
        if plain not in _NOT_PASSED_ON and lower not in named and not plain.startswith(_FORWARDED_PREFIX):
            kept.append((name, value))
    return kept


def for_client(fields: Fields, *, closes: bool, http10: bool) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers without those of the upstream's connection and those it mangled, and with ours.

    A client of HTTP/1.0 knows no chunks: the end of its connection is the end of the answer.
    """
    dropped = _OF_A_CONNECTION | _named_by_connection(fields)
    if http10:
        dropped |= {b"transfer-encoding"}
    kept = [(name, value) for name, value in fields if name.lower() not in dropped]
    if not _VALUE.fullmatch(b"".join([value for _, value in kept])):
        # Folded, or half a line end in it: what clients would make of it is not for the upstream to choose.
        kept = [(name, value) for name, value in kept if _VALUE.fullmatch(value)]
    if closes:
        kept.append((b"Connection", b"close"))
    return kept


def closes_connection(fields: Fields) -> bool:
    """Say whether the sender of these headers wants the connection closed after this exchange."""
    return b"close" in _named_by_connection(fields)


def _named_by_connection(fields: Fields) -> frozenset[bytes]:
    named = [value for name, value in fields if name.lower() == b"connection"]
    return frozenset(token.strip().lower() for value in named for token in value.split(b",")) if named else _NOTHING


def header(fields: Fields, wanted: bytes) -> str:
    """Return the first value of a header, empty when there is none. `wanted` is in lower case."""
    for name, value in fields:
        if name.lower() == wanted:
            return value.decode("latin-1")
    return ""
