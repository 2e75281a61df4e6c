"""Calls that were judged, and some that have ended, with something to say under every name of a line."""

from dataclasses import replace

from tests.enforcement.outside import ACME, NOON_US, call

from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.call import Call, Reading, Usage
from modelfence.core.charge import Charge, Taken, Unit
from modelfence.core.decision import Decision, Effect
from modelfence.core.extraction import Extraction, Prompt
from modelfence.enforcement.ports import Judged, Settled
from modelfence.enforcement.reservation import Reservation

SECRET = "the passphrase of the vault is seven blue herons"
GEO_BUILT_S = {"country": 1_793_491_200.0}
CHARGES = (
    Charge("requests", "acme", Rate(60, PERIODS_US["minute"], 60), 1.9),
    Charge("tokens", "acme", Rate(9000, PERIODS_US["day"], 9000), 256.0, Unit.OUTPUT_TOKENS, shadow=True),
)
USED = Usage(812, 143, cached_tokens=7, reasoning_tokens=9, estimated=True)
DENIED = Decision(
    Effect.DENY,
    "p0licy",
    rules=("embargoed",),
    unknown=("client.country",),
    message="This is not told to the log.",
)
ALLOWED = Decision(
    Effect.ALLOW, "p0licy", rules=("everyone",), would=Effect.DENY, shadow_rules=("trial",), charges=CHARGES
)
THROTTLED = Decision(Effect.THROTTLE, "p0licy", rules=("requests",), retry_after_us=1_500_000)


def nth(n: int, **changes) -> Call:
    """Return a call that arrived so many seconds after noon."""
    reading = Reading("chat", "gpt-4o", prompt=Prompt(system=(SECRET,), user=(SECRET,)))
    return call("sk-acme", **{"id": f"c{n}", "at_us": NOON_US + n * 1_000_000 + 1, "reading": reading, **changes})


def judged(of: Call, decision: Decision = ALLOWED, account: Account | None = ACME, country="US") -> Judged:
    return Judged(
        call=replace(of, body=SECRET.encode()),
        decision=decision,
        found=UNKNOWN if account is None else Found(Check.VALID, account),
        country=country,
        tier="basic" if account else "none",
        taken=Taken(),
        reservation=Reservation(of.id, decision.charges if decision.admitted else ()),
        caller=None,
        extraction=Extraction(0.25, (("judge_rubric", 0.25),), "k1"),
        took_us=0,
        decided_us=0,
    )


def settled(of: Call, usage: Usage | None = USED, status: int | None = 200) -> Settled:
    return Settled(judged(of), usage, status)
