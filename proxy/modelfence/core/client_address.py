"""Whose address a call comes from, behind trusted proxies.

A proxy says by a header who called it, and a client can send the same header. Of the two that list every hop,
`X-Forwarded-For` and `Forwarded`, each proxy appends its own element, so what a client wrote itself stands on the left.
They are read from the right, and only as far as trusted proxies vouch for it: the first address that is no trusted
proxy is the client, and nothing left of it is looked at. Others, such as `CF-Connecting-IP`, hold the client alone.

Why one header only: a proxy replaces or extends the header it knows and passes on the others as they came. Whoever
looks at two of them, whichever he prefers, believes one that the client wrote.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from modelfence.core.dialect import MalformedRequestError
from modelfence.core.forwarded import elements_from_right, node_of

type Network = IPv4Network | IPv6Network
type Address = IPv4Address | IPv6Address

FORWARDED_FOR, FORWARDED = "x-forwarded-for", "forwarded"
SINGLE_HEADERS = frozenset(
    (
        "cf-connecting-ip", "client-ip", "do-connecting-ip", "fastly-client-ip", "fly-client-ip", "true-client-ip",
        "x-appengine-user-ip", "x-azure-clientip", "x-azure-socketip", "x-client-ip", "x-cluster-client-ip",
        "x-envoy-external-address", "x-nf-client-connection-ip", "x-real-ip",
    )
)  # fmt: skip
"""Those that hold the client's address alone, as proxies and content delivery networks document them."""
MAX_PROXIES = 100
"""No more elements of the header are looked at, empty ones included."""
_SPELLED = {FORWARDED_FOR: "X-Forwarded-For", FORWARDED: "Forwarded"}
_MAPPED = int(IPv6Address("::ffff:0:0"))
_MAPPED_BITS = 96
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses behind a translator (NAT64, RFC 6052). The network 64:ff9b:1::/48 (RFC 8215) is of local meaning."""
_SUBNET_BITS = 64
"""Of an IPv6 address, that name the network: the rest is the host's to choose (RFC 4291)."""
_MAX_PORT = 65_535
_KNOWN = 4_096
"""Addresses that need not be parsed again: those of clients and proxies come with every call."""
# An address in brackets or without colons may be followed by a port.
_WITH_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{1,5}))?")


def client_address(peer: str, values: Sequence[str], trusted: Sequence[Network], header: str = FORWARDED_FOR) -> str:
    """Return the client's address in its canonical text, without port and zone.

    `peer` is the other end of the connection and `values` those of the header in the order received. `header`, in
    lower case, is one of the two that list every hop or else one that holds the client alone.
    The header of a peer that is not trusted counts for nothing. When every address is trusted it is the leftmost.
    Raises MalformedRequestError when an element that was reached is no address, or too many were; an empty element of
    a list is skipped. Raises ValueError for a peer that is no address.
    """
    client = parse_address(peer)
    if not values or not _is_in(trusted, client):
        return str(client)
    if header not in _SPELLED:
        if len(values) > 1:
            raise MalformedRequestError(f"{header} is there more than once.")
        return str(_read(values[0].strip(" \t"), header))
    for seen, element in enumerate(_from_right(",".join(values), header)):
        if seen == MAX_PROXIES:
            raise MalformedRequestError(f"{_SPELLED[header]} names more than {MAX_PROXIES} proxies.")
        if text := element.strip(" \t"):
            client = _read(text, header)
            if not _is_in(trusted, client):
                break
    return str(client)


@lru_cache(_KNOWN)
def parse_address(text: str) -> Address:
    """Return an address, without its zone, and as IPv4 where it is IPv4 in IPv6's clothes. Raises ValueError.

    Those clothes are ::ffff:0:0/96, and of a translator's only a public address: it must have no other (RFC 6052, 3.1),
    and one from outside must not pass for a proxy of a private network.
    """
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _TRANSLATED and (inside := IPv4Address(int(address) & 0xFFFF_FFFF)).is_global:
        return inside
    return address if address.scope_id is None else IPv6Address(int(address))


def _from_right(text: str, header: str) -> Iterable[str]:
    # One more than is looked at: whoever gets there complains.
    return elements_from_right(text) if header == FORWARDED else reversed(text.rsplit(",", MAX_PROXIES))


def _read(element: str, header: str) -> Address:
    try:
        return parse_address(node_of(element) if header == FORWARDED else _without_port(element))
    except ValueError:
        spelled = _SPELLED.get(header, header)
        raise MalformedRequestError(f"{spelled} holds something that is no address.") from None


def _without_port(element: str) -> str:
    """Raises ValueError for a port beyond all."""
    match = _WITH_PORT.fullmatch(element)
    if match is None:
        return element
    if int(match[3] or 0) > _MAX_PORT:
        raise ValueError(element)
    return match[1] or match[2] or ""


def _is_in(networks: Sequence[Network], address: Address) -> bool:
    """Say whether an address is in one of the networks; one inside ::ffff:0:0/96 stands for its IPv4 network."""
    if isinstance(address, IPv6Address):
        return any(address in network for network in networks)
    mapped = IPv6Address(_MAPPED + int(address))
    return any(address in network or (network.prefixlen >= _MAPPED_BITS and mapped in network) for network in networks)


def network_of(ip: str) -> str:
    """Return what a caller can't change at will: an IPv4 address, or the /64 network of an IPv6 one."""
    return str(IPv6Network((ip, _SUBNET_BITS), strict=False)) if ":" in ip else ip
