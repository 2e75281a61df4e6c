"""Looking at the first request of a connection before anyone is chosen to serve it: a websocket's handshake, or not.

Whatever is no whole and sound head of a GET is left to the guard, which knows what to say of it.
"""

import asyncio
from typing import Protocol

from modelfence.core.dialect import MalformedRequestError
from modelfence.wire.grace import Grace
from modelfence.wire.sanitise import HeadCheck

READ_BYTES = 1 << 16
_GET = b"GET "
_END = b"\r\n\r\n"


class Reader(Protocol):
    """What bytes are read from."""

    async def read(self, n: int, /) -> bytes: ...


class ReadAgain:
    """A reader that begins with bytes that were read already."""

    def __init__(self, data: bytes, reader: asyncio.StreamReader) -> None:
        self.ahead = data
        """What is left of them."""
        self.reader = reader

    async def read(self, n: int, /) -> bytes:
        """Return what was read already, and then what comes."""
        if not self.ahead:
            return await self.reader.read(n)
        data, self.ahead = self.ahead[:n], self.ahead[n:]
        # A turn of the loop, as reading takes: mitmproxy starts its task eagerly, and can only close what it has named.
        await asyncio.sleep(0)
        return data


async def first_head(reader: asyncio.StreamReader, *, head_bytes: int, grace: Grace) -> tuple[bytes, bytes]:
    """Return the head of the first request, empty unless it is a GET's, whole and sound; and all that was read."""
    data, check = b"", HeadCheck(head_bytes)
    try:
        async with grace.lasts():
            while piece := await reader.read(READ_BYTES):
                data += piece
                if not _GET.startswith(data[: len(_GET)]):
                    break
                if check.complete(data):
                    return data[: data.index(_END) + len(_END)], data
    except (TimeoutError, MalformedRequestError, OSError):
        pass
    return b"", data
