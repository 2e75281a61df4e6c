"""Compressed request bodies: judged on the decoded text within a size limit, or refused."""

import zlib

from modelfence.core.dialect import MalformedRequestError

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_PLAIN = ("", "identity")
_GZIP = ("gzip", "x-gzip")


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
