"""The throttle by payer that docs/throttles.md shows: who shares a bucket with whom."""

import re
from pathlib import Path
from typing import Any

import pytest

from modelfence.core.charge import Demand
from modelfence.core.decision import decide
from modelfence.core.policy import UNKNOWN_KEY
from modelfence.policy.compile import compile_text

PAGE = Path(__file__).parents[2] / "docs" / "throttles.md"
[SHOWN] = re.findall(r"^```yaml\n(version: 1\n.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
NONE, BASIC, VERIFIED = 0, 1, 2


def keys(tier: int, *, status: str = "active", **account: str) -> list[str]:
    """Return the keys under which a call of an account with these facts is charged."""
    compiled = compile_text(SHOWN + "access: [{id: all, allow: 'true'}]\n")
    assert compiled.problems == ()
    facts: dict[str, Any] = {
        "kyc.tier": tier,
        "kyc.status": status,
        **{f"account.{name}": value for name, value in account.items()},
    }
    return [charge.key for charge in decide(compiled.policy, facts, Demand(1, 1)).charges]


@pytest.mark.parametrize(
    ("tier", "account", "key"),
    [
        (VERIFIED, {"id": "a", "payer": "acme"}, "payer acme"),
        (VERIFIED, {"id": "b", "payer": "acme"}, "payer acme"),
        (BASIC, {"id": "acme", "payer": "acme"}, "account acme"),
        (BASIC, {"id": "c"}, "account c"),
        (VERIFIED, {"id": "d"}, UNKNOWN_KEY),
    ],
)
def test_verified_accounts_are_charged_by_payer_and_others_by_themselves(tier, account, key):
    assert keys(tier, **account) == [key]


def test_callers_without_an_account_are_not_charged_together():
    assert keys(NONE, status="unknown") == []
