"""Hiding what a policy hides from an answer on its way: event by event, or in a plain answer as a whole.

Rule: doubt hides. What can't be read, or is too long to be looked at, does not go on.
"""

import json
import logging
import re

from modelfence.core.call import Reading
from modelfence.core.dialect import MalformedRequestError
from modelfence.core.hiding import Hidden, is_left_out, without
from modelfence.core.policy import Reshaping

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 8 << 20
"""A plain answer is kept until it has ended; a longer one is lost."""
_DATA = re.compile(rb"^data:[ ]?([^\r\n]*)", re.MULTILINE)
_AROUND = b" \t\r\n,[]"
"""What stands around the elements of an array that is a stream."""
_SPEAKING = ("chat", "responses", "completion", "realtime", "unknown")
_PLAIN_DATA = (b"", b"[DONE]")


def hidden_in(reshaping: Reshaping, *, reading: Reading, hidden: Hidden | None) -> Hidden | None:
    """Return what is taken out of an answer, None for nothing. `hidden` is what can be in this API's answers.

    Raises MalformedRequestError when that can't be done.
    """
    if "reasoning" not in reshaping.hide or reading.operation not in _SPEAKING:
        return None
    if hidden is None:
        message = "A rule of this service hides a model's reasoning, which it can't in the answers of this API."
        raise MalformedRequestError(message, status=403)
    return hidden


class WholeAnswer:
    """Keeps a plain answer until it has ended, and passes on what is to be seen of it."""

    def __init__(self, hidden: Hidden) -> None:
        self._hidden = hidden
        self._body = bytearray()
        self._is_lost = False

    def pass_on(self, data: bytes) -> bytes:
        """Take the next bytes of the answer; nothing goes on by now."""
        self._is_lost = self._is_lost or len(self._body) + len(data) > MAX_ANSWER_BYTES
        if self._is_lost:
            self._body.clear()
        else:
            self._body += data
        return b""

    def rest(self) -> bytes:
        """Return what is left when the answer has ended."""
        body = bytes(self._body)
        self._body.clear()
        return _shown(body, self._hidden) if body else b""


def hide_in_event(event: bytes, hidden: Hidden) -> bytes:
    """Return an event without what is hidden; empty for one that shows nothing else.

    It is a server-sent event, a line of JSON, or an element of an array with what stands around it.
    """
    data = [line[1] for line in _DATA.finditer(event.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))]
    if data:
        return _hide_in_data(event, b"\n".join(data).strip(), hidden)
    inner = event.strip(_AROUND)
    if not inner.startswith(b"{"):
        # Comments that keep a connection awake, a name alone, the end of an array: nothing that an API says is there.
        return event if inner[:1] in {b"", b":"} else b""
    before, _, after = event.partition(inner)
    shown = _shown(inner, hidden)
    return before + shown + after if shown else b""


def hide_in_message(message: str | bytes, hidden: Hidden) -> str | bytes:
    """Return a message of a websocket without what is hidden; empty for one that shows nothing else."""
    shown = _shown(message.encode() if isinstance(message, str) else message, hidden)
    return shown.decode() if isinstance(message, str) else shown


def _hide_in_data(event: bytes, data: bytes, hidden: Hidden) -> bytes:
    if data in _PLAIN_DATA:
        return event
    shown = _shown(data, hidden)
    if not shown:
        return b""
    lines = [line for line in event.splitlines() if line and not line.startswith(b"data:")]
    return b"\n".join((*lines, b"data: " + shown)) + b"\n\n"


def _shown(data: bytes, hidden: Hidden) -> bytes:
    """Return what may be seen of a JSON text, empty for nothing."""
    try:
        value = json.loads(data)
        if is_left_out(value, hidden):
            return b""
        return json.dumps(without(value, hidden), separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        log.warning("a part of an answer can't be read, in which something is to be hidden; it is left out")
        return b""
