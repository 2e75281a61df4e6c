"""What a line of the audit log says of a call: everything that is evidence, and no word of a prompt or an answer.

Every name is always there; `null` is what is not known, or makes no sense for this call. The chain's own names
(`seq`, `prev`, `hash`) are put around it by `chain`.
"""

import functools
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from modelfence.core.call import CredentialState, Usage
from modelfence.core.charge import Charge
from modelfence.core.decision import Decision
from modelfence.core.policy import RuleKind
from modelfence.enforcement.ports import Judged, Settled

MODEL_CHARACTERS = 128
"""Of a model's name, which is whatever the caller wrote."""
_KEY_DIGITS = 12
_ADDRESS_DIGITS = 32
_DATABASES = ("country", "asn", "anonymous")
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, slots=True)
class Lines:
    """Says in lines what became of calls of one worker. With `address_key`, addresses are hashed with it."""

    worker: int = 0
    address_key: bytes | None = None

    def fields(self, judged: Judged, settled: Settled | None, geo_built_s: Mapping[str, float]) -> bytes:
        """Return the members of a line, a JSON object without its braces.

        `settled` is None for a call that was refused, and for one whose end was not seen.
        """
        call, decision, account = judged.call, judged.decision, judged.account
        usage = settled.usage if settled else None
        extraction = judged.extraction
        fields = {
            "ts": call.at_us / 1_000_000,
            "id": call.id,
            "worker": self.worker,
            "effect": decision.effect,
            "settled": settled is not None if decision.admitted else None,
            "status": settled.status if settled else None,
            "account": account.id if account else None,
            "account_version": account.version if account else None,
            "key": _key(judged),
            "credential": judged.found.check,
            "tier": judged.tier,
            "kyc_status": account.status if account else "unknown",
            "address": call.client_ip if self.address_key is None else None,
            "address_hash": None if self.address_key is None else address_hash(self.address_key, call.client_ip),
            "country": judged.country,
            "provider": call.provider,
            "operation": call.reading.operation,
            "model": None if call.reading.model is None else call.reading.model[:MODEL_CHARACTERS],
            "rules": decision.rules,
            "unknown": decision.unknown,
            "would": decision.would,
            "shadow_rules": decision.shadow_rules,
            "charges": [_charge(one, usage, is_over=settled is not None) for one in judged.reservation.charges],
            "retry_after": decision.retry_after,
            "usage": None if usage is None else _usage(usage),
            "extraction": {
                "score": round(extraction.score, 6),
                "signals": extraction.signals,
                "cohort": extraction.cohort or None,
            },
            "policy": decision.policy_hash,
            "candidate": _candidate(judged),
            "geo": {name: _day(geo_built_s.get(name)) for name in _DATABASES},
        }
        return _encode(fields)[1:-1].encode()


def address_hash(key: bytes, address: str) -> str:
    """Return what stands for an address: the first 32 digits of its HMAC-SHA256."""
    return hmac.digest(key, address.encode(), "sha256").hex()[:_ADDRESS_DIGITS]


def _key(judged: Judged) -> str | None:
    """Return enough of the credential's digest to tell which of an account's keys it was."""
    credential = judged.call.credential
    if credential.state is not CredentialState.PRESENTED:
        return None
    return credential.digest.removeprefix("sha256:")[:_KEY_DIGITS]


def _candidate(judged: Judged) -> Mapping[str, object] | None:
    """Return what the candidate said, and the live policy, whichever acted; None where only one was asked."""
    said = judged.live_and_candidate
    if said is None:
        return None
    live, candidate = said
    return {"acted": judged.candidate_acted, **_said(candidate), "live": _said(live)}


def _said(decision: Decision) -> Mapping[str, object]:
    return {
        "policy": decision.policy_hash,
        "effect": decision.effect,
        "rules": decision.rules,
        "unknown": decision.unknown,
        "reshape": [
            step.rule.id
            for step in decision.trace
            if decision.admitted and step.rule.kind is RuleKind.RESHAPE and not step.rule.shadow
        ],
    }


def _charge(charge: Charge, usage: Usage | None, *, is_over: bool) -> Mapping[str, object]:
    """Return what was reserved of a bucket, and what was charged in the end: null while that is not known."""
    if not charge.is_reserved:
        charged: float | None = charge.amount
    elif is_over:
        charged = charge.cost(usage.demand()) if usage else 0.0
    else:
        charged = None
    return {
        "throttle": charge.throttle,
        "unit": charge.unit,
        "reserved": round(charge.amount, 6),
        "charged": None if charged is None else round(charged, 6),
        "shadow": charge.shadow,
    }


def _usage(usage: Usage) -> Mapping[str, object]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "estimated": usage.estimated,
    }


@functools.lru_cache(64)
def _day(built_s: float | None) -> str | None:
    return None if built_s is None else f"{datetime.fromtimestamp(built_s, UTC):%Y-%m-%d}"
