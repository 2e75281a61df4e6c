"""What a request must look like before anyone reads it: one meaning, for the fence and for the upstream alike.

mitmproxy looks at traffic and so forgives; a fence must not, because whatever two parsers read differently is a way
around it. RFC 9112 (HTTP/1.1) sections 2.2, 3, 5 and 6 and RFC 9110 section 7.6.1 say what is allowed. Where they
leave a choice, the stricter one is taken.
"""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from modelfence.core.dialect import MalformedRequestError

MAX_HEADERS = 100
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_METHOD = re.compile(rb"[A-Z]{1,16}")
_NAME = re.compile(_TOKEN)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LOOSE_END = re.compile(rb"(?<!\r)\n|\r(?!\n)(?!\Z)|\0")
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") (/[^ \t]*) HTTP/1\.[01]")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x5b\x5d-\x7e]*")
_DOT_SEGMENT = re.compile(rb"/\.{1,2}(/|\Z)")
# Characters whose encoded form some parsers take for the plain one: unreserved ones, separators, controls.
_NEEDLESSLY_ENCODED = re.compile(rb"[A-Za-z0-9\-._~/\\%;\x00-\x1f\x7f]")

# What concerns one connection only, and what tells of proxies before this one.
_NOT_PASSED_ON = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade http2-settings expect forwarded via x-real-ip client-ip true-client-ip cf-connecting-ip".split()
)
_FORWARDED_PREFIX = b"x-forwarded-"

type Fields = Sequence[tuple[bytes, bytes]]


def check_raw_head(data: bytes, *, max_bytes: int) -> bool:
    """Check the bytes of an HTTP/1 head as far as they have come; return whether it is complete.

    Looks at what no longer shows once the head is parsed: bare line ends, folded lines, odd request lines.
    Raises MalformedRequestError.
    """
    end = data.find(b"\r\n\r\n")
    head = data[: end + 2] if end >= 0 else data
    if len(head) > max_bytes:
        raise MalformedRequestError("The request's headers are too large.", status=431)
    if _LOOSE_END.search(head):
        raise MalformedRequestError("A line of the request's head does not end in CR LF, or holds a control character.")
    if end < 0:
        return False
    first, *lines = head[:-2].split(b"\r\n")
    if not _REQUEST_LINE.fullmatch(first):
        raise MalformedRequestError("The request line is malformed.")
    if any(line[:1] in (b" ", b"\t") for line in lines):
        raise MalformedRequestError("A header is folded over several lines.")
    return True


def check_request(method: bytes, target: bytes, fields: Fields) -> None:
    """Check a parsed request head of any HTTP version. Raises MalformedRequestError."""
    if not _METHOD.fullmatch(method) or method == b"CONNECT":
        raise MalformedRequestError("This method is not allowed.", status=405)
    check_target(target)
    if len(fields) > MAX_HEADERS:
        raise MalformedRequestError(f"More than {MAX_HEADERS} headers.", status=431)
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise MalformedRequestError("The name of a header is malformed.")
        if not _VALUE.fullmatch(value):
            raise MalformedRequestError("The value of a header holds a control character.")
    for once in (b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding"):
        if sum(name.lower() == once for name, _ in fields) > 1:
            raise MalformedRequestError(f"The header {once.decode()} is given more than once.")
    if _value(fields, b"transfer-encoding").lower() not in (b"", b"chunked"):
        raise MalformedRequestError("The only transfer encoding that is accepted is chunked.")
    if _value(fields, b"expect").lower() not in (b"", b"100-continue"):
        raise MalformedRequestError("The expectation can't be met.", status=417)


def check_target(target: bytes) -> None:
    """Check that a request target is a plain path with one meaning. Raises MalformedRequestError."""
    path, _, _query = target.partition(b"?")
    if not _TARGET.fullmatch(target):
        raise MalformedRequestError("The request target must be a path, in printable ASCII.")
    if b"//" in path or b";" in path or _DOT_SEGMENT.search(path):
        raise MalformedRequestError("The path holds empty segments, dot segments or parameters.")
    for encoded in re.finditer(rb"%(..)?", path):
        plain = unquote_to_bytes(encoded[0])
        if len(plain) != 1 or _NEEDLESSLY_ENCODED.fullmatch(plain):
            raise MalformedRequestError("The path holds a percent-encoding that can be read in two ways.")


def passed_on(fields: Fields) -> list[tuple[bytes, bytes]]:
    """Return the headers without those of this connection, those it names, and those of proxies before this one."""
    named = {
        token.strip().lower() for name, value in fields if name.lower() == b"connection" for token in value.split(b",")
    }
    dropped = _NOT_PASSED_ON | named
    return [
        (name, value)
        for name, value in fields
        if name.lower() not in dropped and not name.lower().startswith(_FORWARDED_PREFIX)
    ]


def _value(fields: Fields, wanted: bytes) -> bytes:
    return next((value for name, value in fields if name.lower() == wanted), b"")
