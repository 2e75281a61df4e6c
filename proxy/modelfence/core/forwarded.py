"""The `Forwarded` header (RFC 7239), read from the right.

Each proxy appends one element to what it received. So the elements on the right are well formed, and what a client
wrote itself, on the left, may be anything: a quote that is never closed as well. Whoever reads from the left lets such
a quote swallow what the proxies say. From the right the first quote met is a closing one, as long as proxies wrote it.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
_PAIR = re.compile(rf'[ \t]*(?:({_TOKEN})=(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?[ \t]*(?:;|$)')
# An IPv4 address, or an IPv6 one in brackets; then perhaps a port, which may be a made-up name.
_NODE = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")


def elements_from_right(text: str) -> Iterator[str]:
    """Yield the elements between commas outside of quoted texts, the last one first."""
    end, quoted = len(text), False
    for at in range(len(text) - 1, -1, -1):
        if text[at] == '"' and not (quoted and _is_escaped(text, at)):
            quoted = not quoted
        elif text[at] == "," and not quoted:
            yield text[at + 1 : end]
            end = at
    yield text[:end]


def node_of(element: str) -> str:
    """Return the address that an element says the request came from, without its port.

    Raises ValueError where it says none, two, or one that it does not want to be known (`unknown`, `_hidden`).
    """
    found: list[str] = []
    at = 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            raise ValueError("no pairs of name and value")
        at = pair.end()
        if (pair[1] or "").lower() == "for":
            found.append(re.sub(r"\\(.)", r"\1", pair[3]) if pair[2] is None else pair[2])
    if len(found) != 1:
        raise ValueError("not exactly one `for`")
    node = _NODE.fullmatch(found[0])
    if node is None:
        raise ValueError("no address")
    text = node[2] if node[1] is None else node[1]
    if isinstance(ip_address(text), IPv6Address) == (node[1] is None):
        raise ValueError("an IPv6 address has brackets, and no other has")
    return text


def _is_escaped(text: str, at: int) -> bool:
    """Say whether an odd number of backslashes stands before a character."""
    first = at
    while first and text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1
