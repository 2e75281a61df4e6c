"""A rule as text, with the value of each part of its conditions."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelfence.core.facts import Facts
from modelfence.policy.compile import compile_text
from modelfence.policy.explain import explain
from modelfence.workbench.explaining.tree import lines_of

GOLDEN = Path(__file__).parent / "golden"
POLICY = """\
version: 1
lists:
  embargoed: [CU, IR, KP]
  research: [o3-deep-research, o4-mini-deep-research]
  many: [AA, AB, AC, AD, AE, AF, AG, AH, AI, AJ, AK]
access:
  - id: owned
    deny: kyc.tier >= tier.verified && kyc.owned_by.embargoed > 0.5
  - id: embargoed
    deny: client.country in lists.embargoed
  - id: many
    deny: client.country in lists.many
  - id: research
    deny: lists.research.exists(name, request.model.startsWith(name)) && kyc.tier < tier.verified
  - id: nested
    deny: kyc.tier < tier.enhanced && (client.anonymous || client.hosting || client.country == "XX") && !(client.eu || client.vpn)
  - id: long
    deny: >-
      request.operation in ["batch", "files", "tuning", "embeddings", "responses", "completion", "image", "audio",
      "moderation"]
  - id: several-lines
    deny: |-
      now > timestamp("2026-01-01T00:00:00Z")  // since then
      || size(extraction.signals) > 2
  - id: map
    deny: account.labels.plan == "free" || has(account.labels.trial)
  - id: customers
    allow: kyc.status == "active" && !kyc.expired
  - id: europe
    allow: client.eu
    mode: shadow
reshape:
  - id: always
    cap: {choices: 1}
throttle:
  - id: campaign
    key: 'extraction.cohort != "" ? extraction.cohort : account.id'
    rate: 10 per day
    cost: 1.0 + 9.0 * extraction.score
  - id: large
    when: request.input_tokens > 1000
    key: account.id
    rate: 10 per day
"""
FACTS: Facts = {
    "kyc.tier": 2, "kyc.owned_by.embargoed": 0.25, "client.country": "NO", "kyc.status": "active", "kyc.expired": False,
    "extraction.cohort": "", "extraction.score": 0.5, "request.input_tokens": 2000, "account.id": "acme",
    "account.labels": {"plan": "gold"}, "request.model": "gpt-4o", "request.operation": "chat",
    "extraction.signals": ["judge", "no_turns"], "now": datetime(2026, 11, 29, 12, tzinfo=UTC),
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 120])
def test_rules_are_shown_with_the_value_beneath_each_name(width):
    compiled = compile_text(POLICY).policy
    rules = [lines_of(one, width, tiers=compiled.tiers) for one in explain(compiled, FACTS)]
    assert "\n\n".join("\n".join(lines) for lines in rules) + "\n" == (GOLDEN / f"rules_{width}.txt").read_text()
    assert all(len(line) <= width for lines in rules for line in lines)


def test_what_would_steer_a_terminal_is_not_shown():
    policy = 'version: 1\naccess: [{id: model, allow: request.model == "x"}]'
    [explained] = explain(compile_text(policy).policy, {"request.model": "\x1b[31mred\n"})
    assert all(line.isprintable() for line in lines_of(explained))


def test_values_that_are_longer_than_the_names_above_stand_side_by_side():
    policy = "version: 1\naccess: [{id: model, allow: request.model == request.path}]"
    facts: Facts = {"request.model": "claude-sonnet-4-5-20250929", "request.path": "/v1/messages"}
    [explained] = explain(compile_text(policy).policy, facts)
    assert lines_of(explained)[-1] == '         "claude-sonnet-4-5-20250929"  "/v1/messages"'
