"""How a policy decides: each case is a policy as its author writes it, facts, and what comes of them."""

import pytest

from modelfence.core.charge import Balance, Charge, Demand, Refused, Taken
from modelfence.core.decision import Decision, Effect, charged, decide, nobody_unknown_is_let_in
from modelfence.core.facts import Facts
from modelfence.core.policy import UNKNOWN_KEY, Policy, Reshaping, Unknown
from modelfence.policy import compile_text

ALLOW_ALL = "  - {id: all, allow: 'true'}\n"


def policy(text: str) -> Policy:
    compiled = compile_text(f"version: 1\n{text}")
    assert compiled.policy, [problem.render() for problem in compiled.problems]
    return compiled.policy


def access(*rules: str, mode: str = "enforce") -> Policy:
    return policy(f"mode: {mode}\naccess:\n" + "".join(f"  - {rule}\n" for rule in rules))


def throttle(*rules: str, mode: str = "enforce") -> Policy:
    return policy(f"mode: {mode}\naccess:\n{ALLOW_ALL}throttle:\n" + "".join(f"  - {rule}\n" for rule in rules))


def decided(by: Policy, facts: Facts, demand: Demand | None = None) -> Decision:
    return decide(by, facts, demand or Demand(input_tokens=100, output_tokens=200))


# Access

EXPIRED, HOSTED, KNOWN = (
    "{id: expired, deny: kyc.expired}",
    "{id: hosted, deny: client.hosting}",
    "{id: known, allow: kyc.tier > 0}",
)


@pytest.mark.parametrize(
    ("rules", "facts", "effect", "because", "unknown"),
    [
        ([], {}, "deny", (), ()),
        ([KNOWN], {"kyc.tier": 1}, "allow", ("known",), ()),
        ([KNOWN], {"kyc.tier": 0}, "deny", (), ()),
        ([KNOWN], {}, "deny", (), ("kyc.tier",)),
        ([KNOWN, "{id: all, allow: 'true'}"], {}, "allow", ("all",), ()),
        ([KNOWN, "{id: all, allow: 'true'}"], {"kyc.tier": 1}, "allow", ("known", "all"), ()),
        ([EXPIRED, KNOWN], {"kyc.tier": 1, "kyc.expired": False}, "allow", ("known",), ()),
        ([EXPIRED, KNOWN], {"kyc.tier": 1, "kyc.expired": True}, "deny", ("expired",), ()),
        ([KNOWN, EXPIRED], {"kyc.tier": 1, "kyc.expired": True}, "deny", ("expired",), ()),
        ([EXPIRED, KNOWN], {"kyc.tier": 1}, "deny", ("expired",), ("kyc.expired",)),
        ([EXPIRED, HOSTED], {"kyc.expired": True}, "deny", ("expired", "hosted"), ("client.hosting",)),
        ([EXPIRED, KNOWN], {"kyc.expired": True}, "deny", ("expired",), ()),
    ],
)
def test_a_deny_wins_and_otherwise_one_allow_is_needed(rules, facts, effect, because, unknown):
    decision = decided(access(*rules), facts)
    assert (decision.effect, decision.rules, decision.unknown) == (effect, because, unknown)
    assert (decision.would, decision.shadow_rules) == (None, ())
    assert decision.admitted is (effect == "allow")


def test_the_trace_holds_the_rules_that_applied_and_those_that_might_have():
    decision = decided(access(EXPIRED, HOSTED, KNOWN, "{id: all, allow: 'false'}"), {"client.hosting": False})
    assert [(step.rule.id, step.applied, step.unknown) for step in decision.trace] == [
        ("expired", True, Unknown(("kyc.expired",), "`kyc.expired` is unknown")),
        ("known", False, Unknown(("kyc.tier",), "`kyc.tier` is unknown")),
    ]


def test_a_decision_names_its_policy():
    fence = access(KNOWN)
    assert decided(fence, {"kyc.tier": 1}).policy_hash == fence.hash


@pytest.mark.parametrize(
    ("facts", "message", "help_url"),
    [
        ({"kyc.expired": True, "client.hosting": False}, None, None),
        ({"kyc.expired": False, "client.hosting": True}, "Not from there.", "https://example.com/hosting"),
        ({"kyc.expired": True, "client.hosting": True}, "Not from there.", "https://example.com/hosting"),
        ({"kyc.expired": False, "client.hosting": False}, None, None),
    ],
)
def test_the_caller_is_told_what_the_first_rule_with_a_message_says(facts, message, help_url):
    spoken = "{id: hosted, deny: client.hosting, message: Not from there., help_url: https://example.com/hosting}"
    decision = decided(access(EXPIRED, spoken), facts)
    assert (decision.effect, decision.message, decision.help_url) == ("deny", message, help_url)


