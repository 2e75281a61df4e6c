"""Reads a body in chunks, to the letter of RFC 9112, section 7.1.

Rule: whatever another parser could end elsewhere is refused. h11, which mitmproxy reads chunks with, takes sizes beyond
64 bits, bare returns and NULs in extensions, spaces behind a size, and a lone line feed for the end of the body.

Extensions are dropped, and may not outweigh the data: else a client could make the fence read without end for a body
that stays small. What has come of several chunks is handed on at once, because a body in chunks of one byte would
otherwise cost a thousand times what it weighs.
"""

import re

import h11
from h11._receivebuffer import ReceiveBuffer

from modelfence.core.dialect import MalformedRequestError

EXCESS_BYTES = 16 << 10
"""How far lines may outweigh data; 16 bytes a chunk are free, and two for each byte of data, as in Go's net/http."""
_FREE_BYTES = 16
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:" + _EXTENSION + rb")*\r\n")
_END = b"\r\n"
_UNFRAMED = "The body is not framed as its headers say."


class ChunkReader:
    """Has the shape of h11's readers of bodies, of which it takes the place."""

    def __init__(self, max_line_bytes: int) -> None:
        self._max_line_bytes = max_line_bytes
        self._left = 0
        """Bytes of the chunk that are still to come."""
        self._ends_chunk = False
        self._ends_body = False
        self._excess = 0

    def __call__(self, buf: ReceiveBuffer) -> h11.Data | h11.EndOfMessage | None:
        """Take what has come. Raises MalformedRequestError."""
        pieces = []
        while not self._ends_body:
            if self._left:
                piece = buf.maybe_extract_at_most(self._left)
                if piece is None:
                    break
                self._left -= len(piece)
                self._ends_chunk = not self._left
                pieces.append(bytes(piece))
            elif self._ends_chunk:
                if not _take_line_end(buf, _UNFRAMED):
                    break
                self._ends_chunk = False
            elif not self._begin_chunk(buf):
                break
        if pieces:
            return h11.Data(data=b"".join(pieces))
        if self._ends_body and _take_line_end(buf, "Trailers are not accepted."):
            return h11.EndOfMessage()
        return None

    def read_eof(self) -> None:
        """Say that the client left within its body."""
        raise h11.RemoteProtocolError("the body is incomplete")

    def _begin_chunk(self, buf: ReceiveBuffer) -> bool:
        line = buf.maybe_extract_next_line()
        size = len(buf) if line is None else len(line)
        if size > self._max_line_bytes:
            raise MalformedRequestError("A line of the chunked body is too long.")
        if line is None:
            return False
        match = _LINE.fullmatch(line)
        if match is None:
            raise MalformedRequestError(_UNFRAMED)
        self._left = int(match[1], 16)
        self._ends_body = not self._left
        self._excess = max(0, self._excess + size + len(_END) - _FREE_BYTES - 2 * self._left)
        if self._excess > EXCESS_BYTES:
            raise MalformedRequestError("The chunks of the body say more about themselves than they hold.")
        return True


def _take_line_end(buf: ReceiveBuffer, otherwise: str) -> bool:
    """Take a line end off the buffer; say whether it was there already. Raises MalformedRequestError."""
    begun = bytes(buf._data[: len(_END)])  # noqa: SLF001 - its own way in copies all of it
    if not _END.startswith(begun):
        raise MalformedRequestError(otherwise)
    return begun == _END and buf.maybe_extract_at_most(len(_END)) is not None
