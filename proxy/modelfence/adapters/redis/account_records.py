"""How accounts are kept in Redis: what the keys are called, and what a record says.

    PREFIX:account:ID      the account, all its keys with their states, and its owners, as one JSON text
    PREFIX:key:DIGEST      the id of the account that has the key or certificate of that digest

Rule: what a credential is worth is said by the record alone. The index only tells which record to ask, and a digest
that the record does not name belongs to nobody. So each account changes in one step, though index and record are in
different slots of a cluster, and whatever is left of the index by a writer that died opens nothing.

Why a JSON text: a hash of as many short fields takes the same room and three times the work, and could be read half
changed. The fields are sorted, so equal entries are equal texts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Never

from modelfence.core.account import SCREENINGS, STATUSES, Account, Entry, Key, Owner

_FIELDS = {one.name: None if one.default is MISSING else one.default for one in fields(Account)}
_MAY_BE_NULL = {one.name for kind in (Account, Key, Owner) for one in fields(kind) if one.default is None}
_WHOLE = 1.000_001
"""The largest share: files may be out by rounding."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _WHOLE


def _map_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_right, value.values()))


_IS_RIGHT: Mapping[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("verified_us", "expires_us", "screened_us"), lambda value: type(value) is int),
    "status": STATUSES.__contains__,
    "screening": SCREENINGS.__contains__,
    "ownership": _map_of(_is_share),
    "labels": _map_of(_is_text),
    "share": _is_share,
    "is_revoked": lambda value: isinstance(value, bool),
}
"""What each field may hold; a text those that are not named."""


class BadRecordError(Exception):
    """A record that can't be understood; who can't be judged by it is not let in."""


def account_key(prefix: str, account_id: str) -> str:
    """Return under which key the record of that account is."""
    return f"{prefix}:account:{account_id}"


def index_key(prefix: str, digest: str) -> str:
    """Return under which key the id of the account with that digest is."""
    return f"{prefix}:key:{digest.removeprefix('sha256:')}"


def encode(entry: Entry) -> bytes:
    """Return the record of an account. What is not stated is left out."""
    said = {name: getattr(entry.account, name) for name in _FIELDS}
    record: dict[str, Any] = {name: value for name, value in said.items() if value not in (None, "", {})}
    if entry.account.ownership is not None:
        record["ownership"] = dict(entry.account.ownership)
    record["keys"] = [_key(key) for key in entry.keys]
    if entry.owners is not None:
        record["owners"] = [_stated(share=one.share, entity=one.entity, country=one.country) for one in entry.owners]
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decode(record: bytes, account_id: str) -> Entry:
    """Return what the record of that account says. Raises BadRecordError."""
    try:
        entry = entry_in(record)
    except BadRecordError as error:
        raise BadRecordError(f"the record of `{account_id}` {error}") from error
    if entry.account.id != account_id:
        raise BadRecordError(f"the record of `{account_id}` is that of another account")
    return entry


def entry_in(record: bytes) -> Entry:
    """Return what a record says. Raises BadRecordError.

    A field that is not known here is no trifle: whoever wrote it may have meant to shut somebody out. Nor is one of
    another kind: no comparison with a share that is no number holds, so no rule would refuse it.
    """
    try:
        said = json.loads(record.decode(), object_pairs_hook=_once, parse_constant=_no_number)
        keys = tuple(Key(**_right(key)) for key in said.pop("keys"))
        owners = said.pop("owners", None)
        account = Account(**_right(said))
        stated = None if owners is None else tuple(Owner(**_right(owner)) for owner in owners)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadRecordError("can't be understood") from error
    return Entry(account, keys, stated)


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Raises ValueError for a name that is given twice: readers differ in which they take."""
    said = dict(pairs)
    if len(said) != len(pairs):
        raise ValueError
    return said


def _no_number(_: str) -> Never:
    raise ValueError


def _right(said: dict[str, Any]) -> dict[str, Any]:
    """Return what is said, once each field holds what it may. Raises ValueError."""
    for name, value in said.items():
        if not (value is None and name in _MAY_BE_NULL) and not _IS_RIGHT.get(name, _is_text)(value):
            raise ValueError(name)
    return said


def _key(key: Key) -> Mapping[str, Any]:
    return _stated(digest=key.digest, expires_us=key.expires_us, is_revoked=key.is_revoked or None, name=key.name)


def _stated(**said: Any) -> Mapping[str, Any]:
    return {name: value for name, value in said.items() if value not in (None, "")}
