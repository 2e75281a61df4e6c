"""Reading the settings of tokens: whose they are, how they are verified, and what they say of an account."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelfence.core.keys import Choice, Key, Record, Text, Whole
from modelfence.core.problem import Problem
from modelfence.core.token import FACTS
from modelfence.document import Node, did_you_mean
from modelfence.settings_upstreams import has_a_port, path_in

ALGORITHM = Choice(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"))
"""All of them are asymmetric: whoever can verify can't sign."""
CLAIMS = Record(tuple(Key(name, f"the claim that says the account's `{name}`", value=Text()) for name in FACTS))
LEEWAY_S = Whole(0, 300)
NEEDED = ("jwt.issuer", "jwt.audience", "jwt.keys")
"""Without these no token can be verified."""
_URL = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[\x21-\x7e]*)?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


def missing(nodes: Mapping[str, Node]) -> Iterator[Problem]:
    """Yield a problem for each key that is needed once another is. `nodes` are those given, by their keys."""
    given = [nodes[key] for key in NEEDED if key in nodes]
    for key in [key for key in NEEDED if given and key not in nodes]:
        node, words = given[0], f"tokens can't be verified without `{key}`"
        yield Problem(node.document.path, node.line, node.column, "missing-setting", words)


def name_in(node: Node, _: Path) -> str | None:
    """Return a text that is not empty."""
    return node.filled_text()


def audience_in(node: Node, _: Path) -> tuple[str, ...] | None:
    """Return the names by which tokens may mean this service: one, or a list."""
    if not node.is_list:
        name = node.filled_text()
        return None if name is None else (name,)
    names = tuple(name for item in node.items() if (name := item.filled_text()) is not None)
    if not names:
        node.problem("empty-value", "at least one audience is expected here")
        return None
    return names


def keys_in(node: Node, folder: Path) -> str | Path | None:
    """Return where the provider's public keys are: a URL that nobody on the way can change, or a path."""
    value = node.filled_text()
    if value is None or "://" not in value:
        return path_in(node, folder)
    match = _URL.fullmatch(value)
    if match is None or (match[1] == "http" and match[2] not in _THIS_MACHINE) or not has_a_port(value):
        node.problem("bad-url", "the https URL of a JWK set is expected here, or the path of a file", quote=False)
        return None
    return value


def algorithms_in(node: Node, _: Path) -> tuple[str, ...] | None:
    """Return the algorithms that tokens may be signed by."""
    items = node.items() if node.is_list else [node]
    algorithms = tuple(name for item in items if (name := _algorithm(item)) is not None)
    if not items:
        node.problem("empty-value", "at least one algorithm is expected here")
    return algorithms or None


def _algorithm(node: Node) -> str | None:
    value = node.text()
    if value is None or value in ALGORITHM.options:
        return value
    if value.upper().startswith("HS") or value.lower() == "none":
        words = (
            f"`{value}` proves nothing: whoever can verify such a token can make one; use one of RS256, ES256, EdDSA"
        )
        node.problem("bad-algorithm", words)
        return None
    return node.choice(ALGORITHM.options)


def claims_in(node: Node, _: Path) -> Mapping[str, str] | None:
    """Return by the names of an account's record the claims that say them."""
    entries = node.free_entries()
    if entries is None:
        return None
    claims = {}
    for name, value in entries.items():
        claim = value.filled_text()
        if name not in FACTS:
            words = f"no claim can say `{name}` of an account"
            node.key_node(name).problem("unknown-fact", words, hint=did_you_mean(name, FACTS))
        elif claim is not None:
            claims[name] = claim
    return claims


def leeway_in(node: Node, _: Path) -> int | None:
    """Return by how many seconds clocks may differ."""
    return node.integer(minimum=LEEWAY_S.minimum, maximum=LEEWAY_S.maximum)
