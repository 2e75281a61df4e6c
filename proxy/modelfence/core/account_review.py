"""What whoever keeps the accounts should look at: nothing that stops the fence, and all that wants doing.

Rule: only active accounts are reviewed, for nobody calls as another.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from modelfence.core.account import Account, Check, Key
from modelfence.core.countries import COUNTRIES, KOSOVO
from modelfence.core.dates import DAY_US, date_of, days_until, from_today

CODES = COUNTRIES | {KOSOVO}
"""The countries there are."""
LINKS = ("payer", "contact_domain", "signup_batch")
"""By these, accounts may be seen to belong together."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """How far to look."""

    ahead_us: int = 30 * DAY_US
    """What runs out within this time is worth a warning."""
    lists_us: int = 90 * DAY_US
    """Lists of sanctions older than this are; the large ones change several times a week."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at, and the entry of the record, or the key, that it is about."""

    code: str
    message: str
    field: str = "id"
    key: Key | None = None


def review(account: Account, keys: Sequence[Key], now_us: int, horizon: Horizon) -> Iterator[Finding]:
    """Yield what is to be looked at in a record."""
    if account.status != "active":
        return
    yield from _of_dates(account, now_us)
    if account.verified_us is not None and account.ownership is None:
        message = f"`{account.id}` was verified and its owners are not stated: that counts against it where a rule asks"
        yield Finding("owners-unstated", message, "verified")
    yield from _of_verification(account, now_us, horizon)
    yield from _of_screening(account, now_us, horizon)
    yield from _of_keys(account, keys, now_us, horizon)


def _of_dates(account: Account, now_us: int) -> Iterator[Finding]:
    verified = ("verified", account.verified_us, "was verified on")
    screened = ("screened", account.screened_us, "was screened by lists of")
    for field, at_us, what in (verified, screened):
        if at_us is not None and at_us > now_us + DAY_US:
            message = f"`{account.id}` {what} a day to come, {_when(at_us, now_us)}"
            yield Finding("date-ahead", message, field)


def _of_verification(account: Account, now_us: int, horizon: Horizon) -> Iterator[Finding]:
    if account.expires_us is None:
        return
    if account.expired(now_us):
        when = _when(account.expires_us, now_us)
        message = f"the verification of `{account.id}` ran out {when}: its tier counts as the lowest"
        yield Finding("verification-expired", message, "expires")
    elif _is_by(account.expires_us, now_us + horizon.ahead_us):
        message = f"the verification of `{account.id}` runs out {_when(account.expires_us, now_us)}"
        yield Finding("verification-expiring", message, "expires")


def _of_screening(account: Account, now_us: int, horizon: Horizon) -> Iterator[Finding]:
    if account.screening == "hit":
        yield Finding("screening-hit", f"`{account.id}` is active though its screening was a hit", "screening")
    if account.screening is None and account.verified_us is not None:
        yield Finding("never-screened", f"`{account.id}` was verified and never screened", "verified")
    elif account.screening == "clear" and account.screened_us is None:
        message = f"`{account.id}` was screened against lists of an unknown date: `screened` is missing"
        yield Finding("screening-undated", message, "screening")
    elif account.screened_us is not None and now_us - account.screened_us > horizon.lists_us:
        message = f"`{account.id}` was screened against lists of {_when(account.screened_us, now_us)}"
        yield Finding("screening-old", message, "screened")


def _of_keys(account: Account, keys: Sequence[Key], now_us: int, horizon: Horizon) -> Iterator[Finding]:
    valid = [key for key in keys if key.check(now_us) is Check.VALID]
    if not valid:
        yield Finding("no-key", f"`{account.id}` is active and has no key that is valid", "id")
    for key in valid:
        if key.expires_us is not None and _is_by(key.expires_us, now_us + horizon.ahead_us):
            message = f"{_called(key)} of `{account.id}` runs out {_when(key.expires_us, now_us)}"
            yield Finding("key-expiring", message, key=key)


def _called(key: Key) -> str:
    return f"the key `{key.name}`" if key.name else "a key"


def _when(at_us: int, now_us: int) -> str:
    return f"{date_of(at_us)}, {from_today(at_us, now_us)}"


def unknown_countries(account: Account) -> list[str]:
    """Return the countries a record names that there are not, of owners behind owners, too."""
    named = set(account.ownership or ()) | ({account.country} if account.country else set())
    return sorted(named - CODES)


@dataclass(frozen=True, slots=True)
class Shared:
    """Accounts that have something in common. Often that is nothing: a company has several, many use one mail host."""

    by: str
    value: str
    accounts: tuple[str, ...]


def shared(accounts: Iterable[Account]) -> list[Shared]:
    """Return what active accounts share, that of most accounts first."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for account in accounts:
        if account.status == "active":
            for by in LINKS:
                value = getattr(account, by)
                if value is not None:
                    groups[by, value].append(account.id)
    found = [Shared(by, value, tuple(ids)) for (by, value), ids in groups.items() if len(ids) > 1]
    return sorted(found, key=lambda one: (-len(one.accounts), LINKS.index(one.by), one.value))


@dataclass(frozen=True, slots=True)
class Due:
    """A day by which something has to be done again."""

    at_us: int
    account: str
    what: str


def due(account: Account, keys: Sequence[Key], now_us: int, within_us: int) -> Iterator[Due]:
    """Yield what has run out or will within that time: the verification, and keys that are valid still."""
    if account.status != "active":
        return
    last_us = now_us + within_us
    if account.expires_us is not None and _is_by(account.expires_us, last_us):
        yield Due(account.expires_us, account.id, "verification")
    for key in keys:
        if key.check(now_us) is Check.VALID and key.expires_us is not None and _is_by(key.expires_us, last_us):
            yield Due(key.expires_us, account.id, f"key {key.name or key.short}")


def _is_by(at_us: int, day_us: int) -> bool:
    """Say whether a time is no later than a day."""
    return days_until(at_us, day_us) <= 0
