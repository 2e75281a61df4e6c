"""What is done with an account's keys: each a step from what a directory keeps of the account to what it shall keep.

Rule: nothing is guessed. Where it is not plain which key is meant, none is changed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from modelfence.core.account import Check, Entry, Key

_FEWEST_DIGITS = 8
"""Of a digest, to name a key by."""


class UnclearKeyError(Exception):
    """It is not clear which key is meant, or it can't be changed so; the text is one sentence."""


type Change = Callable[[Entry], Entry]
type Which = Callable[[Key], bool]


def named(name: str) -> Which:
    """Mean the key of that name."""
    return lambda key: key.name == name


def with_digits(digits: str) -> Which:
    """Mean the key whose digest begins so, with `sha256:` before it or without. Raises UnclearKeyError for too few."""
    wanted = digits.removeprefix("sha256:")
    if len(wanted) < _FEWEST_DIGITS:
        raise UnclearKeyError(f"give at least {_FEWEST_DIGITS} digits of a digest")
    return lambda key: key.digest.removeprefix("sha256:").startswith(wanted)


def adding(key: Key, now_us: int) -> Change:
    """Give the account one more key. A name that a valid key has already is refused."""

    def added(entry: Entry) -> Entry:
        if key.name and any(named(key.name)(other) for other in _valid(entry, now_us)):
            raise UnclearKeyError(
                f"`{entry.account.id}` has a valid key `{key.name}` already; rotate it, or say another name"
            )
        return replace(entry, keys=(*entry.keys, key))

    return added


def rotating(which: Which, new: Key, *, until_us: int, now_us: int) -> Change:
    """Give the account a key in the place of a valid one, which has its name and is valid no longer than until then."""

    def rotated(entry: Entry) -> Entry:
        old = _the_one(entry, [key for key in _valid(entry, now_us) if which(key)], "valid key")
        ends_us = until_us if old.expires_us is None else min(until_us, old.expires_us)
        keys = [replace(key, expires_us=ends_us) if key is old else key for key in entry.keys]
        return replace(entry, keys=(*keys, replace(new, name=old.name)))

    return rotated


def revoking(which: Which) -> Change:
    """Revoke a key, for good."""

    def revoked(entry: Entry) -> Entry:
        one = _the_one(
            entry, [key for key in entry.keys if not key.is_revoked and which(key)], "key that is not revoked"
        )
        return replace(entry, keys=tuple(replace(key, is_revoked=True) if key is one else key for key in entry.keys))

    return revoked


def with_status(status: str) -> Change:
    """Give the account another status."""
    return lambda entry: replace(entry, account=replace(entry.account, status=status))


def _valid(entry: Entry, now_us: int) -> Iterator[Key]:
    return (key for key in entry.keys if key.check(now_us) is Check.VALID)


def _the_one(entry: Entry, found: list[Key], kind: str) -> Key:
    match found:
        case [key]:
            return key
        case []:
            raise UnclearKeyError(f"`{entry.account.id}` has no such {kind}; `modelfence accounts key list` shows them")
        case _:
            digits = ", ".join(key.short for key in found)
            raise UnclearKeyError(
                f"`{entry.account.id}` has more than one such {kind}: say which by --digest: {digits}"
            )