# Shadow

SHADOW_DENY = "{id: trial, deny: client.hosting, mode: shadow}"
SHADOW_ALLOW = "{id: opening, allow: client.hosting, mode: shadow}"


@pytest.mark.parametrize(
    ("rules", "facts", "outcome", "would"),
    [
        ([SHADOW_DENY, KNOWN], {"client.hosting": True, "kyc.tier": 1}, ("allow", ("known",)), ("deny", ("trial",))),
        ([SHADOW_DENY, KNOWN], {"client.hosting": False, "kyc.tier": 1}, ("allow", ("known",)), (None, ())),
        ([SHADOW_DENY, KNOWN], {"client.hosting": True, "kyc.tier": 0}, ("deny", ()), (None, ())),
        ([SHADOW_DENY, EXPIRED], {"client.hosting": True, "kyc.expired": True}, ("deny", ("expired",)), (None, ())),
        ([SHADOW_ALLOW], {"client.hosting": True}, ("deny", ()), ("allow", ("opening",))),
        ([SHADOW_ALLOW, EXPIRED], {"client.hosting": True, "kyc.expired": True}, ("deny", ("expired",)), (None, ())),
    ],
)
def test_a_rule_in_shadow_says_what_would_be_and_changes_nothing(rules, facts, outcome, would):
    decision = decided(access(*rules), facts)
    assert (decision.effect, decision.rules) == outcome
    assert (decision.would, decision.shadow_rules) == would


def test_a_policy_in_shadow_says_which_facts_its_allows_lacked():
    decision = decided(access(KNOWN, mode="shadow"), {})
    assert (decision.effect, decision.would, decision.unknown) == ("allow", "deny", ("kyc.tier",))


@pytest.mark.parametrize(
    ("facts", "because", "would", "shadow_rules"),
    [
        ({"kyc.expired": True, "kyc.tier": 1}, ("known",), "deny", ("expired",)),
        ({"kyc.expired": True, "kyc.tier": 0}, (), "deny", ("expired",)),
        ({"kyc.expired": False, "kyc.tier": 0}, (), "deny", ()),
        ({"kyc.expired": False, "kyc.tier": 1}, ("known",), None, ()),
    ],
)
def test_a_policy_in_shadow_lets_every_call_through(facts, because, would, shadow_rules):
    decision = decided(access(EXPIRED, KNOWN, mode="shadow"), facts)
    assert (decision.effect, decision.rules) == ("allow", because)
    assert (decision.would, decision.shadow_rules, decision.message) == (would, shadow_rules, None)


# Reshaping


@pytest.mark.parametrize(
    ("facts", "reshaping", "unknown"),
    [
        ({"kyc.tier": 3, "client.hosting": False}, Reshaping(cap={"choices": 4}), ()),
        ({"kyc.tier": 1, "client.hosting": False}, Reshaping(frozenset({"logprobs"}), {"choices": 4}), ()),
        (
            {"kyc.tier": 1, "client.hosting": True},
            Reshaping(frozenset({"logprobs", "logit_bias"}), {"choices": 1, "output_tokens": 9}),
            (),
        ),
        ({"client.hosting": False}, Reshaping(frozenset({"logprobs"}), {"choices": 4}), ("kyc.tier",)),
    ],
)
def test_a_call_is_reshaped_by_all_rules_that_apply_or_may(facts, reshaping, unknown):
    fence = policy(f"""
access:
{ALLOW_ALL}
reshape:
  - {{id: always, cap: {{choices: 4}}}}
  - {{id: no-logprobs, when: kyc.tier < tier.enhanced, remove: [logprobs]}}
  - {{id: short, when: client.hosting, remove: [logit_bias], cap: {{choices: 1, output_tokens: 9}}}}
  - {{id: trial, cap: {{output_tokens: 1}}, mode: shadow}}
""")
    decision = decided(fence, facts)
    assert (decision.reshaping, decision.unknown) == (reshaping, unknown)
    assert decision.trace[-1].rule.id == "trial"


def test_a_refused_call_is_neither_reshaped_nor_charged():
    fence = policy(
        "reshape: [{id: short, cap: {choices: 1}}]\nthrottle: [{id: t, key: account.id, rate: 1 per second}]\n"
    )
    decision = decided(fence, {"account.id": "acme"})
    assert (decision.effect, decision.reshaping, decision.charges) == ("deny", Reshaping(), ())
    assert not decision.reshaping


# Throttles


