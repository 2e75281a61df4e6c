"""`modelfence accounts check` and `due`: what is wrong with an accounts file, and what wants doing."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelfence.cli.problems import as_json
from modelfence.cli.run import complain, settings_of
from modelfence.cli.tables import count, cut, table
from modelfence.core.account_review import Due, Horizon, Shared, due, shared
from modelfence.core.dates import date_of, from_today, read_days
from modelfence.core.problem import Problem, Severity, errors, in_order
from modelfence.settings import CannotStartError, Settings

if TYPE_CHECKING:
    from modelfence.adapters.accounts_document import AccountsDocument

_SHARED_SHOWN = 20
_IDS_SHOWN = 5
_LONGEST_CELL = 60
_FILE = "accounts file (default: the settings')"
_CHECK = (
    "examples:\n  modelfence accounts check accounts.yaml\n"
    "  modelfence accounts check accounts.yaml --policy policy.yaml --strict --format json"
)
_DUE = "examples:\n  modelfence accounts due\n  modelfence accounts due accounts.yaml --within 90d"


def add_to(commands: Any) -> None:
    """Add the commands to the parser."""
    check = accounts_command(
        commands, "check", "find what is wrong with the accounts", _CHECK,
        says="Print every problem of an accounts file with its place: what would stop a fence, and, as warnings, what "
        "wants doing. Then what active accounts share. Exits with 1 when there are errors.",
    )  # fmt: skip
    check.add_argument("--policy", metavar="FILE", help="policy that has the tiers (default: the settings')")
    _within(check, "warn of what runs out within so many days")
    check.add_argument(
        "--lists-older-than", type=days, default=Horizon().lists_us, metavar="DAYS",
        help="warn of accounts that were screened against older lists (default: 90d)",
    )  # fmt: skip
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    add_format(check)
    check.set_defaults(command=check_accounts)
    coming = accounts_command(
        commands, "due", "list what has to be done again", _DUE,
        says="List the active accounts to be verified again and the keys that run out, the earliest first.",
    )  # fmt: skip
    _within(coming, "what has run out, or will within so many days")
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
        parser.add_argument("id", metavar="ID", help="the account's id")
        # An optional word after ID could not follow a flag: argparse would have given it up by then.
        parser.add_argument("--accounts", metavar="FILE", help=_FILE)
    else:
        parser.add_argument("accounts", nargs="?", metavar="FILE", help=_FILE)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: modelfence.yaml)")
    return parser


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add how to print."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print (default: text)")


def _within(parser: argparse.ArgumentParser, says: str) -> None:
    ahead_us = Horizon().ahead_us
    parser.add_argument("--within", type=days, default=ahead_us, metavar="DAYS", help=f"{says} (default: 30d)")


def days(text: str) -> int:
    """Return a number of days in microseconds, from an argument."""
    try:
        return read_days(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_accounts(options: argparse.Namespace) -> int:
    """Return 0, 1 when the accounts have errors, 2 when the policy can't be used."""
    from modelfence.adapters.accounts_document import open_accounts  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.assembly import read_policy  # noqa: PLC0415 - likewise

    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        path = path_of(settings)
        tiers = read_policy(settings).tiers
    except CannotStartError as error:
        return failed(error)
    document, problems = open_accounts(path)
    common: Sequence[Shared] = ()
    if document is not None:
        horizon = Horizon(options.within, options.lists_older_than)
        warnings = document.review(now_us(), horizon)
        problems = in_order((*document.accounts.check_tiers(tiers), *warnings))
        common = shared(document.accounts)
    if options.format == "json":
        print(json.dumps(_check_json(document, problems, common), indent=2))
    else:
        _print_check(path, document, problems, common)
    return 1 if errors(problems) or (options.strict and problems) else 0


def list_due(options: argparse.Namespace) -> int:
    """Return 0, or 2 when the accounts can't be read."""
    try:
        document = sound_accounts(settings_of(options, os.environ, with_upstreams=False))
    except CannotStartError as error:
        return failed(error)
    today_us = now_us()
    found = [
        one
        for record in document.records.values()
        for one in due(record.account, record.keys, today_us, options.within)
    ]
    found.sort(key=lambda one: (one.at_us, one.account, one.what))
    if options.format == "json":
        print(json.dumps([{"date": date_of(one.at_us), "account": one.account, "what": one.what} for one in found]))
    elif found:
        rows = [_due_row(one, today_us) for one in found]
        print(*table(("date", "", "account", "what"), rows, left=4), sep="\n")
    return 0


def path_of(settings: Settings) -> Path:
    """Return the accounts file. Raises CannotStartError where none is named."""
    if isinstance(settings.accounts, str):
        raise CannotStartError(f"the accounts are in {settings.accounts_shown}; name a file of them")
    if settings.accounts is None:
        raise CannotStartError("name an accounts file, or `accounts` in the settings")
    return settings.accounts


def sound_accounts(settings: Settings) -> "AccountsDocument":
    """Return the accounts. Raises CannotStartError with every error that they have."""
    from modelfence.adapters.accounts_document import open_accounts  # noqa: PLC0415 - loads what help need not wait for

    path = path_of(settings)
    document, problems = open_accounts(path)
    if document is None:
        raise CannotStartError(f"the accounts file {path} has problems", problems)
    return document


def failed(error: CannotStartError) -> int:
    """Say what could not be done, and return the exit status of that."""
    complain(error.problems)
    print(f"modelfence accounts: {error}", file=sys.stderr)
    return 2


def now_us() -> int:
    """Return the time."""
    return time.time_ns() // 1_000


def _due_row(one: Due, today_us: int) -> tuple[str, ...]:
    return (
        date_of(one.at_us),
        from_today(one.at_us, today_us),
        cut(one.account, _LONGEST_CELL),
        cut(one.what, _LONGEST_CELL),
    )


def _check_json(
    document: "AccountsDocument | None", problems: Sequence[Problem], common: Sequence[Shared]
) -> dict[str, object]:
    return {
        "accounts": None if document is None else len(document.records),
        "problems": [as_json(problem) for problem in problems],
        "shared": [{"by": one.by, "value": one.value, "accounts": list(one.accounts)} for one in common],
    }


def _print_check(
    path: Path, document: "AccountsDocument | None", problems: Sequence[Problem], common: Sequence[Shared]
) -> None:
    for problem in problems:
        print(problem.render(), end="\n\n")
    for one in common[:_SHARED_SHOWN]:
        more = f" and {len(one.accounts) - _IDS_SHOWN:,} more" if len(one.accounts) > _IDS_SHOWN else ""
        ids = cut(", ".join(one.accounts[:_IDS_SHOWN]), 2 * _LONGEST_CELL)
        value = cut(one.value, _LONGEST_CELL)
        print(f"note: {count(len(one.accounts), 'account')} with {one.by} {value}: {ids}{more}")
    if len(common) > _SHARED_SHOWN:
        print(f"note: {len(common) - _SHARED_SHOWN:,} more are shared; --format json lists them")
    if common:
        print()
    wrong = sum(problem.severity is Severity.ERROR for problem in problems)
    counted = f"{count(wrong, 'error')}, {count(len(problems) - wrong, 'warning')}"
    print(f"{path}: {counted}" if document is None else f"{path}: {count(len(document.records), 'account')}, {counted}")
