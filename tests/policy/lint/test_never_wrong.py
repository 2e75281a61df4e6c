"""No false alarms: whatever lint says of a policy made up at random holds for every call that is tried on it."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelfence.core.charge import Demand
from modelfence.core.decision import decide
from modelfence.core.policy import Unknown
from modelfence.policy import compile_text
from modelfence.policy.lint import lint

TODAY = date(2026, 11, 29)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LISTS = "lists: {near: [IR, KP], embargoed: [CU, IR, KP], nobody: [], models: [gpt-4, o4]}"
ATOMS = [
    *(f'client.country {o} "{c}"' for o in ("==", "!=") for c in ("KP", "IR", "NO")),
    *(f"client.country in lists.{name}" for name in ("near", "embargoed", "nobody")),
    *(f"kyc.tier {o} tier.{t}" for o in ("<", ">=", "==", "!=") for t in ("none", "verified", "enhanced")),
    *(f"extraction.score {o} {s}" for o in ("<", "<=", ">", ">=") for s in ("0.0", "0.5", "0.7", "1.0")),
    *(f"request.tools {o} {n}" for o in ("<", ">", "==", "!=") for n in (0, 3, 4)),
    "3 < request.tools",
    *(f'kyc.status {o} "{s}"' for o in ("==", "!=") for s in ("active", "suspended", "actve")),
    *(f'kyc.ownership["CN"] {o} 0.5' for o in (">", "<=", "==")),
    '"IR" in kyc.ownership',
    *(f'now {o} timestamp("{t}")' for o in ("<", ">=", "==") for t in ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00.000001+01:00")),
    'timestamp("2026-03-01T00:00:00Z") > now',
    *(f"size(extraction.signals) {o}" for o in ("== 0", "> 1", "< 0", ">= 0")),
    "request.model.size() >= 0",
    "client.tor",
    "client.tor == false",
    "client.country != kyc.country",
    "lists.near.exists(c, c == client.country)",
    *(f'request.model.{test}("{text}")' for test in ("startsWith", "endsWith", "contains") for text in ("gpt", "4o", "")),
    'request.model.startsWith("gpt-4")',
    'request.model.contains("t-4")',
    'request.model == "gpt-4o"',
    'request.model in ["gpt-4", "o4o"]',
    "lists.models.exists(m, request.model.startsWith(m))",
    "lists.nobody.exists(m, request.model.startsWith(m))",
    '["4", "gpt-5"].exists(m, request.model.endsWith(m))',
    'kyc.status.startsWith("a")',
    "request.tools / 2 > 1",
    "1.0 / extraction.score > 2.0",
    "true",
    "false",
]  # fmt: skip
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("{} && {} || {}".format, inner, inner, inner).map("({})".format),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("({}) == true".format, inner).map("({})".format),
    ),
    max_leaves=5,
)
SHADOW = st.sampled_from(["", "", "", ", mode: shadow"])
MESSAGE = st.sampled_from(["", "", ", message: a", ", message: b"])
RULES = st.fixed_dictionaries(
    {
        "access": st.lists(
            st.builds("{}: '{}'{}{}".format, st.sampled_from(["deny", "deny", "allow"]), CONDITIONS, SHADOW, MESSAGE),
            min_size=1,
            max_size=5,
        ),
        "reshape": st.lists(
            st.builds(
                "when: '{}', {}{}".format,
                CONDITIONS,
                st.sampled_from(["remove: [logprobs]", "cap: {choices: 2}"]),
                SHADOW,
            ),
            max_size=3,
        ),
        "throttle": st.lists(st.builds("when: '{}', key: account.id, rate: 1 per day".format, CONDITIONS), max_size=2),
    }
)
FACTS = st.fixed_dictionaries(
    {
        "kyc.tier": st.integers(0, 3),
        "kyc.status": st.sampled_from(["active", "suspended", "closed", "unknown"]),
        "extraction.score": st.sampled_from([0.0, 0.2, 0.5, 0.6, 0.7, 0.9, 1.0]),
        "extraction.signals": st.sampled_from([[], ["template"], ["template", "bulk_work"]]),
        "now": st.sampled_from([NOON + timedelta(microseconds=us) for us in (-1, 0, 1, 5_000_000_000_000)]),
    },
    optional={
        "client.country": st.sampled_from(["KP", "IR", "CU", "NO", "SE"]),
        "kyc.country": st.sampled_from(["KP", "SE"]),
        "kyc.ownership": st.sampled_from([{}, {"CN": 0.5}, {"CN": 0.7, "IR": 0.1}]),
        "request.tools": st.integers(0, 6),
        "request.model": st.sampled_from(["gpt-4o", "gpt-4", "4o", "o4o", "4ogpt", "gpt", "gptgpt-4o", "x", ""]),
        "client.tor": st.booleans(),
        "account.id": st.just("acme"),
    },
)


def written(rules, *, without=None):
    sections = [f"version: 1\n{LISTS}\n"]
    for section, entries in rules.items():
        lines = [
            f"  - {{id: {section}-{n}, {entry}}}\n" for n, entry in enumerate(entries) if f"{section}-{n}" != without
        ]
        sections += [f"{section}:\n", *lines] if lines else []
    return "".join(sections)


def policy_of(text):
    compiled = compile_text(text)
    assert compiled.problems == ()
    return compiled.policy


def outcome(policy, facts):
    decision = decide(policy, facts, Demand())
    return decision.effect, decision.would, decision.reshaping, {charge.throttle for charge in decision.charges}


@settings(derandomize=True, max_examples=120, deadline=None, database=None)
@given(RULES, st.lists(FACTS, min_size=12, max_size=12))
def test_what_lint_says_holds_for_every_call(rules, calls):
    text = written(rules)
    policy = policy_of(text)
    for problem in lint(compile_text(text), today=TODAY):
        match problem.code:
            case "shadowed-rule" | "refused-anyway":
                [needless] = re.findall(r"^`([a-z0-9-]+)` changes nothing", problem.message)
                others = policy_of(written(rules, without=needless))
                for facts in calls:
                    assert outcome(policy, facts) == outcome(others, facts), problem.render()
            case "never-true" | "always-true" | "allows-everything":
                part = problem.excerpt[problem.column - 1 : problem.column - 1 + problem.length]
                # A part within `!( … )` is never true while the rule allows everything: the sentence counts, not the code.
                refuted = bool(re.search("never (both )?true|here: `false`", problem.message))
                assert refuted not in values_of(part, calls), problem.render()
                if "only while" not in problem.message and "so the rule" in problem.message:
                    holds_of_the_rule(problem, rules, policy, calls)
            case "missing-map-key":
                part = problem.excerpt[problem.column - 1 : problem.column - 1 + problem.length]
                without = [facts | {"kyc.ownership": {"NO": 1.0}} for facts in calls]
                assert all(isinstance(value, Unknown) for value in values_of(f"{part} > 0.5", without))
            case code:
                assert code in ("impossible-value", "unused-list", "empty-list"), problem.render()


def values_of(part, calls):
    policy = policy_of(f"version: 1\n{LISTS}\naccess:\n  - {{id: a, allow: '{part}'}}\n")
    return [policy.allows[0].condition.evaluate(policy.bind(facts)) for facts in calls]


def holds_of_the_rule(problem, rules, policy, calls):
    """What follows for the rule is so: those that do nothing can be dropped, and a deny of everything denies all."""
    [name] = re.findall(r"id: ([a-z0-9-]+)", problem.excerpt)
    if re.search("refuses nothing|lets in nobody|never applies", problem.message):
        others = policy_of(written(rules, without=name))
        for facts in calls:
            assert outcome(policy, facts) == outcome(others, facts), problem.render()
    elif "refuses every call" in problem.message:
        for facts in calls:
            assert name in [step.rule.id for step in decide(policy, facts, Demand()).trace], problem.render()


@pytest.mark.parametrize(
    ("condition", "facts"),
    [
        ('client.country == "KP" && client.country == "IR"', {}),
        ("1.0 / 0.0 > 2.0", {}),
    ],
)
def test_a_condition_that_is_only_unknown_is_not_said_to_do_nothing(condition, facts):
    text = f"version: 1\naccess:\n  - {{id: a, deny: '{condition}'}}\n"
    assert not [problem for problem in lint(compile_text(text), today=TODAY) if "refuses nothing" in problem.message]
    assert [step.rule.id for step in decide(policy_of(text), facts, Demand()).trace]
