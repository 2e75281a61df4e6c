"""`modelfence accounts key …`, `suspend`, `close` and `activate`: changing an account where it is kept.

Rule: a key is printed once, on stdout alone, and only when its digest is in the accounts.
"""

import argparse
import json
import secrets
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from modelfence.cli.accounts import accounts_command, add_format, days, now_us
from modelfence.cli.accounts_show import key_json, key_lines
from modelfence.core.account import Key
from modelfence.core.account_keys import (
    Change,
    UnclearKeyError,
    Which,
    adding,
    named,
    revoking,
    rotating,
    with_digits,
    with_status,
)
from modelfence.core.call import key_digest
from modelfence.core.dates import DAY_US, date_of
from modelfence.core.virtual_key import RANDOM_BYTES, mint

_LONGEST_NAME = 64
_STATUSES = {
    "suspend": ("suspended", "let nobody call as an account for now"),
    "close": ("closed", "let nobody call as an account any more"),
    "activate": ("active", "let an account call again"),
}
_NEW = (
    "examples:\n  modelfence accounts key new acme --name ci --expires 90d\n"
    "  modelfence accounts key new acme --accounts accounts.yaml > acme.key"
)
_ROTATE = "example:\n  modelfence accounts key rotate acme --name ci --overlap 7d"
_REVOKE = (
    "examples:\n  modelfence accounts key revoke acme --name ci\n"
    "  modelfence accounts key revoke acme --digest 2c26b46b68ff"
)
_LIST = "example:\n  modelfence accounts key list acme"


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    for name, (status, says) in _STATUSES.items():
        example = f"example:\n  modelfence accounts {name} acme"
        changing = accounts_command(commands, name, says, example, says=f"{says.capitalize()}.", of_one=True)
        changing.set_defaults(command=set_status, status=status)
    keys = commands.add_parser("key", help="work with an account's keys", description="Work with an account's keys.")
    _add_keys(keys.add_subparsers(title="commands", metavar="COMMAND", required=True))


def _add_keys(commands: Any) -> None:
    new = accounts_command(
        commands, "new", "make a key and print it, once", _NEW, of_one=True,
        says="Make a key, put its digest into the accounts, and print it. It is not kept anywhere.",
    )  # fmt: skip
    new.add_argument("--name", type=_name, help="what to call the key")
    _add_expires(new)
    new.add_argument("--print-only", action="store_true", help="change nothing: print the key, and the item to add")
    new.set_defaults(command=new_key)
    rotate = accounts_command(
        commands, "rotate", "put a new key in the place of one", _ROTATE, of_one=True,
        says="Make a key of the same name and print it, once. The old one is valid for the overlap.",
    )  # fmt: skip
    _add_which(rotate)
    rotate.add_argument(
        "--overlap", type=days, default=7 * DAY_US, metavar="DAYS",
        help="how long the old key is valid; it ends at a UTC midnight, not before (default: 7d)",
    )  # fmt: skip
    _add_expires(rotate)
    rotate.set_defaults(command=rotate_key)
    revoke = accounts_command(
        commands, "revoke", "revoke a key", _REVOKE, of_one=True, says="Revoke a key, for good. It stays listed."
    )
    _add_which(revoke)
    revoke.set_defaults(command=revoke_key)
    listing = accounts_command(
        commands, "list", "list an account's keys", _LIST, of_one=True,
        says="List an account's keys and certificates by the digits of their digests, with their names and states.",
    )  # fmt: skip
    add_format(listing)
    listing.set_defaults(command=list_keys)


def _add_which(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--name", dest="which", type=named, metavar="NAME", help="the key's name")
    which.add_argument("--digest", dest="which", type=_which, metavar="DIGITS", help="how the key's digest begins")


def _add_expires(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--expires", type=_expiry, metavar="WHEN",
        help="from when it is valid no longer: a UTC day like 2027-01-01, or 90d for the midnight after so many days",
    )  # fmt: skip


def new_key(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the key could not be put into the accounts."""
    from modelfence.adapters.accounts.text import key_text  # noqa: PLC0415 - loads what help need not wait for

    secret, key = _minted(options.expires, options.name or "")
    if options.print_only:
        print(secret, key_text(key), sep="\n")
        return 0
    return _change(options, adding(key, now_us()), lambda: _hand_out(options.id, secret, key))


def rotate_key(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the key could not be exchanged."""
    secret, key = _minted(options.expires)
    until_us = _midnight_after(options.overlap)
    change = rotating(options.which, key, until_us=until_us, now_us=now_us())

    def hand_out() -> None:
        _hand_out(options.id, secret, key)
        print(f"the old one is valid until {date_of(until_us)} at the latest", file=sys.stderr)

    return _change(options, change, hand_out)


def revoke_key(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the key could not be revoked."""
    return _change(options, revoking(options.which), lambda: print(f"revoked a key of `{options.id}`"))


def set_status(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the account could not be changed."""
    return _change(options, with_status(options.status), lambda: print(f"`{options.id}` is {options.status}"))


def list_keys(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the accounts can't be read."""
    from modelfence.cli.accounts_stores import AccountsStore, entry_of, with_accounts  # noqa: PLC0415 - as above

    async def show(store: AccountsStore) -> None:
        keys = (await entry_of(store, options.id)).keys
        if options.format == "json":
            print(json.dumps([key_json(key, now_us()) for key in keys], indent=2))
        else:
            print(*(f"{line}\n" for line in key_lines(keys, now_us())), sep="", end="")

    return with_accounts(options, show)


def _change(options: argparse.Namespace, change: Change, then: Callable[[], None]) -> int:
    from modelfence.cli.accounts_stores import AccountsStore, with_accounts  # noqa: PLC0415 - as above

    async def update(store: AccountsStore) -> None:
        await store.update(options.id, change)

    status = with_accounts(options, update)
    if status == 0:
        then()
    return status


def _minted(expires_us: int | None, name: str = "") -> tuple[str, Key]:
    """Return a new key, and what is kept of it."""
    secret = mint(secrets.token_bytes(RANDOM_BYTES))
    return secret, Key(key_digest(secret), expires_us, name=name)


def _hand_out(account_id: str, secret: str, key: Key) -> None:
    print(secret)
    print(f"`{account_id}` has the key {key.short}; it is shown this once", file=sys.stderr)


def _midnight_after(ahead_us: int) -> int:
    return -(-(now_us() + ahead_us) // DAY_US) * DAY_US


def _expiry(text: str) -> int:
    """Return the midnight from which a key is to be valid no longer."""
    try:
        day_us = int(datetime.strptime(f"{text}+0000", "%Y-%m-%d%z").timestamp()) * 1_000_000
    except ValueError:
        return _midnight_after(days(text))
    if day_us <= now_us():
        raise argparse.ArgumentTypeError(f"{text} is past")
    return day_us


def _which(digits: str) -> Which:
    try:
        return with_digits(digits)
    except UnclearKeyError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise argparse.ArgumentTypeError(f"a name has 1 to {_LONGEST_NAME} printable characters")
    return text
