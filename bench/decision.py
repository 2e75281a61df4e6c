"""What a decision costs, from facts to `Decision`, without any I/O: p50 and p99 in microseconds.

Run: python bench/decision.py
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime

from modelfence.core.charge import Demand
from modelfence.core.decision import decide
from modelfence.core.facts import Facts
from modelfence.core.policy import Policy
from modelfence.policy import compile_text

ROUNDS = 20_000

FACTS: Facts = {
    "client.ip": "192.0.2.7",
    "client.country": "NO",
    "client.continent": "EU",
    "client.asn": 2119,
    "client.network": "Telenor",
    "client.anonymous": False,
    "client.hosting": False,
    "account.id": "acme",
    "account.labels": {"plan": "gold"},
    "kyc.tier": 2,
    "kyc.status": "active",
    "kyc.country": "NO",
    "kyc.ownership": {"NO": 1.0},
    "kyc.owned_by.embargoed": 0.0,
    "kyc.screening": "clear",
    "kyc.expired": False,
    "kyc.purpose": "customer-support",
    "request.provider": "openai",
    "request.operation": "chat",
    "request.model": "gpt-4o",
    "request.output_tokens": 512,
    "request.path": "/v1/chat/completions",
    "request.method": "POST",
    "now": datetime(2026, 3, 1, tzinfo=UTC),
}

DENIES = (
    "client.country in lists.embargoed",
    "kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5",
    'request.model == "model-{n}" && kyc.tier < tier.verified',
    'kyc.screening == "hit"',
    'account.labels["plan"] == "trial-{n}" && request.output_tokens > 1000',
)


def policy_of(rules: int) -> Policy:
    """Return a policy of that many rules: a fifth of them allows, reshapes and throttles, the rest denies."""
    others = max(3, rules // 5)
    throttles = others // 3
    lines = ["version: 1", "lists: {embargoed: [CU, IR, KP, SY]}", "access:"]
    for n in range(rules - 2 * throttles - 1):
        lines += [f"  - id: deny-{n}", f"    deny: {DENIES[n % len(DENIES)].format(n=n)}"]
    lines += ["  - {id: allow, allow: 'kyc.status == \"active\" && kyc.tier >= tier.basic'}", "reshape:"]
    for n in range(throttles):
        lines += [f"  - {{id: reshape-{n}, when: kyc.tier < tier.enhanced, remove: [logprobs]}}"]
    lines += ["throttle:"]
    for n in range(throttles):
        lines += [f"  - {{id: throttle-{n}, when: kyc.tier < tier.enhanced, key: account.id, rate: 60 per minute}}"]
    policy = compile_text("\n".join(lines)).policy
    assert policy is not None
    assert len(policy.rules()) == rules
    return policy


def measured[*A](work: Callable[[*A], object], *given: *A) -> tuple[float, float]:
    """Return p50 and p99 of one run in microseconds."""
    took = []
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        work(*given)
        took.append((time.perf_counter_ns() - started) / 1_000)
    cuts = statistics.quantiles(took, n=100)
    return cuts[49], cuts[98]


def main() -> None:
    for rules in (25, 250):
        policy = policy_of(rules)
        demand = Demand(input_tokens=100, output_tokens=256)
        assert decide(policy, FACTS, demand).admitted
        bind = measured(policy.bind, FACTS)
        whole = measured(decide, policy, FACTS, demand)
        print(f"{rules} rules: bind p50 {bind[0]:.1f} µs p99 {bind[1]:.1f} µs", end="; ")
        print(f"decide p50 {whole[0]:.1f} µs p99 {whole[1]:.1f} µs")


if __name__ == "__main__":
    main()