@pytest.mark.parametrize(
    ("rule", "facts", "key"),
    [
        ("key: account.id", {"account.id": "acme"}, "acme"),
        ("key: account.id", {"account.id": ""}, None),
        ("key: account.id", {}, UNKNOWN_KEY),
        ("key: account.id, when: client.hosting", {"account.id": "acme", "client.hosting": True}, "acme"),
        ("key: account.id, when: client.hosting", {"account.id": "acme", "client.hosting": False}, None),
        ("key: account.id, when: client.hosting", {"account.id": "acme"}, "acme"),
        ("key: '\"everyone\"'", {}, "everyone"),
    ],
)
def test_a_throttle_charges_the_bucket_of_its_key(rule, facts, key):
    decision = decided(throttle(f"{{id: t, rate: 60 per minute, {rule}}}"), facts)
    assert [charge.key for charge in decision.charges] == ([] if key is None else [key])
    unknown = [name for name in ("account.id", "client.hosting") if name in rule and name not in facts]
    assert sorted(decision.unknown) == unknown


@pytest.mark.parametrize(
    ("unit", "cost", "amount", "weight"),
    [
        ("requests", "1", 1, 1),
        ("requests", "0.5", 0.5, 0.5),
        ("requests", "0", 0, 0),
        ("requests", "-3", 0, 0),
        ("requests", "999999", 1000, 1000),
        ("requests", "0.0 / 0.0", 1000, None),
        ("requests", "1.0 / 0.0", 1000, None),
        ("requests", "-1.0 / 0.0", 1000, None),
        ("requests", "request.tools", 1000, None),
        ("input_tokens", "1", 100, 1),
        ("output_tokens", "2", 400, 2),
        ("total_tokens", "1", 300, 1),
        ("total_tokens", "4", 1000, 4),
        ("output_tokens", "request.tools", 1000, None),
    ],
)
def test_a_cost_is_never_negative_and_at_most_the_burst(unit, cost, amount, weight):
    fence = throttle(f"{{id: t, key: account.id, rate: 60 per minute, burst: 1000, unit: {unit}, cost: {cost}}}")
    [charge] = decided(fence, {"account.id": "acme"}).charges
    assert (charge.amount, charge.weight) == (amount, weight)


def test_a_cost_without_bounds_takes_the_burst_even_where_nothing_is_expected():
    fence = throttle("{id: t, key: account.id, rate: 60 per minute, unit: output_tokens, cost: 1.0 / 0.0}")
    [charge] = decided(fence, {"account.id": "acme"}, Demand()).charges
    assert (charge.amount, charge.cost_us) == (60, 60_000_000)
    assert charge.used_us(Demand(output_tokens=10**9)) == charge.cost_us


@pytest.mark.parametrize("expected", [1, 200])
def test_an_unknown_cost_is_the_burst_however_much_is_used_and_nothing_for_nothing(expected):
    fence = throttle("{id: t, key: account.id, rate: 1000 per minute, unit: output_tokens, cost: request.tools}")
    decision = decided(fence, {"account.id": "acme"}, Demand(output_tokens=expected))
    [charge] = decision.charges
    assert charge.cost_us == charge.rate.burst_us
    assert [charge.used_us(Demand(output_tokens=used)) for used in (0, 1, 100_000)] == [
        0,
        charge.cost_us,
        charge.cost_us,
    ]
    assert [charge.cost(Demand(output_tokens=used)) for used in (0, 1, 100_000)] == [0, 1000, 1000]
    assert decision.unknown == ("request.tools",)


def test_a_call_whose_answer_is_cut_short_reserves_no_more_than_that():
    fence = policy(f"""
access:
{ALLOW_ALL}
reshape:
  - {{id: short, cap: {{output_tokens: 50}}}}
  - {{id: trial, cap: {{output_tokens: 5}}, mode: shadow}}
throttle:
  - {{id: out, key: account.id, rate: 1000 per day, unit: output_tokens}}
  - {{id: in, key: account.id, rate: 1000 per day, unit: input_tokens}}
""")
    assert [charge.amount for charge in decided(fence, {"account.id": "acme"}).charges] == [50, 100]


def test_what_a_throttle_did_not_know_is_told_once_for_each_fact():
    rule = "{id: t, key: account.id, when: client.hosting, cost: request.tools, rate: 1 per second}"
    decision = decided(throttle(rule), {})
    assert decision.unknown == ("client.hosting", "account.id", "request.tools")
    reason = "`client.hosting` is unknown; `account.id` is unknown; `request.tools` is unknown"
    assert decision.trace[-1].unknown == Unknown(decision.unknown, reason)


def test_a_throttle_in_shadow_charges_in_shadow():
    rule = "key: account.id, rate: 1 per second"
    fence = throttle(f"{{id: real, {rule}}}", f"{{id: trial, {rule}, mode: shadow, on_store_failure: allow}}")
    charges = decided(fence, {"account.id": "acme"}).charges
    assert [(charge.throttle, charge.shadow, charge.on_store_failure) for charge in charges] == [
        ("real", False, "deny"),
        ("trial", True, "allow"),
    ]
    in_shadow = throttle(f"{{id: real, {rule}}}", mode="shadow")
    assert [charge.shadow for charge in decided(in_shadow, {"account.id": "acme"}).charges] == [True]


