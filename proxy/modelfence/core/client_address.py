"""Whose address a call comes from, behind trusted proxies.

Each proxy appends the address it was called from to `X-Forwarded-For`, so what a client wrote itself stands on the
left. The header is read from the right, and only as far as trusted proxies vouch for it: the first address that is no
trusted proxy is the client, and nothing left of it is looked at.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from modelfence.core.dialect import MalformedRequestError

type Network = IPv4Network | IPv6Network
type Address = IPv4Address | IPv6Address

MAX_PROXIES = 100
"""No more elements of the header are looked at, empty ones included."""
_MAPPED = int(IPv6Address("::ffff:0:0"))
_MAPPED_BITS = 96
_SUBNET_BITS = 64
"""Of an IPv6 address, that name the network: the rest is the host's to choose (RFC 4291)."""
_MAX_PORT = 65_535
# An address in brackets or without colons may be followed by a port.
_WITH_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?")


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the client's address in its canonical text, an IPv4-mapped one as IPv4, without port and zone.

    `peer` is the other end of the connection and `forwarded_for` the values of the header in the order received.
    The header of a peer that is not trusted counts for nothing. When every address is trusted it is the leftmost.
    Raises MalformedRequestError when an element that was reached is no address, or too many were. An empty one is
    skipped. Raises ValueError for a peer that is no address.
    """
    client = parse_address(peer)
    if not forwarded_for or not _is_in(trusted, client):
        return str(client)
    elements = ",".join(forwarded_for).rsplit(",", MAX_PROXIES)
    beyond = elements.pop(0) if len(elements) > MAX_PROXIES else None
    for element in reversed(elements):
        text = element.strip(" \t")
        if not text:
            continue
        client = _read(text)
        if not _is_in(trusted, client):
            return str(client)
    if beyond is not None:
        raise MalformedRequestError(f"X-Forwarded-For names more than {MAX_PROXIES} proxies.")
    return str(client)


def parse_address(text: str) -> Address:
    """Return an address, without its zone, and as IPv4 where it is IPv4 in IPv6's clothes. Raises ValueError."""
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address if address.scope_id is None else IPv6Address(int(address))


def _read(element: str) -> Address:
    match = _WITH_PORT.fullmatch(element)
    text = element if match is None else match[1] or match[2] or ""
    try:
        if match is not None and int(match[3] or 0) > _MAX_PORT:
            raise ValueError(element)  # noqa: TRY301 - a bad port is refused as a bad address is
        return parse_address(text)
    except ValueError:
        raise MalformedRequestError("X-Forwarded-For holds something that is no address.") from None


def _is_in(networks: Sequence[Network], address: Address) -> bool:
    """Say whether an address is in one of the networks; one inside ::ffff:0:0/96 stands for its IPv4 network."""
    if isinstance(address, IPv6Address):
        return any(address in network for network in networks)
    mapped = IPv6Address(_MAPPED + int(address))
    return any(address in network or (network.prefixlen >= _MAPPED_BITS and mapped in network) for network in networks)


def network_of(ip: str) -> str:
    """Return what a caller can't change at will: an IPv4 address, or the /64 network of an IPv6 one."""
    return str(IPv6Network((ip, _SUBNET_BITS), strict=False)) if ":" in ip else ip
