"""Two policies on one recording: who fares otherwise, and why."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.workbench.comparing.traffic import COUNTRIES, NEW, OLD, asking, line, recording, redacted

from modelfence.policy import compile_text
from modelfence.workbench.comparing import Change, Dimension, Pair, as_json
from modelfence.workbench.comparing.enforced import enforced

POLICIES = [
    OLD,
    NEW,
    OLD.replace("burst: 3", "burst: 1, cost: 1.0 + extraction.score"),
    NEW.replace('client.country == "DE"', "client.tor"),  # which no database knows
    NEW.replace("id: closed-models,", "id: closed-models, mode: shadow,"),
    'version: 1\nmode: shadow\ntiers: [none, basic, verified]\naccess: [{id: all, allow: "true"}]\n',
    'version: 1\ntiers: [none, basic, verified]\naccess: [{id: all, allow: "true"}]\n',
]


def changes_of(comparison):
    return {str(change): n for change, n in comparison.changes.items()}


def reasons_of(comparison):
    return {(str(one.reason.change), one.reason.old.because, one.reason.new.because) for one in comparison.reasons}


def test_what_changes_is_counted_by_kind(comparing):
    found = comparing(OLD, NEW, recording())
    assert changes_of(found) == {
        "newly_denied": 3,
        "newly_throttled": 1,
        "newly_allowed": 1,
        "refused_otherwise": 1,
        "reshaped_otherwise": 3,
        "charged_otherwise": 1,
    }
    assert (found.newly_refused, found.newly_allowed) == (4, 1)
    assert (found.old.effects, found.new.effects) == (
        {"allow": 8, "deny": 3, "reject": 1},
        {"allow": 5, "deny": 5, "throttle": 1, "reject": 1},
    )
    assert (found.recorded.requests, found.recorded.rejected, found.recorded.broken) == (12, 1, 0)


def test_each_change_has_its_grounds(comparing):
    assert reasons_of(comparing(OLD, NEW, recording())) == {
        ("newly_throttled", ("customers",), ("requests",)),
        ("newly_denied", ("customers",), ("not-from-germany",)),
        ("newly_denied", ("customers",), ("closed-models",)),
        ("newly_allowed", ("closed-models",), ("customers",)),
        ("refused_otherwise", ("closed-models",), ("not-from-germany",)),
        ("reshaped_otherwise", ("(nothing)",), ("caps output_tokens at 1,000",)),
        ("charged_otherwise", ("(nothing)",), ("tokens",)),
    }


def test_rules_are_told_by_the_calls_they_refuse_and_had_refused(comparing):
    rules = [(str(one.change), one.rule, one.requests, one.alone) for one in comparing(OLD, NEW, recording()).rules()]
    assert sorted(rules) == [
        ("newly_allowed", "closed-models", 1, 1),
        ("newly_denied", "closed-models", 1, 1),
        ("newly_denied", "not-from-germany", 2, 2),
        ("newly_throttled", "requests", 1, 1),
    ]


def test_a_call_that_two_rules_refuse_counts_for_both_and_alone_for_none(comparing):
    found = comparing(OLD, NEW, [line(0, "globex", "DE", **asking("o4-deep-research"))])
    assert sorted((one.rule, one.requests, one.alone) for one in found.rules()) == [
        ("closed-models", 1, 0),
        ("not-from-germany", 1, 0),
    ]


def test_calls_are_told_apart_by_who_called_from_where_for_what(comparing):
    found = comparing(OLD, NEW, recording())

    def refused_by(dimension):
        return {row.value: row.newly_refused for row in found.by[dimension].rows if row.newly_refused}

    assert refused_by(Dimension.COUNTRY) == {"DE": 2, "CA": 1, "US": 1}
    assert refused_by(Dimension.TIER) == {"basic": 4}
    assert refused_by(Dimension.ACCOUNT) == {"globex": 3, "acme": 1}
    assert refused_by(Dimension.MODEL) == {"gpt-4o": 3, "o4-deep-research": 1}
    assert refused_by(Dimension.OPERATION) == {"openai chat": 4}
    assert refused_by(Dimension.LABEL) == {"chat": 3, "app": 1}
    for grouped in found.by.values():
        assert sum(row.requests for row in grouped.rows) == 11
    assert "(no account)" in [row.value for row in found.by[Dimension.ACCOUNT].rows]
    assert "(none)" in [row.value for row in found.by[Dimension.LABEL].rows]


def test_without_labels_nothing_is_told_apart_by_label(comparing):
    assert Dimension.LABEL not in comparing(OLD, NEW, [line()]).by
    assert Dimension.LABEL not in comparing(OLD, NEW, [line(label=7)]).by


def test_a_fact_that_was_unknown_is_named_where_it_made_the_difference(comparing):
    [count] = comparing(OLD, NEW, [line(client_ip="10.0.0.1")]).reasons
    assert (count.reason.new.because, count.reason.new.unknown) == (("not-from-germany",), ("client.country",))


def test_the_two_policies_share_no_buckets(comparing):
    shared = OLD + "  - {id: second, key: account.id, rate: 1 per day, burst: 4}\n"
    lines = [line(n * 61) for n in range(6)]
    assert not comparing(shared, shared, lines).changes
    assert comparing(OLD, OLD, lines).old.effects == {"allow": 6}
    assert comparing(OLD, shared, lines).changes == {Change.NEWLY_THROTTLED: 2, Change.CHARGED_OTHERWISE: 4}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ("key: client.ip, rate: 60 per hour, burst: 3", "requests, from another bucket"),
        ("key: account.id, rate: 60 per hour, burst: 3, cost: 2", "requests, at a higher cost"),
        ("key: account.id, rate: 60 per hour, burst: 3, cost: 0.5", "requests, at a lower cost"),
        ("key: account.id, rate: 60 per hour, burst: 3, cost: client.asn", "requests, at a cost that is unknown"),
        ("key: account.id, rate: 60 per hour, burst: 300, unit: output_tokens", "requests, in output_tokens instead of requests"),
        ("key: account.id, rate: 60 per hour, burst: 3, mode: shadow", "(nothing)"),
    ],
)  # fmt: skip
def test_charges_differ_by_bucket_cost_and_unit(comparing, changed, words):
    new = OLD.replace("key: account.id, rate: 60 per hour, burst: 3", changed)
    assert reasons_of(comparing(OLD, new, [line()])) == {("charged_otherwise", ("requests",), (words,))}


def test_a_rate_is_no_difference_of_a_charge(comparing):
    assert not comparing(OLD, OLD.replace("burst: 3", "burst: 30"), [line()]).changes


def test_a_rule_that_is_called_otherwise_is_no_other_reason(comparing):
    renamed = OLD.replace("id: closed-models", "id: research").replace("id: requests", "id: calls")
    lines = [line(), line(1, **asking("o3-deep-research"))]
    assert not comparing(OLD, renamed, lines).changes


def test_a_recording_without_prompts_compares_alike(comparing):
    lines = [one for one in recording() if b"embeddings" not in one and b'"messages": []' not in one]
    whole, without = (as_json(comparing(OLD, NEW, some)) for some in (lines, map(redacted, lines)))
    assert (whole["recording"]["redacted"], without["recording"]["redacted"]) == (0, 10)
    assert {**without, "recording": None} == {**whole, "recording": None}


def test_broken_and_late_lines_are_counted_and_seen(comparing):
    seen: list[object] = []
    found = comparing(OLD, NEW, [line(9), b"{", None, line(3)], watch=seen.append)
    assert (found.recorded.lines, found.recorded.broken, found.recorded.late) == (4, 2, 1)
    assert [isinstance(one, Pair) for one in seen] == [True, False, False, True]
    assert found.recorded.first_us == found.recorded.last_us - 6_000_000


# Rules in shadow

SHADOWED = NEW.replace("id: not-from-germany,", "id: not-from-germany, mode: shadow,")


def test_a_rule_in_shadow_refuses_nothing_unless_it_is_taken_as_enforced(comparing):
    lines = [line(0, "globex", "DE"), line(1, "globex", "CA")]
    as_written = comparing(OLD, SHADOWED, lines)
    assert as_written.newly_refused == 0
    assert (as_written.new.would, as_written.new.would_refuse, as_written.new.as_enforced) == ({"deny": 1}, 1, False)
    trusted = comparing(OLD, SHADOWED, lines, as_enforced=True)
    assert changes_of(trusted) == changes_of(comparing(OLD, NEW, lines))
    assert (trusted.newly_refused, trusted.new.would_refuse, trusted.new.as_enforced) == (1, 0, True)


def test_taken_as_enforced_a_policy_compares_with_itself_in_shadow(comparing):
    in_shadow = "mode: shadow\n" + NEW
    found = comparing(in_shadow, in_shadow, recording(), as_enforced=True)
    assert found.newly_refused == found.recorded.requests - found.recorded.rejected - found.new.let_in
    assert found.new.effects == comparing(OLD, NEW, recording()).new.effects
    assert not found.edits


# What holds for every recording


@st.composite
def recordings(draw: st.DrawFn) -> list[bytes]:
    dice = random.Random(draw(st.integers()))  # noqa: S311 - a test's dice
    lines, at_s = [], 0.0
    for _ in range(draw(st.integers(0, 40))):
        at_s += dice.choice((0, 1, 30, 4_000))
        account, country = dice.choice(("acme", "globex", "initech", "nobody")), dice.choice((*COUNTRIES,))
        model = dice.choice(("gpt-4o", "o3-deep-research", "o4-deep-research"))
        usage = {"input_tokens": 9, "output_tokens": dice.randrange(900)}
        changes = dice.choice(
            ({}, {}, {"usage": usage}, {"status": 500}, {"path": "/v1/elsewhere"}, {"client_ip": "10.1.1.1"})
        )
        lines.append(line(at_s, account, country, **(asking(model) | changes)))
    return lines


every_recording = settings(max_examples=25)


@every_recording
@given(lines=recordings(), policy=st.sampled_from(POLICIES))
def test_a_policy_fares_like_itself(comparing, lines, policy):
    found = comparing(policy, policy, lines)
    assert (found.changes, found.reasons, found.untold) == ({}, [], 0)
    assert not found.edits
    assert found.old == replace(found.new, path="old.yaml")


@every_recording
@given(lines=recordings(), policies=st.tuples(*[st.sampled_from(POLICIES)] * 2))
def test_the_other_way_round_what_was_newly_refused_is_newly_allowed(comparing, lines, policies):
    there, back = comparing(*policies, lines), comparing(*reversed(policies), lines)
    assert (there.newly_refused, there.newly_allowed) == (back.newly_allowed, back.newly_refused)
    for change in (Change.REFUSED_OTHERWISE, Change.RESHAPED_OTHERWISE, Change.CHARGED_OTHERWISE):
        assert there.changes.get(change) == back.changes.get(change)
    assert (there.old.effects, there.new.effects) == (back.new.effects, back.old.effects)
    assert there.old.let_in - there.newly_refused + there.newly_allowed == there.new.let_in


def test_what_is_reported_is_json(comparing):
    said = as_json(comparing(OLD, NEW, recording()))
    assert json.loads(json.dumps(said))["newly_refused"] == 4


def test_a_policy_taken_as_enforced_has_no_shadow_left():
    policy = compile_text("mode: shadow\n" + SHADOWED).policy
    assert policy is not None
    assert all(rule.shadow for rule in policy.rules())
    assert not any(rule.shadow for rule in enforced(policy).rules())
    assert [rule.id for rule in enforced(policy).rules()] == [rule.id for rule in policy.rules()]
