"""The facts of a made-up call as a page's form has them: names and values in JSON, with null for what is unknown.

The form is the table of facts. What no form can say is worked out: `kyc.owned_by.LIST` from `kyc.ownership`.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from modelfence.core.account import owned_from
from modelfence.core.countries import COUNTRIES, KOSOVO
from modelfence.core.facts import FACTS, Fact, Facts, FactType, FactValue
from modelfence.core.policy import Policy
from modelfence.workbench.studio.protection import BadRequestError

TIER = "kyc.tier"
OWNERSHIP = "kyc.ownership"
CODES = tuple(sorted({*COUNTRIES, KOSOVO}))
_INT64 = 1 << 63

CHOICES: Mapping[str, tuple[str, ...]] = {
    **{fact.name: fact.values for fact in FACTS if fact.values and fact.type is FactType.STRING},
    "client.country": CODES,
    "client.registered_country": CODES,
    "kyc.country": CODES,
    "request.method": ("POST", "GET", "PUT", "PATCH", "DELETE"),
}
"""What a fact is one of. A form may offer these and take others too: a policy is asked about whatever comes."""

ORDINARY: Facts = {
    "client.ip": "198.51.100.7",
    "client.country": "US",
    "client.registered_country": "US",
    "client.continent": "NA",
    "client.eu": False,
    "client.anonymous": False,
    "client.hosting": False,
    "geo.database_age_days": 7,
    "account.id": "acme",
    "account.labels": {},
    "account.recent_countries": ["US"],
    "kyc.status": "active",
    "kyc.country": "US",
    "kyc.ownership": {"US": 1.0},
    "kyc.screening": "clear",
    "kyc.expired": False,
    "request.provider": "openai",
    "request.operation": "chat",
    "request.model": "gpt-4o",
    "request.stream": False,
    "request.logprobs": False,
    "request.logit_bias": 0,
    "request.choices": 1,
    "request.tools": 0,
    "request.reasoning": False,
    "request.input_tokens": 800,
    "request.output_tokens": 1000,
    "request.path": "/v1/chat/completions",
    "request.method": "POST",
    "request.bytes": 3200,
    "extraction.score": 0.0,
    "extraction.signals": [],
    "extraction.cohort": "",
    "extraction.cohort_accounts": 0,
}
"""The call a form begins with: an ordinary chat of an active customer. What is not here is unknown, or told below."""


def fields() -> list[dict[str, object]]:
    """Return the form's fields: every fact, with what it is and what it may be."""
    return [
        {
            "name": fact.name,
            "type": fact.type,
            "what": fact.description,
            "always": fact.always,
            "choices": list(CHOICES.get(fact.name, ())),
            "value": ORDINARY.get(fact.name),
        }
        for fact in FACTS
    ]


def facts_of(asked: Mapping[str, Any], policy: Policy) -> dict[str, FactValue]:
    """Return the facts that a form states. A tier is stated by name. Raises BadRequestError.

    What is known of every call has a value even if the form has none: the lowest tier, now, or what is ordinary.
    """
    stated = asked.get("facts", {})
    if not isinstance(stated, dict):
        raise BadRequestError("The facts are not what the page sends.")
    facts: dict[str, FactValue] = {}
    for fact in FACTS:
        value = stated.get(fact.name)
        if fact.name == TIER:
            facts[TIER] = policy.tier(value) if isinstance(value, str) else 0
        elif value is not None:
            facts[fact.name] = _read(fact, value)
        elif fact.always:
            facts[fact.name] = ORDINARY.get(fact.name, datetime.now(UTC))
    ownership = facts.get(OWNERSHIP)
    if isinstance(ownership, Mapping):
        shares = {country: float(share) for country, share in ownership.items()}
        for name in policy.owned_by:
            facts[f"kyc.owned_by.{name}"] = owned_from(policy.lists[name], shares)
    return facts


def _read(fact: Fact, value: object) -> FactValue:
    try:
        return _READERS[fact.type](value)
    except (TypeError, ValueError, OverflowError):
        raise BadRequestError(f"{fact.name}: {_EXPECTED[fact.type]} is expected.") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # half a surrogate pair can't be, and UnicodeEncodeError is a ValueError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_INT64 <= value < _INT64:
        raise TypeError
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise TypeError
    return float(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _time(value: object) -> datetime:
    when = datetime.fromisoformat(_text(value))
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError
    return [_text(item) for item in value]


def _mapping[T](value: object, read: Callable[[object], T]) -> dict[str, T]:
    if not isinstance(value, dict):
        raise TypeError
    return {_text(name): read(item) for name, item in value.items()}


_READERS: Mapping[FactType, Callable[[object], FactValue]] = {
    FactType.STRING: _text,
    FactType.INT: _whole,
    FactType.DOUBLE: _number,
    FactType.BOOL: _truth,
    FactType.TIMESTAMP: _time,
    FactType.STRINGS: _texts,
    FactType.TEXT_BY_NAME: lambda value: _mapping(value, _text),
    FactType.SHARE_BY_COUNTRY: lambda value: _mapping(value, _number),
}
_EXPECTED: Mapping[FactType, str] = {
    FactType.STRING: "a text",
    FactType.INT: "a whole number",
    FactType.DOUBLE: "a number",
    FactType.BOOL: "yes or no",
    FactType.TIMESTAMP: "a time such as 2026-01-31T12:00",
    FactType.STRINGS: "a list of texts",
    FactType.TEXT_BY_NAME: "names with a text each, such as plan: gold",
    FactType.SHARE_BY_COUNTRY: "countries with a share each, such as US: 0.6",
}
