"""The request of a case: as a client would send it, or by whose account it comes."""

from typing import Any

from modelfence.core.keys import names
from modelfence.document import Node, did_you_mean
from modelfence.workbench.cases.keys import REQUEST_KEYS
from modelfence.workbench.cases.values import address, body_of


class RequestReader:
    """Reads requests. `accounts` are the ids of those that may call, None where nobody can say."""

    def __init__(self, accounts: frozenset[str] | None) -> None:
        self._accounts = accounts

    def fields(self, node: Node) -> dict[str, Any]:
        """Return the fields of a `Request` that a mapping states; what is wrong is noted."""
        entries = {} if node.is_null else node.entries(names(REQUEST_KEYS))
        return {name: self.field(name, entry) for name, entry in entries.items()}

    def field(self, name: str, node: Node) -> Any:
        """Return one field; None for no account, or after noting a problem."""
        match name:
            case "client_ip":
                return address(node)
            case "headers":
                return _headers(node)
            case "body":
                return body_of(node)
            case "account":
                return None if node.is_null else self._account(node)
            case _:
                return node.filled_text()

    def _account(self, node: Node) -> str | None:
        name = node.filled_text()
        if name is None or self._accounts is None or name in self._accounts:
            return name
        if not self._accounts:
            node.problem("unknown-account", f"`{name}` is in no file: name the accounts file at the top, `accounts: …`")
        else:
            hint = did_you_mean(name, self._accounts)
            node.problem("unknown-account", f"the accounts file has no account `{name}`", hint=hint)
        return None


def _headers(node: Node) -> dict[str, str]:
    entries = node.free_entries() or {}
    return {name.lower(): text for name, entry in entries.items() if (text := entry.text()) is not None}
