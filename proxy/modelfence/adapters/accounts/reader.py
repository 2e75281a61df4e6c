"""From the text of an accounts file to its records, or to every problem with its place.

Rule: what may be an API key is never shown. Somebody will put one where its digest belongs, so no problem quotes a line
in which that could have happened, whatever the problem is about.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import yaml

from modelfence.adapters.accounts.keys import ACCOUNT_KEYS, DIGEST, DOMAIN, FILE_KEYS, KEY_KEYS, OF_NOTHING
from modelfence.adapters.accounts.owners import Entities, declared_twice, read_country, read_entities
from modelfence.core.account import (
    SCREENINGS,
    STATUSES,
    Account,
    Entry,
    Key,
    Owner,
    certificate_digest,
    countries_behind,
    ownership,
    versioned,
)
from modelfence.core.keys import names, required
from modelfence.core.problem import Problem, errors
from modelfence.document import Document, Node

_REQUIRED = required(ACCOUNT_KEYS)
# What stands under these is no API key; anywhere else a text of that length may be one.
_OPEN = frozenset({*names(ACCOUNT_KEYS), "entity", "share"} - {"keys", "certificates", "owners", "labels"})
_DIGESTS = ("keys", "certificates")
_KEY_NAMES = names(KEY_KEYS)
_NAMES = _OPEN | {"accounts", "entities", "keys", "certificates", "owners", "labels"}
_SHORTEST_SECRET = 16


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of what an account is known by."""

    word: str
    form: str


_KEY = _Kind("key", "a key is written as `sha256:` and the 64 digits 0-9a-f of its digest, never as itself")
_CERTIFICATE = _Kind(
    "certificate", "a certificate is written as `sha256:` and the 64 digits 0-9a-f of its SHA-256 fingerprint"
)


@dataclass(frozen=True, slots=True)
class Record:
    """An account, the digests of its keys and certificates, and what is wrong should the policy have no such tier."""

    account: Account
    keys: tuple[Key, ...]
    owners: tuple[Owner, ...] | None
    tier_unknown: Problem

    @property
    def entry(self) -> Entry:
        """Return what a directory keeps of it."""
        return Entry(self.account, self.keys, self.owners)


def read_records(document: Document) -> tuple[list[Record], list[Problem]]:
    """Return the records, and everything that is wrong; with errors the records are of no use."""
    root = document.compose()
    if root is None:
        # Where a text can't be understood, nobody knows what is a key.
        return [], [replace(problem, excerpt="") for problem in document.problems]
    return records_of(root), without_secrets(document.problems, root)


def records_of(root: Node) -> list[Record]:
    """Return the records of a file, after noting everything that is wrong with it."""
    entries = root.entries(names(FILE_KEYS), required=required(FILE_KEYS))
    lists = {name: [] if node.is_null else node.items() for name, node in entries.items()}
    entities = read_entities(lists.get("entities", []))
    reading = AccountsReading(entities, {} if errors(root.document.problems) else countries_behind(entities.read))
    return [record for node in lists.get("accounts", []) if (record := reading.read(node)) is not None]


