"""AWS event streams: binary messages out of bytes that arrive in any pieces, and back.

After the Smithy specification of `application/vnd.amazon.eventstream`: a message is its whole length, the length of its
headers and a checksum of both, then the headers, the payload and a checksum of it all. Rule: what was fed is all that
counts, never where it was cut; a message beyond MAX_KEPT_BYTES is let go and only its size is remembered. After a
length that can't be, or a checksum that is wrong, nothing is known of the rest: it is passed on and counted by size.
"""

import base64
import json
import struct
import zlib
from collections.abc import Iterator, Mapping

from modelfence.dialects.shared.sse import Event

MEDIA_TYPE = "application/vnd.amazon.eventstream"
MAX_BYTES = 16 * 1024 * 1024
"""The longest message that AWS sends."""
MAX_KEPT_BYTES = 1 << 20
"""Of one message. Whoever passes on whole events lets go what is longer, too."""
_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LEAST = _PRELUDE.size + _CHECKSUM.size
_SHORT = struct.Struct(">H")
_BYTES, _STRING = 6, 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes that a header's value takes, by its type, where that is fixed: booleans, integers, a time and a UUID."""
_CHUNK = "chunk"
EXCEPTION = "exception"
"""The name under which stands whatever ends a stream by a failure."""


class MessageFraming:
    """Messages that say how long they are."""

    ends_lines = False

    def __init__(self) -> None:
        self._kept = 0
        """Bytes of a message that had begun when the data ended."""
        self._length = 0
        """Of that message; 0 while it is not known."""
        self._is_broken = False

    def ends(self, data: bytearray, before: int) -> list[int]:
        """Return where messages end. What can't be read ends wherever the data does, so that it is passed on."""
        # Whoever lets go the beginning of a long message asks next with what comes after it.
        at = self._length - self._kept if self._kept and self._length and before < self._kept else 0
        if self._is_broken:
            return [len(data)]
        if at > len(data):
            self._kept += len(data)
            return [len(data)]
        ends = [at] if at else []
        self._length = 0
        while len(data) - at >= _PRELUDE.size:
            self._length = _length(data, at)
            if not self._length:
                self._is_broken = True
                return [*ends, len(data)]
            if at + self._length > len(data):
                break
            at += self._length
            ends.append(at)
            self._length = 0
        self._kept = len(data) - at
        return ends


class MessageParser:
    """Turns the bytes of one stream into its events.

    An event's data is a JSON object that holds the payload under the name of its kind, EXCEPTION for all exceptions and
    errors. What a `chunk` holds in base64 is unpacked; its padding, which hides how long it is, is none of the answer.
    """

    def __init__(self) -> None:
        self.dropped_bytes = 0
        """Bytes of messages that were too long to keep, and of what is no message."""
        self.is_broken = False
        self._pending = bytearray()
        self._left = 0
        """Bytes still to come of a message that was too long to keep."""

    @property
    def is_amid_event(self) -> bool:
        """Say whether part of an event may have been passed on already, so that no other can follow."""
        return self.is_broken or self._left > 0

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that these bytes complete."""
        if self._left:
            skipped = min(self._left, len(data))
            self._left -= skipped
            self.dropped_bytes += skipped
            data = data[skipped:]
        self._pending += data
        events: list[Event] = []
        at = 0
        while not self.is_broken and len(self._pending) - at >= _PRELUDE.size:
            length = _length(self._pending, at)
            if not length:
                self.is_broken = True
                break
            if length > MAX_KEPT_BYTES:
                here = min(length, len(self._pending) - at)
                self._left = length - here
                self.dropped_bytes += here
                at += here
                continue
            if at + length > len(self._pending):
                break
            self._take(bytes(self._pending[at : at + length]), events)
            at += length
        if self.is_broken:
            self.dropped_bytes += len(self._pending) - at
            at = len(self._pending)
        del self._pending[:at]
        return events

    def _take(self, message: bytes, events: list[Event]) -> None:
        headers_length = _PRELUDE.unpack_from(message)[1]
        end_of_headers = _PRELUDE.size + headers_length
        headers = _headers(message[_PRELUDE.size : end_of_headers])
        kind = EXCEPTION if headers.get(":message-type") in {EXCEPTION, "error"} else headers.get(":event-type", "")
        payload = message[end_of_headers : -_CHECKSUM.size]
        if not kind:
            self.dropped_bytes += len(payload)
            return
        data = _unpacked(payload) if kind == _CHUNK else payload
        events.append(Event(kind, b'{"%s":%s}' % (json.dumps(kind).encode()[1:-1], data or b"{}")))


def message(kind: str, payload: Mapping[str, object], *, is_exception: bool = False) -> bytes:
    """Return one message as AWS sends it: an event, or the exception that ends a stream."""
    named = ("exception", ":exception-type") if is_exception else ("event", ":event-type")
    headers = {named[1]: kind, ":content-type": "application/json", ":message-type": named[0]}
    written = b"".join(
        bytes([len(name)]) + name.encode() + bytes([_STRING]) + _SHORT.pack(len(value)) + value.encode()
        for name, value in headers.items()
    )
    data = json.dumps(payload, separators=(",", ":")).encode()
    lengths = struct.pack(">II", _LEAST + len(written) + len(data), len(written))
    checked = lengths + _CHECKSUM.pack(zlib.crc32(lengths)) + written + data
    return checked + _CHECKSUM.pack(zlib.crc32(checked))


def chunk(event: Mapping[str, object]) -> bytes:
    """Return the message that carries an event of a model's own."""
    return message(_CHUNK, {"bytes": base64.b64encode(json.dumps(event, separators=(",", ":")).encode()).decode()})


def _length(data: bytearray, at: int) -> int:
    """Return the length of the message that begins here; 0 when it can't be one."""
    total, headers, checksum = _PRELUDE.unpack_from(data, at)
    sound = _LEAST + headers <= total <= MAX_BYTES and zlib.crc32(data[at : at + 8]) == checksum
    return total if sound else 0


def _headers(data: bytes) -> Mapping[str, str]:
    return dict(_texts_in(data))


def _texts_in(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the headers that hold text, as far as they can be read."""
    at = 0
    try:
        while at < len(data):
            start = at + 1
            name = data[start : start + data[at]].decode(errors="replace")
            at = start + data[at]
            kind, at = data[at], at + 1
            if kind in (_BYTES, _STRING):
                size = _SHORT.unpack_from(data, at)[0]
                at += _SHORT.size
                if kind == _STRING:
                    yield name, data[at : at + size].decode(errors="replace")
            else:
                size = _SIZES[kind]
            at += size
    except (IndexError, KeyError, struct.error):
        return


def _unpacked(payload: bytes) -> bytes:
    """Return the event in a chunk; the payload as it is when it holds none."""
    try:
        part = json.loads(payload)
        return base64.b64decode(part["bytes"], validate=True)
    except (ValueError, RecursionError, KeyError, TypeError):
        return payload
