"""`modelfence accounts due`: what has to be done again; and what the commands on accounts have in common."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelfence.cli.run import complain
from modelfence.cli.tables import cut, table
from modelfence.core.account_review import Due, Horizon, due
from modelfence.core.dates import date_of, from_today, read_days
from modelfence.settings import CannotStartError, Settings

_LONGEST_CELL = 60
_FILE = "accounts file (default: the settings')"
_DUE = "examples:\n  modelfence accounts due\n  modelfence accounts due accounts.yaml --within 90d"


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    coming = accounts_command(
        commands, "due", "list what has to be done again", _DUE,
        says="List the active accounts to be verified again and the keys that run out, the earliest first.",
    )  # fmt: skip
    add_within(coming, "what has run out, or will within so many days")
    add_format(coming)
    coming.set_defaults(command=list_due)


def accounts_command(  # noqa: PLR0913 - what its help says
    commands: Any, name: str, help_text: str, examples: str, *, says: str, of_one: bool = False
) -> argparse.ArgumentParser:
    """Return the parser of a command that reads accounts, or one of them."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help_text,
        description=says,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if of_one:
        parser.add_argument("id", type=_account_id, metavar="ID", help="the account's id")
        # An optional word after ID could not follow a flag: argparse would have given it up by then.
        parser.add_argument("--accounts", metavar="FILE", help=_FILE)
    else:
        parser.add_argument("accounts", nargs="?", metavar="FILE", help=_FILE)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    return parser


def _account_id(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("this is no text in UTF-8") from None
    return text


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add how to print."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def add_within(parser: argparse.ArgumentParser, says: str) -> None:
    """Add how far to look ahead."""
    ahead_us = Horizon().ahead_us
    parser.add_argument("--within", type=days, default=ahead_us, metavar="DAYS", help=f"{says} (default: 30d)")


def days(text: str) -> int:
    """Return a number of days in microseconds, from an argument."""
    try:
        return read_days(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def list_due(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the accounts can't be read."""
    from modelfence.cli.accounts_stores import AccountsStore, with_accounts  # noqa: PLC0415 - loads what help need not

    today_us = now_us()

    async def list_all(store: AccountsStore) -> None:
        found = [
            one async for entry in store.entries() for one in due(entry.account, entry.keys, today_us, options.within)
        ]
        _print_due(sorted(found, key=lambda one: (one.at_us, one.account, one.what)), today_us, options.format)

    return with_accounts(options, list_all)


def path_of(settings: Settings) -> Path:
    """Return the accounts file, from here if it is below. Raises CannotStartError where none is named."""
    if isinstance(settings.accounts, str):
        raise CannotStartError(f"the accounts are in {settings.accounts_shown}; name a file of them")
    if settings.accounts is None:
        raise CannotStartError("name an accounts file, or `accounts` in the settings")
    here = Path.cwd()
    return settings.accounts.relative_to(here) if settings.accounts.is_relative_to(here) else settings.accounts


def failed(error: CannotStartError) -> int:
    """Say what could not be done, and return the exit status of that."""
    complain(error.problems)
    print(f"modelfence accounts: {error}", file=sys.stderr)
    return 2


def now_us() -> int:
    """Return the time."""
    return time.time_ns() // 1_000


def _print_due(found: Sequence[Due], today_us: int, form: str) -> None:
    if form == "json":
        listed = [{"date": date_of(one.at_us), "account": one.account, "what": one.what} for one in found]
        print(json.dumps(listed, indent=2))
    elif found:
        rows = [_due_row(one, today_us) for one in found]
        print(*table(("date", "", "account", "what"), rows, left=4), sep="\n")


def _due_row(one: Due, today_us: int) -> tuple[str, ...]:
    return (
        date_of(one.at_us),
        from_today(one.at_us, today_us),
        cut(one.account, _LONGEST_CELL),
        cut(one.what, _LONGEST_CELL),
    )