@dataclass(slots=True)
class AccountsReading:
    """Reads one account after the other, and knows those before it."""

    entities: Entities
    behind: Mapping[str, Mapping[str, float]]
    """What `countries_behind` says of the entities; nothing when something is wrong with them."""
    declared: dict[str, int] = field(default_factory=dict)
    """By id, the line that an account stands in."""
    holders: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By digest, the account that has the key or certificate, and the line it stands in."""

    def read(self, node: Node) -> Record | None:
        """Return a record, or None after noting what is wrong."""
        problems = node.document.problems
        before = len(problems)
        entries = node.entries(names(ACCOUNT_KEYS), required=_REQUIRED)
        for name in [name for name, value in entries.items() if value.is_null]:
            if name in _REQUIRED:
                entries[name].problem("empty-value", "a value is expected here")
            del entries[name]
        id_node, tier_node = entries.get("id"), entries.get("tier")
        name = (id_node.filled_text() if id_node else None) or ""
        if id_node and name:
            declared_twice("accounts", id_node, self.declared)
        keys = self._keys(name, entries["keys"], _KEY) if "keys" in entries else ()
        if "certificates" in entries:
            certificates = self._keys(name, entries["certificates"], _CERTIFICATE)
            keys += tuple(replace(one, digest=certificate_digest(one.digest)) for one in certificates)
        owners = _read(entries, "owners", self.entities.owners)
        # With problems nothing is made of the accounts, and an owner may be nobody.
        account = _account(name, entries, None if owners is None or problems else ownership(owners, self.behind))
        if tier_node is None or len(problems) > before:
            return None
        return Record(account, keys, owners, _tier_unknown(tier_node))

    def _keys(self, name: str, node: Node, kind: _Kind) -> tuple[Key, ...]:
        return tuple(key for item in node.items() if (key := self._key(name, item, kind)) is not None)

    def _key(self, name: str, item: Node, kind: _Kind) -> Key | None:
        """Return a key, written as its digest or with more that is to be said of it."""
        if not item.is_mapping:
            digest = self._digest(name, item, kind)
            return None if digest is None else Key(digest)
        entries = item.entries(_KEY_NAMES, required=required(KEY_KEYS))
        digest = self._digest(name, entries["digest"], kind) if "digest" in entries else None
        expires_us, is_revoked = _read(entries, "expires", Node.date_us), _read(entries, "revoked", Node.boolean)
        called = _read(entries, "name", Node.filled_text)
        return None if digest is None else Key(digest, expires_us, bool(is_revoked), called or "")

    def _digest(self, name: str, item: Node, kind: _Kind) -> str | None:
        digest = item.text()
        if digest is None:
            return None
        if not DIGEST.admits(digest):
            item.problem(f"bad-{kind.word}", kind.form, hint=_nearest_digest(digest))
        elif digest == OF_NOTHING:
            item.problem(f"bad-{kind.word}", f"this is the digest of nothing: the {kind.word} was empty")
        elif digest in self.holders:
            holder, line = self.holders[digest]
            item.problem(f"shared-{kind.word}", f"this {kind.word} is given to `{holder}` already, in line {line}")
        else:
            self.holders[digest] = name, item.line
        return digest


def _account(name: str, entries: Mapping[str, Node], owned: dict[str, float] | None) -> Account:
    account = Account(
        id=name,
        status=_read(entries, "status", lambda node: node.choice(STATUSES)) or "",
        tier=_read(entries, "tier", Node.filled_text) or "",
        country=_read(entries, "country", read_country),
        verified_us=_read(entries, "verified", Node.date_us),
        expires_us=_read(entries, "expires", Node.date_us),
        ownership=owned,
        screening=_read(entries, "screening", lambda node: node.choice(SCREENINGS)),
        purpose=_read(entries, "purpose", Node.filled_text),
        labels=_read(entries, "labels", _labels) or {},
        verified_by=_read(entries, "verified_by", Node.filled_text),
        screened_us=_read(entries, "screened", Node.date_us),
        payer=_read(entries, "payer", Node.filled_text),
        contact_domain=_read(entries, "contact_domain", _domain),
        signup_batch=_read(entries, "signup_batch", Node.filled_text),
    )
    verified_us, expires_us = account.verified_us, account.expires_us
    if verified_us is not None and expires_us is not None and expires_us < verified_us:
        entries["expires"].problem("expires-early", "this is before the day the account was verified")
    return versioned(account)


def _read[T](entries: Mapping[str, Node], key: str, read: Callable[[Node], T | None]) -> T | None:
    return read(entries[key]) if key in entries else None


def _domain(node: Node) -> str | None:
    """Return a domain in lower case."""
    value = node.filled_text()
    if value is None or DOMAIN.admits(value):
        return value and value.lower()
    node.problem("bad-domain", f"a domain like example.com is expected here, not `{value}`")
    return None


def _labels(node: Node) -> dict[str, str] | None:
    entries = node.free_entries()
    if entries is None:
        return None
    return {name: value.text() or "" for name, value in entries.items()}


def _nearest_digest(key: str) -> str | None:
    """Return a hint for what is nearly a digest, without repeating it: it may be a key all the same."""
    if DIGEST.admits(key.lower()):
        return "write the digits a-f in lower case"
    return "write `sha256:` before the digest" if DIGEST.admits(f"sha256:{key}") else None


def _tier_unknown(node: Node) -> Problem:
    line = node.document.lines[node.line - node.document.first_line]
    # Who writes an account in one line may have a secret in it.
    excerpt = line if line.lstrip(" -").startswith("tier:") else ""
    message = f"the policy has no tier `{node.text()}`"
    return Problem(node.document.path, node.line, node.column, "unknown-tier", message, node.length, excerpt)


def without_secrets(problems: Sequence[Problem], root: Node) -> list[Problem]:
    """Return the problems without the lines, and the words, that may be API keys."""
    if not problems:
        return []
    suspects = list(_suspects(root.yaml))
    words = {str(node.value) for node in suspects}
    first = root.document.first_line
    lines = {at + first for node in suspects for at in range(node.start_mark.line, node.end_mark.line + 1)}

    def veiled(word: re.Match[str]) -> str:
        return "`…`" if word[1] in words else word[0]

    return [
        replace(
            problem,
            message=re.sub(r"`([^`]*)`", veiled, problem.message),
            excerpt="" if problem.line in lines else problem.excerpt,
        )
        for problem in problems
    ]


def _suspects(node: yaml.Node, *, under_keys: bool = False) -> Iterator[yaml.Node]:
    """Yield the texts that may be API keys: what is no digest where one belongs, and long ones not explained."""
    match node:
        case yaml.ScalarNode():
            if not DIGEST.admits(node.value) and (under_keys or len(node.value) >= _SHORTEST_SECRET):
                yield node
        case yaml.SequenceNode():
            for item in node.value:
                yield from _suspects(item, under_keys=under_keys)
        case yaml.MappingNode():
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                if name not in (_KEY_NAMES if under_keys else _NAMES):
                    yield from _suspects(key, under_keys=under_keys)
                if under_keys:
                    yield from _suspects(value, under_keys=name not in _KEY_NAMES or name == "digest")
                elif name not in _OPEN:
                    yield from _suspects(value, under_keys=name in _DIGESTS)
