"""An accounts file as its authors see it: its records beside the nodes they were read from, to show, check and change.

The fence keeps the records alone: the nodes of a large file take many times their room.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelfence.adapters.accounts.file import AccountsFile, unreadable
from modelfence.adapters.accounts.owners import read_entities
from modelfence.adapters.accounts.reader import Record, records_of, without_secrets
from modelfence.core.account import Entity
from modelfence.core.account_review import CODES, Finding, Horizon, review
from modelfence.core.problem import Problem, Severity, errors, in_order
from modelfence.document import Document, Node, read
from modelfence.yaml_nodes import uncollected

_MEANT = {"UK": "GB", "EL": "GR"}
"""What the United Kingdom and Greece are called in the European Union's own texts."""


@dataclass(frozen=True, slots=True)
class AccountsDocument:
    """An accounts file without errors."""

    root: Node
    records: Mapping[str, Record]
    """By id, in the file's order."""
    nodes: Mapping[str, Node]
    """The account of each id."""

    @property
    def accounts(self) -> AccountsFile:
        """Return what a fence would know of it."""
        return AccountsFile(self.records.values())

    def entities(self) -> Mapping[str, Entity]:
        """Return the companies between accounts and countries."""
        return read_entities(_items(self.root, "entities")).read

    def key_nodes(self, account: str) -> list[Node]:
        """Return the node of each key and certificate of a record, in its order."""
        entries = stated(self.nodes[account])
        return [item for name in ("keys", "certificates") if name in entries for item in entries[name].items()]

    def review(self, now_us: int, horizon: Horizon) -> tuple[Problem, ...]:
        """Return what is to be looked at, as warnings with their places."""
        for name, record in self.records.items():
            for finding in review(record.account, record.keys, now_us, horizon):
                self._place(name, finding).problem(finding.code, finding.message, severity=Severity.WARNING)
        for company in _items(self.root, "entities"):
            _check_owners(company)
        for country in self._countries():
            _check_country(country)
        return in_order(without_secrets(self.root.document.problems, self.root))

    def _place(self, account: str, finding: Finding) -> Node:
        if finding.key is not None:
            return self.key_nodes(account)[self.records[account].keys.index(finding.key)]
        return stated(self.nodes[account])[finding.field]

    def _countries(self) -> Iterator[Node]:
        """Yield each country that is named: of accounts and entities, and of their owners."""
        for node in (*self.nodes.values(), *_items(self.root, "entities")):
            entries = stated(node)
            owners = [stated(owner) for owner in entries["owners"].items()] if "owners" in entries else []
            yield from (each["country"] for each in (entries, *owners) if "country" in each)


def open_accounts(path: Path) -> tuple[AccountsDocument | None, tuple[Problem, ...]]:
    """Return the file, or None with every error. One that can't be read is an error."""
    try:
        document = read(path)
    except (OSError, ValueError) as error:
        return None, (unreadable(path, error),)
    return read_accounts_document(document)


def read_accounts_document(document: Document) -> tuple[AccountsDocument | None, tuple[Problem, ...]]:
    """Return a text as an accounts file, or None with every error."""
    with uncollected():
        root = document.compose()
        if root is None:
            return None, in_order(replace(problem, excerpt="") for problem in document.problems)
        records = {record.account.id: record for record in records_of(root)}
        problems = in_order(without_secrets(document.problems, root))
        if errors(problems):
            return None, problems
        nodes = {stated(node)["id"].text() or "": node for node in _items(root, "accounts")}
        return AccountsDocument(root, records, nodes), problems


def stated(node: Node) -> dict[str, Node]:
    """Return the entries of a mapping that are not left empty."""
    return {name: value for name, value in (node.free_entries() or {}).items() if not value.is_null}


def _items(root: Node, name: str) -> list[Node]:
    entries = stated(root)
    return entries[name].items() if name in entries else []


def _check_owners(company: Node) -> None:
    entries = stated(company)
    if "owners" not in entries:
        name, country = entries["id"].text(), entries["country"].text()
        message = f"the owners of `{name}` are not stated: it counts for {country} alone; write [] if nobody is known"
        entries["id"].problem("owners-unstated", message, severity=Severity.WARNING)


def _check_country(node: Node) -> None:
    code = node.text() or ""
    if code not in CODES:
        hint = f"did you mean `{_MEANT[code]}`?" if code in _MEANT else None
        message = f"no country has the code `{code}` in ISO 3166-1"
        node.problem("unknown-country", message, hint=hint, severity=Severity.WARNING)
