"""Accounts from a file of any size, one after the other: CSV, JSON lines, or the YAML of an accounts file.

The rules are those of the accounts file, in all three. A line of JSON is one account with the fields that YAML has, or
`{"entity": …}` with a company between; those come first. Lines are read one at a time, and of those that are over only
the ids and the digests are kept in mind, with their lines: about 0.4 kB for each account. YAML is read as a whole.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from modelfence.adapters.accounts.csv_nodes import Columns
from modelfence.adapters.accounts.file import unreadable
from modelfence.adapters.accounts.json_nodes import json_node
from modelfence.adapters.accounts.keys import ACCOUNT_KEYS
from modelfence.adapters.accounts.owners import Entities, read_entities
from modelfence.adapters.accounts.reader import (
    AccountsReading,
    Record,
    read_records,
    without_secrets,
)
from modelfence.core.account import countries_behind
from modelfence.core.keys import names, required
from modelfence.core.problem import Problem, in_order
from modelfence.document import Document, Node, did_you_mean, read
from modelfence.yaml_nodes import uncollected

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".yaml": "yaml", ".yml": "yaml"}
"""By the ending of the file's name."""
_MOST_PROBLEMS = 100
"""After so many no more lines are read: they are likely all wrong in the same way."""
_LONGEST_LINE = 1 << 20
_COLUMNS = tuple(name for name in names(ACCOUNT_KEYS) if name != "labels")

type Keep = Callable[[Record], None]
type _Read = tuple[Record | None, Sequence[Problem]]


class _UnreadableLineError(ValueError):
    """A line that can't be read as text."""


def read_stream(path: Path, kind: str, tiers: Sequence[str], keep: Keep) -> tuple[Problem, ...]:
    """Hand on each account of a file of that format; return what is wrong with it.

    With problems, what was handed on is of no use. A tier that is none of `tiers` is one.
    """
    problems: list[Problem] = []
    try:
        for record, found in _records(path, kind, tiers):
            problems += found
            if record is not None:
                keep(record)
            if len(problems) >= _MOST_PROBLEMS:
                break
    except (OSError, _UnreadableLineError) as error:
        problems.append(unreadable(path, error))
    return in_order(problems)


def _records(path: Path, kind: str, tiers: Sequence[str]) -> Iterator[_Read]:
    if kind == "yaml":
        yield from _yaml_records(path, tiers)
        return
    with path.open("rb") as file:
        lines = _lines(path, file)
        yield from _json_records(lines, tiers) if kind == "jsonl" else _csv_records(lines, tiers)


def _yaml_records(path: Path, tiers: Sequence[str]) -> Iterator[_Read]:
    try:
        document = read(path)
    except (OSError, ValueError) as error:
        yield None, (unreadable(path, error),)
        return
    with uncollected():
        records, problems = read_records(document)
    yield None, problems
    for record in records:
        yield record, _tier_problems(record, tiers)


def _json_records(lines: Iterator[Document], tiers: Sequence[str]) -> Iterator[_Read]:
    companies: list[Node] = []
    accounts: AccountsReading | None = None
    for document in lines:
        node = json_node(document)
        if node is None:
            yield None, document.problems
        elif (company := _company(node)) is not None and accounts is None:
            companies.append(company)
        elif company is not None:
            node.problem("late-entity", "the entities come before the accounts")
            yield None, without_secrets(document.problems, node)
        else:
            if accounts is None:
                accounts, problems = _begun(companies)
                yield None, problems
                if problems:
                    return
            yield _read(node, accounts, tiers)


def _company(node: Node) -> Node | None:
    """Return the entity that a line says instead of an account."""
    if not node.is_mapping or all(getattr(name, "value", None) != "entity" for name, _ in node.yaml.value):
        return None
    return node.entries(("entity",))["entity"]


def _begun(companies: Sequence[Node]) -> tuple[AccountsReading, Sequence[Problem]]:
    """Return what reads accounts once all entities are there, and what is wrong with these."""
    entities = read_entities(companies)
    problems = [problem for one in companies for problem in without_secrets(one.document.problems, one)]
    return AccountsReading(entities, {} if problems else countries_behind(entities.read)), problems


def _csv_records(lines: Iterator[Document], tiers: Sequence[str]) -> Iterator[_Read]:
    columns: Columns | None = None
    accounts = AccountsReading(Entities(), {})
    for document in lines:
        if columns is None:
            columns = Columns.of(document, _COLUMNS, required=required(ACCOUNT_KEYS))
            yield None, document.problems
            if columns is None:
                return
            continue
        node = columns.node(document)
        yield (None, document.problems) if node is None else _read(node, accounts, tiers)


def _read(node: Node, accounts: AccountsReading, tiers: Sequence[str]) -> _Read:
    record = accounts.read(node)
    problems = node.document.problems
    return record, without_secrets([*problems, *(_tier_problems(record, tiers) if record else ())], node)


def _tier_problems(record: Record, tiers: Sequence[str]) -> Sequence[Problem]:
    tier = record.account.tier
    return () if tier in tiers else (replace(record.tier_unknown, hint=did_you_mean(tier, tiers)),)


def _lines(path: Path, file: BinaryIO) -> Iterator[Document]:
    """Yield the lines of a file that are not empty, of which there is at least one."""
    number = 0
    is_empty = True
    while line := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise _UnreadableLineError(f"line {number} is longer than {_LONGEST_LINE >> 20} MB")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise _UnreadableLineError(f"not UTF-8 at byte {error.start} of line {number}") from None
        if text and not text.isspace():
            is_empty = False
            yield Document(str(path), text, first_line=number)
    if is_empty:
        raise _UnreadableLineError("it is empty")
