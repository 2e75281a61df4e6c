"""One side of a websocket, over a stream: messages whole and bounded, every wait with a deadline.

After RFC 6455. No extensions are spoken: a compressed message could be a thousand times as large as what arrived.
"""

import asyncio
import base64
import hashlib
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError

READ_BYTES = 1 << 16
TOO_BIG, POLICY_VIOLATION, GOING_AWAY, ABNORMAL, FAILED = 1009, 1008, 1001, 1006, 1011
LINGER_S = 2.0
"""How long what was written last may take to be taken; then it is dropped."""
REASON_BYTES = 120
"""Of the reason for which a websocket is closed: a frame that says so has room for 123."""
_NOT_SENT = (1005, 1006, 1015)
"""Codes that stand for what happened, and are never sent. RFC 6455, section 7.4.1."""
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class ClosedError(Exception):
    """The other side is gone, or has said goodbye."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Websocket:
    """An open websocket. `is_client` is what we are."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_client: bool,
        message_bytes: int,
        idle_s: float,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = Connection(ConnectionType.CLIENT if is_client else ConnectionType.SERVER)
        self._message_bytes = message_bytes
        self._idle_s = idle_s
        self._begun = bytearray()
        """What has come of a message whose end has not."""
        self._whole: deque[str | bytes] = deque()
        self._closed: ClosedError | None = None
        """How the other side ended it, after all that is whole."""
        self._is_closing = False

    async def receive(self) -> str | bytes:
        """Return the next message. Raises ClosedError."""
        while not self._whole:
            if self._closed is not None:
                raise self._closed
            try:
                async with asyncio.timeout(self._idle_s):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                raise ClosedError(GOING_AWAY, "nothing was said for too long") from None
            except OSError:
                data = b""
            self._protocol.receive_data(data or None)
            await self._take_events()
        return self._whole.popleft()

    async def send(self, message: str | bytes) -> None:
        """Send a message, and wait until the other side has taken what was sent. Raises ClosedError."""
        event = TextMessage(message) if isinstance(message, str) else BytesMessage(message)
        await self._send(event)

    async def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, once, and close; return when the connection is gone."""
        if not self._is_closing:
            self._is_closing = True
            told = 1000 if code in _NOT_SENT else code
            why = reason.encode()[:REASON_BYTES].decode(errors="ignore")
            with suppress(LocalProtocolError, OSError):
                self._writer.write(self._protocol.send(CloseConnection(told, why)))
        await hang_up(self._writer)

    async def _send(self, event: TextMessage | BytesMessage | Pong) -> None:
        try:
            self._writer.write(self._protocol.send(event))
            async with asyncio.timeout(self._idle_s):
                await self._writer.drain()
        except TimeoutError:
            raise ClosedError(GOING_AWAY, "what was sent was not taken") from None
        except (LocalProtocolError, OSError):
            raise ClosedError(ABNORMAL) from None

    async def _take_events(self) -> None:
        for event in self._protocol.events():
            match event:
                case TextMessage():
                    self._take(event.data.encode(), is_text=True, is_whole=event.message_finished)
                case BytesMessage():
                    self._take(bytes(event.data), is_text=False, is_whole=event.message_finished)
                case Ping():
                    await self._send(event.response())
                case CloseConnection():
                    self._closed = ClosedError(event.code, event.reason or "")

    def _take(self, data: bytes, *, is_text: bool, is_whole: bool) -> None:
        self._begun += data
        if len(self._begun) > self._message_bytes:
            raise ClosedError(TOO_BIG, "the message is too large")
        if is_whole:
            whole = bytes(self._begun)
            self._whole.append(whole.decode() if is_text else whole)
            self._begun.clear()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close, and wait until what was written is taken: whoever never reads would keep the connection for ever."""
    writer.close()
    dropping = asyncio.get_running_loop().call_later(LINGER_S, writer.transport.abort)
    try:
        with suppress(OSError):
            await writer.wait_closed()
    finally:
        dropping.cancel()
        writer.transport.abort()


def accept_of(key: str) -> str:
    """Return what a server answers to a client's key."""
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode(), usedforsecurity=False).digest()).decode()


def is_upgrade(fields: Sequence[tuple[str, str]]) -> bool:
    """Say whether these headers, their names in lower case, ask for a websocket."""
    tokens = {token.strip().lower() for name, value in fields if name == "connection" for token in value.split(",")}
    return "upgrade" in tokens and [value.lower() for name, value in fields if name == "upgrade"] == ["websocket"]