# After the store was asked

TWO = throttle(
    "{id: minute, key: account.id, rate: 60 per minute, message: Slower., help_url: https://example.com/limits}",
    "{id: day, key: account.id, rate: 1000 per day}",
    "{id: trial, key: account.id, rate: 1 per day, mode: shadow}",
)


def charge_of(decision: Decision, name: str) -> Charge:
    return next(charge for charge in decision.charges if charge.throttle == name)


def test_a_call_whose_charges_were_taken_goes_on():
    decision = decided(TWO, {"account.id": "acme"})
    assert charged(decision, Taken(), TWO) == decision
    assert decision.retry_after is None


@pytest.mark.parametrize(
    ("waits", "rules", "retry_after", "message"),
    [
        ({"minute": 500_000}, ("minute",), 0.5, "Slower."),
        ({"day": 86_400_000_000}, ("day",), 86_400.0, None),
        ({"day": 3_000_000, "minute": 1_000_000}, ("minute", "day"), 3.0, "Slower."),
    ],
)
def test_a_call_whose_charges_were_refused_waits_for_the_longest(waits, rules, retry_after, message):
    before = decided(TWO, {"account.id": "acme"})
    taken = Taken(refused=[Refused(charge_of(before, name), wait_us) for name, wait_us in waits.items()])
    after = charged(before, taken, TWO)
    assert (after.effect, after.rules, after.retry_after) == (Effect.THROTTLE, rules, retry_after)
    assert after.message == message
    assert not after.admitted


def test_a_charge_refused_in_shadow_says_what_would_be():
    before = decided(TWO, {"account.id": "acme"})
    trial = Refused(charge_of(before, "trial"), 1)
    after = charged(before, Taken(shadow_refused=[trial]), TWO)
    assert (after.effect, after.would, after.shadow_rules) == (Effect.ALLOW, Effect.THROTTLE, ("trial",))
    assert after.retry_after is None


def test_what_access_rules_in_shadow_would_do_comes_before_what_throttles_would():
    rules = "access:\n  - {id: all, allow: 'true'}\n  - {id: no, deny: 'true', mode: shadow}\n"
    fence = policy(rules + "throttle: [{id: trial, key: account.id, rate: 1 per day, mode: shadow}]\n")
    before = decided(fence, {"account.id": "acme"})
    after = charged(before, Taken(shadow_refused=[Refused(charge_of(before, "trial"), 1)]), fence)
    assert (after.would, after.shadow_rules) == (Effect.DENY, ("no",))


def test_a_bucket_tells_what_it_still_holds():
    [charge] = decided(throttle("{id: t, key: account.id, rate: 60 per minute}"), {"account.id": "a"}).charges
    assert (Balance(charge, 2_500_000).left, Balance(charge, -1).left) == (2, 0)


# Strangers


@pytest.mark.parametrize(
    ("rules", "mode", "nobody"),
    [
        (["{id: known, allow: kyc.tier > 0}"], "enforce", True),
        (["{id: known, allow: kyc.tier > 0}"], "shadow", False),
        (["{id: active, allow: 'kyc.status == \"active\" && client.hosting'}"], "enforce", True),
        (["{id: home, allow: 'client.country == \"NO\"'}"], "enforce", False),
        (["{id: trial, allow: 'true', mode: shadow}"], "enforce", True),
        (["{id: gold, allow: 'account.labels.plan == \"gold\"'}"], "enforce", True),
        (["{id: gold, allow: 'account.labels.plan == \"gold\" || client.hosting'}"], "enforce", False),
        (["{id: all, allow: 'true'}", "{id: none, deny: kyc.tier < tier.basic}"], "enforce", True),
        (["{id: all, allow: 'true'}", "{id: none, deny: kyc.tier < tier.basic, mode: shadow}"], "enforce", False),
        (["{id: all, allow: 'true'}", "{id: red, deny: 'account.labels.plan == \"red\"'}"], "enforce", True),
        (["{id: all, allow: 'true'}", "{id: hosted, deny: client.hosting}"], "enforce", False),
        # Of strangers it is known to be empty, so these rules let them in.
        (["{id: all, allow: 'true'}", "{id: far, deny: size(account.recent_countries) > 3}"], "enforce", False),
        (["{id: home, allow: size(account.recent_countries) < 2}"], "enforce", False),
        ([], "enforce", True),
    ],
)
def test_a_policy_may_plainly_refuse_all_callers_without_an_account(rules, mode, nobody):
    fence = access(*rules, mode=mode) if rules else policy("")
    assert nobody_unknown_is_let_in(fence) is nobody
