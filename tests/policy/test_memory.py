"""Decisions run for months in one process: they must leave nothing behind."""

import resource
from datetime import UTC, datetime
from pathlib import Path

from modelfence.core.charge import Demand
from modelfence.core.decision import decide
from modelfence.core.facts import Facts
from modelfence.policy import compile_text

POLICY = """
version: 1
lists: {embargoed: [CU, IR, KP]}
access:
  - {id: a, deny: client.country in lists.embargoed}
  - {id: b, deny: 'account.labels.plan.matches("^t") || kyc.ownership["CN"] > 0.5'}
  - {id: c, deny: 'extraction.signals.exists(s, s == "x") || now < timestamp("2020-01-01T00:00:00Z")'}
  - {id: d, allow: kyc.tier >= tier.basic}
throttle:
  - {id: t, key: account.id + "/" + client.country, rate: 1 per second, cost: 1.0 + extraction.score}
"""
FACTS: Facts = {
    "client.country": "NO",
    "account.id": "acme",
    "account.labels": {"plan": "gold"},
    "kyc.ownership": {"NO": 1.0},
    "kyc.tier": 1,
    "extraction.signals": ["a", "b"],
    "extraction.score": 0.5,
    "now": datetime(2026, 3, 1, tzinfo=UTC),
}
RUNS = 5_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_binding_and_evaluating_leaves_nothing_behind():
    policy = compile_text(POLICY).policy
    assert policy is not None
    partly = {name: value for name, value in FACTS.items() if name != "kyc.ownership"}
    for _ in range(500):
        decide(policy, FACTS, Demand())
        decide(policy, partly, Demand())
    before = resident_bytes()
    for _ in range(RUNS // 2):
        decide(policy, FACTS, Demand())
        decide(policy, partly, Demand())
    # A leak of 50 bytes in each of these decisions' ten evaluations would show.
    assert resident_bytes() - before < RUNS * 10 * 50
