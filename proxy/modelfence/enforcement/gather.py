"""From a call, its account and its place to the facts a policy reads. What is not known is left out."""

from datetime import UTC, datetime

from modelfence.core.account import Account, owned_from
from modelfence.core.call import Call
from modelfence.core.charge import Demand
from modelfence.core.client_address import network_of
from modelfence.core.control import control_of
from modelfence.core.dates import DAY_US
from modelfence.core.extraction import Caller, Extraction
from modelfence.core.facts import WITHOUT_ACCOUNT, Facts, FactValue
from modelfence.core.policy import Policy
from modelfence.enforcement.ports import Location


def gather(  # noqa: PLR0913 - what is known of a call, by keyword
    call: Call,
    account: Account | None,
    location: Location,
    policy: Policy,
    *,
    extraction: Extraction,
    geo_built_s: int,
) -> Facts:
    """Return the facts of a call. A name that is absent is unknown. `geo_built_s` is when the countries were."""
    known: dict[str, FactValue | None] = {
        "now": datetime.fromtimestamp(call.at_us / 1_000_000, UTC),
        "client.ip": call.client_ip,
        **location.facts,
        # A recording may be older than the databases it is replayed with.
        "geo.database_age_days": max(0, call.at_us - geo_built_s * 1_000_000) // DAY_US,
        **_of_account(call, account, policy, extraction),
        **_of_request(call),
        **_of_extraction(extraction),
    }
    return {name: value for name, value in known.items() if value is not None}


def as_read_by(policy: Policy, facts: Facts, call: Call, account: Account | None) -> Facts:
    """Return a call's facts, gathered for one policy, as another one reads them: by its own tiers and lists."""
    return {**facts, "kyc.tier": policy.tier(tier_of(call, account, policy)), **_owned_by(account, policy)}


def tier_of(call: Call, account: Account | None, policy: Policy) -> str:
    """Return the name of the tier that counts: the lowest without an account, and once it has expired."""
    if account is None or account.expired(call.at_us) or account.tier not in policy.tiers:
        return policy.tiers[0]
    return account.tier


def caller_of(call: Call, account: Account | None, location: Location, policy: Policy) -> Caller:
    """Return who calls, for detection. Without an account the address stands for one, or the network of an IPv6 one."""
    tier = tier_of(call, account, policy)
    return Caller(
        id=account.id if account else f"({network_of(call.client_ip)})",
        tier=tier,
        is_verified=2 * policy.tier(tier) >= len(policy.tiers),
        country=location.country or "",
        control=control_of(account),
    )


def _of_extraction(extraction: Extraction) -> dict[str, FactValue | None]:
    return {
        "extraction.score": extraction.score,
        "extraction.signals": list(extraction.signals),
        "extraction.cohort": extraction.cohort,
        "extraction.cohort_accounts": extraction.cohort_accounts,
    }


def _of_account(
    call: Call, account: Account | None, policy: Policy, extraction: Extraction
) -> dict[str, FactValue | None]:
    tier = policy.tier(tier_of(call, account, policy))
    if account is None:
        return {**WITHOUT_ACCOUNT, "kyc.tier": tier}
    recent = extraction.recent_countries
    facts: dict[str, FactValue | None] = {
        "account.id": account.id,
        "account.labels": account.labels,
        "account.payer": account.payer,
        "account.contact_domain": account.contact_domain,
        "account.signup_batch": account.signup_batch,
        "account.recent_countries": None if recent is None else list(recent),
        "kyc.tier": tier,
        "kyc.status": account.status,
        "kyc.country": account.country,
        "kyc.ownership": account.ownership,
        "kyc.screening": account.screening,
        "kyc.expired": account.expired(call.at_us),
        "kyc.purpose": account.purpose,
        "kyc.verified_by": account.verified_by,
        "kyc.days_since_verified": _days_since(account.verified_us, call.at_us),
        "kyc.days_since_screened": _days_since(account.screened_us, call.at_us),
    }
    facts.update(_owned_by(account, policy))
    return facts


def _owned_by(account: Account | None, policy: Policy) -> dict[str, float]:
    """Return the share owned from each list for which the policy asks; nothing where no owners are known."""
    if account is None or account.ownership is None:
        return {}
    return {f"kyc.owned_by.{name}": owned_from(policy.lists[name], account.ownership) for name in policy.owned_by}


def _days_since(then_us: int | None, now_us: int) -> int | None:
    """Return the whole days; 0 for what is to come."""
    return None if then_us is None else max(0, now_us - then_us) // DAY_US


def _of_request(call: Call) -> dict[str, FactValue | None]:
    reading = call.reading
    limit = reading.output_tokens
    if limit is None and call.max_output_tokens is not None:
        limit = call.max_output_tokens * (reading.choices or 1)
    return {
        "request.provider": call.provider,
        "request.operation": reading.operation,
        "request.model": reading.model,
        "request.stream": reading.stream,
        "request.logprobs": reading.logprobs,
        "request.logit_bias": reading.logit_bias,
        "request.choices": reading.choices,
        "request.tools": reading.tools,
        "request.reasoning": reading.reasoning,
        "request.input_tokens": reading.input_tokens,
        "request.output_tokens": limit,
        "request.path": call.path,
        "request.method": call.method,
        "request.bytes": call.bytes,
    }


def demand_of(call: Call, *, step_tokens: int, expected_tokens: int) -> Demand:
    """Return what to reserve before the answer is known, in tokens.

    A stream can be looked at on its way, so it reserves one step, or less where it says that it wants less. A plain
    answer reserves the limit the call names, and for each of its choices `expected_tokens` where it names none. What
    more is used is charged on the way, or when the answer has ended.
    """
    reading = call.reading
    stated = reading.output_tokens
    if reading.stream:
        output = step_tokens if stated is None else min(step_tokens, stated)
    else:
        output = expected_tokens * max(1, reading.choices or 1) if stated is None else stated
    return Demand(input_tokens=reading.least_input_tokens, output_tokens=output)
