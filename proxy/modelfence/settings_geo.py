"""Reading the settings of geography: databases, and where they are renewed from."""

import re
from pathlib import Path

from modelfence.document import Node
from modelfence.settings_upstreams import credential_in, path_in

_PUBLISHER = re.compile(r"(https?)://([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


def country_database_in(node: Node, folder: Path) -> Path | None:
    """Return the path of a database, None for the bundled one."""
    return None if node.text() == "bundled" else path_in(node, folder)


def country_code_in(node: Node, _: Path) -> str | None:
    """Return a country code."""
    value = node.text()
    if value is None or re.fullmatch(r"[A-Z]{2}", value):
        return value
    node.problem("bad-country", f"a country code like US is expected here, not `{value}`")
    return None


def account_in(node: Node, _: Path) -> str | None:
    """Return the number of a MaxMind account."""
    value = node.text()
    if value is None or re.fullmatch(r"[0-9]{1,20}", value):
        return value
    # The key and the number are easily taken for each other, so it is not repeated.
    node.problem("bad-account", "the number of a MaxMind account is expected here", quote=False)
    return None


def license_key_in(node: Node, folder: Path) -> str | Path | None:
    """Return the variable or the file that holds the account's license key."""
    return credential_in(node, folder, example="MAXMIND_LICENSE_KEY")


def edition_in(node: Node, _: Path) -> str | None:
    """Return the name of an edition."""
    value = node.text()
    if value is None or re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        return value
    node.problem("bad-edition", f"an edition like GeoLite2-Country is expected here, not `{value}`")
    return None


def publisher_in(node: Node, _: Path) -> str | None:
    """Return a URL to which a key may be sent: encrypted, or to this machine."""
    value = node.text()
    if value is None:
        return None
    match = _PUBLISHER.fullmatch(value)
    if match is None or (match[1] == "http" and match[2] not in _THIS_MACHINE):
        node.problem("bad-url", "the https URL of MaxMind or of a mirror is expected here", quote=False)
        return None
    return value.rstrip("/")
