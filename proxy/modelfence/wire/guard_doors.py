"""How many connections are open, in all and from one address, and what is said to one too many.

Rule: turning someone away costs less than letting him in, and takes a bounded place: nothing of his is parsed.

An address of IPv6 counts as its /64, which one customer is given as a rule. Networks of trusted proxies hold many
clients behind one address, so only the limit in all is theirs.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import Final

from mitmproxy import http
from mitmproxy.net.http import http1

from modelfence.core.client_address import Network

IN_ALL: Final = "connections"
FROM_ONE_ADDRESS: Final = "connections_per_address"
STATUS: Final = {IN_ALL: 503, FROM_ONE_ADDRESS: 429}
WORDS: Final = {
    IN_ALL: "The service has too many connections; try again shortly.",
    FROM_ONE_ADDRESS: "Too many connections from this address; close some, or try again shortly.",
}
TURNED_AWAY_AT_ONCE = 64
"""So many are told why; to the others the connection is closed without a word."""
TURNED_AWAY_S = 1.0
_READ_BYTES = 1 << 16


class Doors:
    """Counts connections. `enter` and `leave` once each."""

    def __init__(self, most: int, most_per_address: int, proxies: Sequence[Network] = ()) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._proxies = proxies
        self._open = 0
        self._open_by_address: Counter[str] = Counter()
        self._turning_away = 0

    @property
    def open(self) -> int:
        return self._open

    def enter(self, address: str) -> str | None:
        """Count a connection in; or return the name of the limit that is met, and count nothing."""
        if self._open >= self._most:
            return IN_ALL
        counted = _counted(address, self._proxies)
        if counted and self._open_by_address[counted] >= self._most_per_address:
            return FROM_ONE_ADDRESS
        self._open += 1
        self._open_by_address[counted] += 1
        return None

    def leave(self, address: str) -> None:
        """Count a connection out that was counted in."""
        counted = _counted(address, self._proxies)
        self._open -= 1
        self._open_by_address[counted] -= 1
        if not self._open_by_address[counted]:
            del self._open_by_address[counted]

    async def turn_away(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refusal: http.Response
    ) -> None:
        """Say why, and close. What was sent is taken first: else the connection is reset, and the answer lost."""
        if self._turning_away >= TURNED_AWAY_AT_ONCE:
            writer.transport.abort()
            return
        self._turning_away += 1
        try:
            async with asyncio.timeout(TURNED_AWAY_S):
                await reader.read(_READ_BYTES)
                refusal.headers["connection"] = "close"
                writer.write(http1.assemble_response(refusal))
                await writer.drain()
        except (TimeoutError, OSError):
            pass
        finally:
            self._turning_away -= 1
            writer.close()


def _counted(address: str, proxies: Sequence[Network]) -> str:
    """Return what an address counts as; empty for a trusted proxy, and for what is no address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    if any(ip in network for network in proxies if network.version == ip.version):
        return ""
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))  # noqa: PLR2004
