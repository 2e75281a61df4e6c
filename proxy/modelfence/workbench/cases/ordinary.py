"""What a case need not give: facts are those of an ordinary chat of a caller without an account, from nowhere known.

Rule: whatever may be unknown of a call is unknown until it is given, except what the fence reads in every chat.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelfence.core.account import owned_from
from modelfence.core.call import Call, Credential, CredentialState, Reading
from modelfence.core.charge import Demand
from modelfence.core.facts import WITHOUT_ACCOUNT, Facts, FactValue
from modelfence.core.policy import Policy
from modelfence.enforcement.gather import demand_of
from modelfence.settings import Limits

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
"""When cases happen that do not give `now`: a Monday at noon."""
INPUT_TOKENS, OUTPUT_TOKENS = 100, 200
"""What a call sends, and what one that sets no limit is expected to be answered with, and so reserves."""

ORDINARY: Facts = {
    "now": NOW,
    "client.ip": "192.0.2.1",
    "geo.database_age_days": 0,
    **WITHOUT_ACCOUNT,
    "kyc.tier": 0,
    "request.provider": "openai",
    "request.operation": "chat",
    "request.path": "/v1/chat/completions",
    "request.method": "POST",
    "request.bytes": 400,
    "request.stream": False,
    "request.logprobs": False,
    "request.logit_bias": 0,
    "request.choices": 1,
    "request.tools": 0,
    "request.reasoning": False,
    "request.input_tokens": INPUT_TOKENS,
    "extraction.score": 0.0,
    "extraction.signals": [],
    "extraction.cohort": "",
    "extraction.cohort_accounts": 0,
}
_READ = (
    "operation", "model", "stream", "logprobs", "logit_bias", "choices", "tools", "reasoning", "input_tokens",
    "output_tokens",
)  # fmt: skip
_OWNED_BY = "kyc.owned_by."


def completed(given: Mapping[str, FactValue | None], policy: Policy) -> Facts:
    """Return all facts of a call of which these are given; None is unknown.

    What follows from others is worked out as it is live: the shares owned from the policy's lists from
    `kyc.ownership`, and the countries an account called from from the one it calls from now.
    """
    found: dict[str, FactValue | None] = {**ORDINARY, **given}
    if found.get("account.id") is not None and "account.recent_countries" not in given:
        country = found.get("client.country")
        found["account.recent_countries"] = [country] if isinstance(country, str) else []
    ownership = found.get("kyc.ownership")
    if isinstance(ownership, Mapping):
        shares = {country: float(share) for country, share in ownership.items()}
        for name in policy.owned_by:
            found.setdefault(f"{_OWNED_BY}{name}", owned_from(policy.lists[name], shares))
    return {name: value for name, value in found.items() if value is not None}


def call_of(facts: Facts, *, call_id: str, at_us: int) -> Call:
    """Return a call that these are the facts of, as far as charging asks."""
    read: dict[str, Any] = {name: facts.get(f"request.{name}") for name in _READ}
    said: dict[str, Any] = {name: facts[f"request.{name}"] for name in ("provider", "method", "path", "bytes")}
    return Call(
        id=call_id,
        at_us=at_us,
        client_ip=str(facts["client.ip"]),
        credential=Credential(CredentialState.MISSING),
        reading=Reading(**read, seen_input_tokens=INPUT_TOKENS),
        **said,
    )


def demand(call: Call) -> Demand:
    """Return what such a call reserves, as `enforcement.gather` says, with the settings' own step for streams."""
    return demand_of(call, step_tokens=Limits().step_tokens, expected_tokens=OUTPUT_TOKENS)
