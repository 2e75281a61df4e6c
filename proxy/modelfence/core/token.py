"""What a token of an identity provider says, once its signature is verified (RFC 7519; OpenID Connect Core 1.0).

Rule: a claim that is there and can't be read makes the whole token one that nobody knows. Only tokens that say for how
long they are valid are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from modelfence.core.account import SCREENINGS, STATUSES, Account, Check, versioned
from modelfence.core.bucket import SECOND_US
from modelfence.core.quick import quick

MAX_CHARACTERS = 256
"""Of an account's id and of any other text that is taken from a claim."""
_YEAR_2100_S = 4_102_444_800
_COUNTRY = re.compile(r"[A-Z]{2}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

type Claims = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a token is valid, and what is taken from it."""

    issuer: str
    audiences: frozenset[str]
    account: str = "sub"
    """The claim that names the account."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """By the names of an account's record, the claims that say them. Without any the directory alone says them."""
    leeway_us: int = 30 * SECOND_US
    """By how much the clocks of issuer and fence may differ."""


@quick
@dataclass(frozen=True, slots=True)
class Verified:
    """What a token proves: that its account calls, if `check` says that it is valid."""

    check: Check
    account_id: str = ""
    stated: Account | None = None
    """The account's record as the token states it; None where the directory has it."""


def judged(claims: Claims, terms: Terms, at_us: int) -> Check:
    """Say whether the token with these claims is valid at that time."""
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != terms.issuer or not any(one in terms.audiences for one in named if isinstance(one, str)):
        return Check.UNKNOWN
    times = {name: _time_us(claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
    expires_us = times.pop("exp", None)
    if expires_us is None or any(from_us is None or from_us > at_us + terms.leeway_us for from_us in times.values()):
        return Check.UNKNOWN
    return Check.EXPIRED if at_us >= expires_us + terms.leeway_us else Check.VALID


def expires_us(claims: Claims) -> int:
    """Return when the token of valid claims expires, in microseconds since the epoch."""
    return _time_us(claims["exp"]) or 0


def proved(claims: Claims, terms: Terms) -> Verified:
    """Return what valid claims prove of an account."""
    try:
        account_id = _text(claims.get(terms.account))
        stated = _stated(account_id, claims, terms.facts) if terms.facts else None
    except ValueError:
        return Verified(Check.UNKNOWN)
    return Verified(Check.VALID, account_id, stated)


def of_both(stated: Account, record: Account | None) -> Account:
    """Return an account as its token states it, and where that says nothing, as the directory does.

    It is active only where both say so: a directory can stop whomever the provider still gives tokens to.
    """
    if record is None:
        return stated
    said = {name: value for name in _STATED if (value := getattr(stated, name)) not in {None, ""}}
    status = stated.status if record.status == STATUSES[0] else record.status
    return versioned(replace(record, **{**said, "status": status}))


def _stated(account_id: str, claims: Claims, facts: Mapping[str, str]) -> Account:
    """Raises ValueError for claims that can't be read, and for a status that is not there."""
    said: dict[str, object] = {
        _FIELDS.get(fact, fact): FACTS[fact](claims[claim])
        for fact, claim in facts.items()
        if claims.get(claim) is not None
    }
    if "status" in facts and "status" not in said:
        raise ValueError
    # Without a tier the account has the lowest, as one has whose tier the policy does not know.
    return versioned(Account(**{"id": account_id, "status": STATUSES[0], "tier": "", **said}))  # type: ignore[arg-type]


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_CHARACTERS or not value.isprintable():
        raise ValueError
    return value


def _one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return read


def _country(value: object) -> str:
    if not isinstance(value, str) or not _COUNTRY.fullmatch(value):
        raise ValueError
    return value


def _date_us(value: object) -> int:
    """Return a time that is written as seconds since the epoch, or as a date, which is its midnight in UTC."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return int(datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()) * SECOND_US
    time_us = _time_us(value)
    if time_us is None:
        raise ValueError
    return time_us


def _time_us(value: object) -> int | None:
    """Return the time of a NumericDate (RFC 7519, section 2); None for what is none, or beyond the year 2100."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value * SECOND_US) if 0 <= value < _YEAR_2100_S else None


FACTS: Mapping[str, Callable[[object], object]] = {
    "status": _one_of(*STATUSES),
    "tier": _text,
    "country": _country,
    "verified": _date_us,
    "verified_by": _text,
    "expires": _date_us,
    "screening": _one_of(*SCREENINGS),
    "screened": _date_us,
    "purpose": _text,
    "payer": _text,
    "contact_domain": lambda value: _text(value).lower(),
    "signup_batch": _text,
}
"""What of an account's record a claim can say, by the names that the accounts file has for it."""
_FIELDS = {"verified": "verified_us", "expires": "expires_us", "screened": "screened_us"}
_STATED = tuple(_FIELDS.get(fact, fact) for fact in FACTS)
