"""Compressed bodies: a request's is judged on the decoded text within a size limit, an answer's is refused."""

import zlib

from modelfence.core.dialect import MalformedRequestError
from modelfence.wire.sanitise import Fields

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_PLAIN = ("", "identity")
_GZIP = ("gzip", "x-gzip")
_ENCODINGS = (b"content-encoding", b"transfer-encoding")


def check_encoding(encoding: str) -> None:
    """Raise MalformedRequestError, 415, for an encoding that `decode` can't read."""
    if encoding.strip().lower() not in _PLAIN + _GZIP:
        raise MalformedRequestError("Bodies are accepted plain or as gzip.", status=415)


def decode(body: bytes, encoding: str, *, max_bytes: int) -> bytes:
    """Return the plain body. Raises MalformedRequestError: 400 when damaged, 413 too large, 415 another encoding.

    The decoded text is also what goes to the upstream, so that both read the same.
    """
    check_encoding(encoding)
    if len(body) > max_bytes:
        raise MalformedRequestError("The body is too large.", status=413)
    return body if encoding.strip().lower() in _PLAIN else _gunzip(body, max_bytes)


def unasked_encoding(fields: Fields) -> str:
    """Return how the body of an answer is encoded, which was asked for plain; empty where it is."""
    encodings = [value.decode("latin-1").lower().split(",") for name, value in fields if name.lower() in _ENCODINGS]
    names = [name.strip() for given in encodings for name in given]
    return ", ".join(name for name in names if name not in (*_PLAIN, "chunked"))


def _gunzip(body: bytes, max_bytes: int) -> bytes:
    reader = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = reader.decompress(body, max_bytes + 1)
    except zlib.error:
        raise MalformedRequestError("The body is not valid gzip.") from None
    if len(plain) > max_bytes:
        raise MalformedRequestError("The body is too large once decompressed.", status=413)
    if not reader.eof or reader.unused_data:
        raise MalformedRequestError("The body is not one whole gzip stream.")
    return plain
