"""`modelfence accounts show`: one account as its keeper wants to see it, with the arithmetic of its ownership."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelfence.cli.accounts import accounts_command, add_format, now_us
from modelfence.cli.run import settings_of
from modelfence.cli.tables import cut, table
from modelfence.core.account import Account, Check, Entity, Entry, Key, owned_from
from modelfence.core.dates import date_of, from_today
from modelfence.core.ownership_tree import Holding, holdings
from modelfence.core.policy import Policy

_MOST_HOLDINGS = 200
"""Chains may be beyond number; who has to see more of them than this is not helped by a tree."""
_LONGEST_CELL = 80
_INDENT = "  "
_TIMES = " \N{MULTIPLICATION SIGN} "
_NOT_STATED = "not stated"
_SHOW = (
    "examples:\n  modelfence accounts show acme\n  modelfence accounts show acme --accounts accounts.yaml --format json"
)


@dataclass(frozen=True, slots=True)
class _Page:
    """All that is shown of an account."""

    account: Account
    keys: Sequence[Key]
    tier: str
    """The one that counts today."""
    holdings: Sequence[Holding] | None
    owned_by: Mapping[str, float]
    """What is owned from each list of countries that the policy asks for."""
    now_us: int


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    show = accounts_command(
        commands, "show", "print all that is known of an account", _SHOW,
        says="Print what is known of an account, what it means today, and how its ownership comes about.",
        of_one=True,
    )  # fmt: skip
    show.add_argument("--policy", metavar="FILE", help="policy that has the tiers and lists (default: the settings')")
    add_format(show)
    show.set_defaults(command=show_account)


def show_account(options: argparse.Namespace) -> int:
    """Return 0, or 2 when there is no such account, or it can't be read."""
    from modelfence.assembly import read_policy  # noqa: PLC0415 - loads what help need not wait for
    from modelfence.cli.accounts_stores import AccountsStore, entry_of, with_accounts  # noqa: PLC0415 - likewise

    async def show(store: AccountsStore) -> None:
        policy = read_policy(settings_of(options, os.environ, with_upstreams=False))
        page = _page(await entry_of(store, options.id), await store.companies(), policy)
        if options.format == "json":
            print(json.dumps(_as_json(page), indent=2))
        else:
            print(*_lines(page), sep="\n")

    return with_accounts(options, show)


def _page(entry: Entry, companies: Mapping[str, Entity], policy: Policy) -> _Page:
    account, owners, today_us = entry.account, entry.owners, now_us()
    counts = account.tier in policy.tiers and not account.expired(today_us)
    return _Page(
        account,
        entry.keys,
        account.tier if counts else policy.tiers[0],
        None if owners is None else holdings(owners, companies, most=_MOST_HOLDINGS),
        _owned_by(account, policy),
        today_us,
    )


def _owned_by(account: Account, policy: Policy) -> dict[str, float]:
    shares = account.ownership
    if shares is None:
        return {}
    return {name: owned_from(policy.lists[name], shares) for name in policy.owned_by}


def _lines(page: _Page) -> Iterator[str]:
    account = page.account
    yield cut(account.id, _LONGEST_CELL)
    said = [(name, cut(value, _LONGEST_CELL)) for name, value in _said(page)]
    yield from (f"{_INDENT}{line}" for line in table(("", ""), said, left=2) if line)
    yield ""
    yield "keys and certificates" if page.keys else "no keys"
    yield from (f"{_INDENT}{line}" for line in key_lines(page.keys, page.now_us))
    yield ""
    if page.holdings is None:
        yield "owners not stated"
        return
    yield "owners" if page.holdings else "nobody is known to own it"
    rows = [_holding_row(one) for one in page.holdings]
    yield from (f"{_INDENT}{line}" for line in table(("", ""), rows, left=2) if line)
    if len(page.holdings) == _MOST_HOLDINGS:
        yield f"{_INDENT}… and perhaps more"
    yield from _sums(page)


