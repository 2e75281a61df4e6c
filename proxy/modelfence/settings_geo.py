"""Reading the settings of geography: databases, and where they are renewed from."""

from pathlib import Path

from modelfence.core.countries import COUNTRY_CODE
from modelfence.core.keys import Text
from modelfence.document import Node
from modelfence.settings_upstreams import credential_in, has_a_port, path_in

ACCOUNT = Text(r"[0-9]{1,20}")
EDITION = Text(r"[A-Za-z0-9\-]{1,64}", examples=("GeoLite2-Country",))
_HOST = r"[A-Za-z0-9.\-]+|\[[0-9a-f:]+\]"
_THIS_MACHINE = r"localhost|127\.0\.0\.1|\[::1\]"
PUBLISHER = Text(rf"(https://({_HOST})|http://({_THIS_MACHINE}))(:[0-9]{{1,5}})?(/[A-Za-z0-9._~/\-]*)?")
"""A key is sent there: encrypted, or to this machine."""


def country_database_in(node: Node, folder: Path) -> Path | None:
    """Return the path of a database, None for the bundled one."""
    return None if node.text() == "bundled" else path_in(node, folder)


def country_code_in(node: Node, _: Path) -> str | None:
    """Return a country code."""
    value = node.text()
    if value is None or COUNTRY_CODE.admits(value):
        return value
    node.problem("bad-country", f"a country code like US is expected here, not `{value}`")
    return None


def account_in(node: Node, _: Path) -> str | None:
    """Return the number of a MaxMind account."""
    value = node.text()
    if value is None or ACCOUNT.admits(value):
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
    if value is None or EDITION.admits(value):
        return value
    node.problem("bad-edition", f"an edition like GeoLite2-Country is expected here, not `{value}`")
    return None


def publisher_in(node: Node, _: Path) -> str | None:
    """Return a URL to which a key may be sent: encrypted, or to this machine."""
    value = node.text()
    if value is None or (PUBLISHER.admits(value) and has_a_port(value)):
        return value and value.rstrip("/")
    node.problem("bad-url", "the https URL of MaxMind or of a mirror is expected here", quote=False)
    return None
