"""A reader of requests that forgives nothing, for what the upstream received."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelfence.enforcement.ports import Judged

_LINE = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,8}")
_NEVER = frozenset(b"transfer-encoding te trailer upgrade connection keep-alive expect http2-settings".split())


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as an upstream reads it."""

    method: str
    path: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def strictly(data: bytes) -> list[Sent]:
    """Return the requests that these bytes are. Anything that could be read otherwise fails the test."""
    requests = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data
        first, *lines = head.split(b"\r\n")
        line = _LINE.fullmatch(first)
        assert line, first
        fields = [_FIELD.fullmatch(one) for one in lines]
        assert all(fields), lines
        named = [(field[1].lower(), field[2]) for field in fields if field]
        names = [name for name, _ in named]
        assert names.count(b"host") == 1
        assert not _NEVER.intersection(names)
        lengths = [value for name, value in named if name == b"content-length"]
        assert len(lengths) <= 1
        assert all(_LENGTH.fullmatch(length) for length in lengths)
        size = int(lengths[0]) if lengths else 0
        assert len(rest) >= size
        requests.append(Sent(line[1].decode(), line[2].decode().partition("?")[0], rest[:size]))
        data = rest[size:]
    return requests


def only_judged(received: Sequence[bytes], calls: Sequence[Judged]) -> None:
    """See that each request the upstream received is a call that was judged and let in, and each call is one request."""
    open_calls = [judged.call for judged in calls if judged.decision.admitted]
    for sent in (one for record in received for one in strictly(bytes(record))):
        for call in open_calls:
            if (sent.method, sent.path) == (call.method, call.path) and _same(sent.body, call.body):
                open_calls.remove(call)
                break
        else:
            raise AssertionError(f"{sent} was never judged")


def _same(sent: bytes, judged: object) -> bool:
    """Compare bodies. The fence itself asks for the usage of a stream; one that is not read as JSON is not kept."""
    if not isinstance(judged, bytes) or sent == judged:
        return True
    return {**json.loads(judged), "stream_options": {"include_usage": True}} == json.loads(sent)