def _said(page: _Page) -> Iterator[tuple[str, str]]:
    account, now = page.account, page.now_us
    yield "status", account.status
    yield "tier", account.tier if page.tier == account.tier else f"{account.tier}, which counts as {page.tier} today"
    yield "country", account.country or _NOT_STATED
    by = f", by {account.verified_by}" if account.verified_by else ""
    yield "verified", _NOT_STATED if account.verified_us is None else _day(account.verified_us, now) + by
    if account.expires_us is not None:
        yield "expired" if account.expired(now) else "expires", _day(account.expires_us, now)
    lists = "" if account.screened_us is None else f", against lists of {_day(account.screened_us, now)}"
    yield "screening", _NOT_STATED if account.screening is None else account.screening + lists
    yield "purpose", account.purpose or _NOT_STATED
    if account.labels:
        yield "labels", ", ".join(f"{name}={value}" for name, value in account.labels.items())
    for name in ("payer", "contact_domain", "signup_batch"):
        if value := getattr(account, name):
            yield name, value
    yield "version", account.version


def _day(at_us: int, now_us: int) -> str:
    return f"{date_of(at_us)} ({from_today(at_us, now_us)})"


def key_lines(keys: Sequence[Key], now_us: int) -> Iterator[str]:
    """Yield each key's digits, name and state."""
    rows = [(key.short, cut(key.name or "-", _LONGEST_CELL), _state(key, now_us)) for key in keys]
    return filter(None, table(("", "", ""), rows, left=3))


def _state(key: Key, now_us: int) -> str:
    state = key.check(now_us)
    until = _UNTIL.get(state)
    return str(state) if key.expires_us is None or until is None else f"{state} {until} {_day(key.expires_us, now_us)}"


_UNTIL = {Check.VALID: "until", Check.EXPIRED: "since"}


def _holding_row(one: Holding) -> tuple[str, str]:
    who = " ".join(filter(None, (one.entity, f"({one.country})" if one.entity and one.country else one.country)))
    product = _TIMES.join(f"{share:g}" for share in one.shares)
    sum_up = f"{product} = {one.share:.6g}" if len(one.shares) > 1 else product
    again = "" if one.counts else ", counted along this chain already"
    owner = f"{_INDENT * (len(one.shares) - 1)}{one.shares[-1]:g} {cut(who, _LONGEST_CELL)}"
    return owner, f"{sum_up} {one.country}{again}"


def _sums(page: _Page) -> Iterator[str]:
    shares = page.account.ownership
    if shares:
        largest_first = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
        yield f"{_INDENT}together: {', '.join(f'{country} {share:.6g}' for country, share in largest_first)}"
    for name, share in page.owned_by.items():
        yield f"{_INDENT}kyc.owned_by.{name} = {share:.6g}"


def _as_json(page: _Page) -> dict[str, object]:
    account = page.account
    return {
        "id": account.id,
        "version": account.version,
        "status": account.status,
        "tier": account.tier,
        "counts_as": page.tier,
        "country": account.country,
        "verified": _date(account.verified_us),
        "verified_by": account.verified_by,
        "expires": _date(account.expires_us),
        "screening": account.screening,
        "screened": _date(account.screened_us),
        "purpose": account.purpose,
        "labels": dict(account.labels),
        "payer": account.payer,
        "contact_domain": account.contact_domain,
        "signup_batch": account.signup_batch,
        "keys": [key_json(key, page.now_us) for key in page.keys],
        "ownership": None if account.ownership is None else dict(account.ownership),
        "holdings": None if page.holdings is None else [_holding_json(one) for one in page.holdings],
        "owned_by": dict(page.owned_by),
    }


def key_json(key: Key, now_us: int) -> dict[str, object]:
    """Return a key as JSON has it: its digest is no secret."""
    return {
        "digest": key.digest,
        "name": key.name,
        "expires": _date(key.expires_us),
        "state": str(key.check(now_us)),
    }


def _holding_json(one: Holding) -> dict[str, object]:
    return {
        "entity": one.entity,
        "country": one.country,
        "shares": list(one.shares),
        "share": one.share,
        "counts": one.counts,
    }


def _date(at_us: int | None) -> str | None:
    return None if at_us is None else date_of(at_us)
