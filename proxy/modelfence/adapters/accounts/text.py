"""Changing the text of an accounts file where a record changes, and nowhere else: comments and layout stay.

Rule: an edit is believed only when the text that comes of it reads as what was meant; see `edited`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from modelfence.adapters.accounts.document import AccountsDocument, read_accounts_document, stated
from modelfence.core.account import Entry, Key
from modelfence.core.dates import date_of
from modelfence.document import Document, Node

_LINE_END = re.compile(r"\r\n|\n|\r|\Z")
_PLAIN = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_FLOW = ("[", "{")


class NotEditableError(Exception):
    """The text can't be changed so that it says what is meant."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """Text that takes the place of what stands from `start` to `end`, in characters."""

    start: int
    end: int
    text: str


def edited(document: AccountsDocument, after: Entry) -> str:
    """Return the text that says that of an account, and of all others what it said. Raises NotEditableError."""
    before = document.records[after.account.id].entry
    text = document.root.document.text
    edits = sorted(_edits(document, before, after), key=lambda edit: edit.start)
    parts, at = [], 0
    for edit in edits:
        parts += [text[at : edit.start], edit.text]
        at = edit.end
    new = "".join((*parts, text[at:]))
    read, _ = read_accounts_document(Document(document.root.document.path, new))
    meant = {name: _said(record.entry) for name, record in document.records.items()}
    if read is None or {name: _said(one.entry) for name, one in read.records.items()} != meant | {
        after.account.id: _said(after)
    }:
        raise NotEditableError
    return new


def key_text(key: Key) -> str:
    """Return a key as an item of the list of an account's keys."""
    said = {"digest": f'"{key.digest}"'}
    if key.name:
        said["name"] = key.name if _PLAIN.fullmatch(key.name) else json.dumps(key.name, ensure_ascii=False)
    said |= _states(key)
    return said["digest"] if len(said) == 1 else _flow(said)


def _said(entry: Entry) -> tuple[object, ...]:
    """Return what an entry says; the order of keys says nothing, and certificates stand behind all keys."""
    return entry.account, frozenset(entry.keys), entry.owners


def _edits(document: AccountsDocument, before: Entry, after: Entry) -> Iterator[_Edit]:
    """Yield what to change, in the order in which changes at one place follow each other."""
    account = document.nodes[after.account.id]
    if before.account.status != after.account.status:
        yield _set(account, "status", after.account.status, behind="id")
    known = {key.digest: key for key in before.keys}
    nodes = dict(zip(known, document.key_nodes(after.account.id), strict=True))
    for key in after.keys:
        if key.digest in known and key != known[key.digest]:
            yield from _of_key(nodes[key.digest], known[key.digest], key)
    new = [key_text(key) for key in after.keys if key.digest not in known]
    if new:
        yield _added(account, new)


def _of_key(node: Node, before: Key, after: Key) -> Iterator[_Edit]:
    changed = {name: value for name, value in _states(after).items() if value != _states(before).get(name)}
    if not node.is_mapping:
        digest = f'"{node.text()}"'
        yield _Edit(_start(node), _end(node), _flow({"digest": digest} | changed))
        return
    for name, value in changed.items():
        yield _set(node, name, value, behind="digest")


def _states(key: Key) -> dict[str, str]:
    said = {} if key.expires_us is None else {"expires": date_of(key.expires_us)}
    return said | ({"revoked": "true"} if key.is_revoked else {})


def _flow(said: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in said.items()) + "}"


def _added(account: Node, items: list[str]) -> _Edit:
    """Return how keys are added to the account's."""
    keys = stated(account).get("keys")
    if keys is None or not keys.items():
        if keys is not None or _is_flow(account):
            return _set(account, "keys", f"[{', '.join(items)}]", behind="id")
        block = "".join(_line(account, account.column + 1, f"- {item}") for item in items)
        return _set(account, "keys", block, behind="id")
    last = _end(keys.items()[-1])
    if _is_flow(keys):
        return _Edit(last, last, "".join(f", {item}" for item in items))
    at = _line_end(account, last)
    return _Edit(at, at, "".join(_line(account, keys.column - 1, f"- {item}") for item in items))


def _set(mapping: Node, name: str, value: str, *, behind: str) -> _Edit:
    """Return how an entry of a mapping gets a value; a new one goes behind another one."""
    entries = mapping.free_entries() or {}
    if name in entries:
        start, end = _start(entries[name]), _end(entries[name])
        return _Edit(start, end, value if start < end or value[0].isspace() else f" {value}")
    anchor = _end(entries[behind])
    if _is_flow(mapping):
        return _Edit(anchor, anchor, f", {name}: {value}")
    at = _line_end(mapping, anchor)
    return _Edit(at, at, _line(mapping, mapping.column - 1, f"{name}:{value if value[0].isspace() else f' {value}'}"))


def _line(node: Node, indentation: int, text: str) -> str:
    """Return a line with its line end before it, as the file ends lines."""
    ending = _LINE_END.search(node.document.text)
    return f"{ending[0] if ending and ending[0] else '\n'}{' ' * indentation}{text}"


def _line_end(node: Node, at: int) -> int:
    found = _LINE_END.search(node.document.text, at)
    return found.start() if found else at


def _is_flow(node: Node) -> bool:
    """Say whether a list or mapping is written with brackets."""
    return node.document.text[_start(node)] in _FLOW


def _start(node: Node) -> int:
    return int(node.yaml.start_mark.index)


def _end(node: Node) -> int:
    """Return where a node's own text ends: YAML has a block end only where the next thing begins."""
    inner = node.yaml
    while (
        isinstance(inner, yaml.CollectionNode)
        and inner.value
        and node.document.text[inner.start_mark.index] not in _FLOW
    ):
        last = inner.value[-1]
        inner = last[1] if isinstance(last, tuple) else last
    text = node.document.text[: inner.end_mark.index]
    return max(len(text.rstrip()), int(inner.start_mark.index))
