"""`modelfence accounts check`: what is wrong with accounts, and what wants doing."""

import argparse
import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modelfence.cli.accounts import accounts_command, add_format, add_within, days, failed, now_us, path_of
from modelfence.cli.problems import as_json
from modelfence.cli.run import settings_of
from modelfence.cli.tables import count, cut
from modelfence.core.account import Account, Entry
from modelfence.core.account_review import Horizon, Shared, review, shared, unknown_countries
from modelfence.core.problem import Problem, Severity, errors, in_order
from modelfence.settings import CannotStartError, Settings

_SHARED_SHOWN = 20
_IDS_SHOWN = 5
_LONGEST_CELL = 60
_CHECK = (
    "examples:\n  modelfence accounts check accounts.yaml\n"
    "  modelfence accounts check accounts.yaml --policy policy.yaml --strict --format json"
)


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found in the accounts of one place."""

    place: str
    accounts: int | None
    """How many there are; None where that can't be told for errors."""
    problems: Sequence[Problem]
    common: Sequence[Shared] = ()


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    check = accounts_command(
        commands, "check", "find what is wrong with the accounts", _CHECK,
        says="Print every problem of an accounts file with its place: what would stop a fence, and, as warnings, what "
        "wants doing. Then what active accounts share. Exits with 1 when there are errors.",
    )  # fmt: skip
    check.add_argument("--policy", metavar="FILE", help="policy that has the tiers (default: the settings')")
    add_within(check, "warn of what runs out within so many days")
    check.add_argument(
        "--lists-older-than", type=days, default=Horizon().lists_us, metavar="DAYS",
        help="warn of accounts that were screened against older lists (default: 90d)",
    )  # fmt: skip
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    add_format(check)
    check.set_defaults(command=check_accounts)


def check_accounts(options: argparse.Namespace) -> int:
    """Return 0, 1 when the accounts have errors, 2 when they, or the policy, can't be read."""
    from modelfence.assembly import read_policy  # noqa: PLC0415 - loads what help need not wait for

    horizon = Horizon(options.within, options.lists_older_than)
    try:
        settings = settings_of(options, os.environ, with_upstreams=False)
        tiers = read_policy(settings).tiers
        if isinstance(settings.accounts, str):
            found = asyncio.run(_in_redis(settings, tiers, horizon))
        else:
            found = _in_file(settings, tiers, horizon)
    except CannotStartError as error:
        return failed(error)
    if options.format == "json":
        print(json.dumps(_as_json(found), indent=2))
    else:
        _print(found)
    return 1 if errors(found.problems) or (options.strict and found.problems) else 0


def _in_file(settings: Settings, tiers: Sequence[str], horizon: Horizon) -> _Found:
    from modelfence.adapters.accounts.document import open_accounts  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.adapters.accounts.file import UNREADABLE  # noqa: PLC0415 - likewise

    path = path_of(settings)
    document, problems = open_accounts(path)
    if document is None:
        if problems[0].code == UNREADABLE:
            raise CannotStartError(f"{path} can't be checked", problems)
        return _Found(str(path), None, problems)
    warnings = document.review(now_us(), horizon)
    problems = in_order((*document.accounts.check_tiers(tiers), *warnings))
    return _Found(str(path), len(document.records), problems, shared(document.accounts))


async def _in_redis(settings: Settings, tiers: Sequence[str], horizon: Horizon) -> _Found:
    """Find what there is to a record without a file: its place is the account's id."""
    from modelfence.adapters.redis.account_records import BadRecordError  # noqa: PLC0415 - help need not wait for it
    from modelfence.cli.accounts_stores import accounts_in_redis  # noqa: PLC0415 - likewise

    problems: list[Problem] = []
    accounts: list[Account] = []
    today_us = now_us()
    async with accounts_in_redis(settings) as store:
        async for account_id, found in store.records():
            if isinstance(found, BadRecordError):
                problems.append(Problem(account_id, 1, 1, "bad-record", f"{found}, so it lets nobody in"))
                continue
            accounts.append(found.account)
            problems += _of_record(found, tiers, today_us, horizon)
    return _Found(settings.accounts_shown, len(accounts), in_order(problems), shared(accounts))


def _of_record(entry: Entry, tiers: Sequence[str], today_us: int, horizon: Horizon) -> Iterator[Problem]:
    account = entry.account
    if account.tier not in tiers:
        yield Problem(account.id, 1, 1, "unknown-tier", f"the policy has no tier `{account.tier}`")
    found = [
        ("unknown-country", f"no country has the code `{one}` in ISO 3166-1") for one in unknown_countries(account)
    ]
    found += [(one.code, one.message) for one in review(account, entry.keys, today_us, horizon)]
    for code, message in found:
        yield Problem(account.id, 1, 1, code, message, severity=Severity.WARNING)


def _as_json(found: _Found) -> dict[str, object]:
    return {
        "accounts": found.accounts,
        "problems": [as_json(problem) for problem in found.problems],
        "shared": [{"by": one.by, "value": one.value, "accounts": list(one.accounts)} for one in found.common],
    }


def _print(found: _Found) -> None:
    for problem in found.problems:
        print(problem.render(), end="\n\n")
    for one in found.common[:_SHARED_SHOWN]:
        more = f" and {len(one.accounts) - _IDS_SHOWN:,} more" if len(one.accounts) > _IDS_SHOWN else ""
        ids = cut(", ".join(one.accounts[:_IDS_SHOWN]), 2 * _LONGEST_CELL)
        value = cut(one.value, _LONGEST_CELL)
        print(f"note: {count(len(one.accounts), 'account')} with {one.by} {value}: {ids}{more}")
    if len(found.common) > _SHARED_SHOWN:
        print(f"note: {len(found.common) - _SHARED_SHOWN:,} more are shared; --format json lists them")
    if found.common:
        print()
    wrong = len(errors(found.problems))
    counts = [count(wrong, "error"), count(len(found.problems) - wrong, "warning")]
    if found.accounts is not None:
        counts.insert(0, count(found.accounts, "account"))
    print(f"{found.place}: {', '.join(counts)}")
