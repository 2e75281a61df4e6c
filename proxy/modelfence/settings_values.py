"""Reading single settings: addresses, stores, networks and sizes.

Rule: a secret is never shown, so what may hold a password is not quoted.
"""

import ipaddress
import re
from pathlib import Path

from modelfence import redis_url
from modelfence.core.client_address import FORWARDED, FORWARDED_FOR, SINGLE_HEADERS, Network
from modelfence.core.keys import Choice, Either, ListOf, Text
from modelfence.document import Node
from modelfence.settings import Address
from modelfence.settings_upstreams import path_in

_MAX_PORT = 65_535
_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}

ADDRESS = Text(r".*:[0-9]+", examples=("127.0.0.1:8080",))
SIZE = Text(r"([1-9][0-9]{0,9}) ?([KMG]?B)?", examples=("20MB",))
# A brace would move keys to other slots of a cluster, a star or a bracket would widen what an ACL lets through.
PREFIX = Text(r"[A-Za-z0-9_.:\-]{1,64}")
CLIENT_HEADER = Choice((FORWARDED_FOR, FORWARDED, *sorted(SINGLE_HEADERS)))
STORE = Text(
    rf"memory|({'|'.join(map(re.escape, (*redis_url.SCHEMES, 'unix')))})://.*", examples=("redis://redis:6379",)
)
_NETWORK = r"(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9.]+)?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[^/,]+)?(?:/[0-9]+)?)"
NETWORKS = Either(
    (
        ListOf(Text(_NETWORK, examples=("10.0.0.0/8",))),
        Text(rf" *{_NETWORK}?(?: *, *{_NETWORK}?)* *", may_be_empty=True),
    )
)


def address_in(node: Node, _: Path) -> Address | None:
    """Return where to listen."""
    value = node.text()
    if value is None:
        return None
    host, _colon, port = value.replace("localhost", "127.0.0.1").rpartition(":")
    try:
        address = Address(str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(port))
    except ValueError:
        address = None
    if address is None or not port.isdecimal() or address.port > _MAX_PORT:
        node.problem("bad-address", f"an address and port like 127.0.0.1:8080 is expected here, not `{value}`")
        return None
    return address


def accounts_in(node: Node, folder: Path) -> Path | str | None:
    """Return where the accounts are: a path, or the URL of Redis servers."""
    # As with the store, the problems do not quote the value.
    value = node.filled_text()
    if value is None or "://" not in value:
        return path_in(node, folder)
    try:
        redis_url.parse(value)
    except ValueError as error:
        is_known = value.partition("://")[0] in (*redis_url.SCHEMES, "unix")
        words = str(error) if is_known else "accounts are in a file, or in Redis servers whose URL begins with redis://"
        node.problem("bad-accounts", words, quote=False)
        return None
    return value


def store_in(node: Node, _: Path) -> str | None:
    """Return `memory` or the URL of Redis servers."""
    # The problems do not quote the value: a URL may hold a password.
    value = node.text()
    if value is None or value == "memory":
        return value
    try:
        redis_url.parse(value)
    except ValueError as error:
        node.problem("bad-store", str(error), quote=False)
        return None
    return value


def store_prefix_in(node: Node, _: Path) -> str | None:
    """Return what keys in Redis begin with."""
    value = node.text()
    if value is None or PREFIX.admits(value):
        return value
    node.problem("bad-prefix", f"a prefix of letters, digits and _ . : - is expected here, not `{value}`")
    return None


def networks_in(node: Node, _: Path) -> tuple[Network, ...]:
    """Return the networks of a list, or of a text with commas, as a variable gives it."""
    written = (
        [(item, item.text() or "") for item in node.items()]
        if node.is_list
        else [(node, part.strip()) for part in (node.text() or "").split(",") if part.strip()]
    )
    networks: list[Network] = []
    for place, value in written:
        try:
            networks.append(ipaddress.ip_network(value))
        except ValueError:
            place.problem("bad-network", f"a network like 10.0.0.0/8 is expected here, not `{value}`")
    return tuple(networks)


def client_header_in(node: Node, _: Path) -> str | None:
    """Return the name of a header in lower case."""
    value = node.text()
    if value is not None and value.lower() in CLIENT_HEADER.options:
        return value.lower()
    return node.choice(CLIENT_HEADER.options)


def size_in(node: Node, _: Path) -> int | None:
    """Return a number of bytes."""
    value = node.text()
    if value is None:
        return None
    match = re.fullmatch(str(SIZE.pattern), value)
    if match is None:
        node.problem("wrong-type", f"a size like 20MB is expected here, not `{value}`")
        return None
    return int(match[1]) * _UNITS[match[2] or ""]
