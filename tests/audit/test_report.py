"""An audit log in figures."""

import json
from dataclasses import replace

import pytest
from tests.audit.calls import ALLOWED, DENIED, GEO_BUILT_S, THROTTLED, USED, judged, nth
from tests.enforcement.outside import NOON_US

from modelfence.audit import report as audit_report
from modelfence.audit.lines import Lines
from modelfence.audit.report import DIMENSIONS, Report, as_json
from modelfence.core.account import Account
from modelfence.core.call import Reading
from modelfence.enforcement.ports import Judged, Settled

NOON_S = NOON_US / 1_000_000


def line(n: int, decision=ALLOWED, account="acme", country="US", model="gpt-4o", usage=USED) -> bytes:
    call = nth(n, reading=Reading("chat", model))
    of = judged(call, decision, Account(account, "active", "basic") if account else None, country)
    end = Settled(of, usage, 200) if decision.admitted else None
    return b"{%b}" % Lines().fields(of, end, GEO_BUILT_S)


def fields(of: Judged) -> bytes:
    return b"{%b}" % Lines().fields(of, None, GEO_BUILT_S)


def report_of(*lines: bytes, by="country", **options) -> Report:
    report = Report([tuple(names.split("+")) for names in by.split(",")], **options)
    for one in lines:
        report.add(one)
    return report


def rows(report: Report) -> dict[tuple[str, ...], int]:
    (table,) = report.tables()
    return {key: figures.decisions for key, figures in table[1]}


def test_each_value_has_its_decisions_tokens_and_accounts():
    report = report_of(
        line(1),
        line(2, account="other"),
        line(3),
        line(4, DENIED, None, "KP"),
        line(5, THROTTLED),
        line(6, country=None),
    )
    ((_, table),) = report.tables()
    figures = dict(table)
    us = figures["US",]
    assert (us.decisions, us.effects, us.accounts) == (4, {"allow": 3, "throttle": 1}, {"acme", "other"})
    assert (us.input_tokens, us.output_tokens, us.estimated, us.in_shadow) == (3 * 812, 3 * 143, 3, 3)
    assert (figures["KP",].effects, figures["KP",].accounts) == ({"deny": 1}, set())
    assert list(figures) == [("US",), ("(none)",), ("KP",)]
    assert (report.all.decisions, report.policies, report.databases) == (6, {"p0licy": 6}, {"country of 2026-11-01"})
    assert (report.first_s, report.last_s) == (NOON_S + 1.000001, NOON_S + 6.000001)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("rule", {("everyone",): 1, ("embargoed",): 1}),
        ("country+model", {("US", "gpt-4o"): 1, ("KP", "o3"): 1}),
        ("tier", {("basic",): 2}),
        ("signal+effect", {("judge_rubric", "allow"): 1, ("judge_rubric", "deny"): 1}),
        ("shadow_rule", {("trial",): 1, ("(none)",): 1}),
        ("unknown", {("client.country",): 1, ("(none)",): 1}),
        ("day", {("2026-05-28",): 2}),
        ("cohort", {("k1",): 2}),
        ("status", {("200",): 1, ("(none)",): 1}),
    ],
)
def test_lines_are_summed_up_by_what_is_asked_for(by, expected):
    assert rows(report_of(line(1), line(2, DENIED, country="KP", model="o3"), by=by)) == expected


def test_what_a_candidate_said_is_set_against_what_the_live_policy_said():
    lines = [
        fields(replace(judged(nth(1)), watched=DENIED)),
        fields(replace(judged(nth(2)), watched=DENIED, candidate_acted=True)),
        fields(replace(judged(nth(3), THROTTLED), watched=ALLOWED)),
        fields(judged(nth(4))),
    ]
    assert rows(report_of(*lines, by="live+candidate")) == {
        ("allow", "deny"): 1,
        ("deny", "allow"): 1,
        ("throttle", "allow"): 1,
        ("(none)", "(none)"): 1,
    }
    assert rows(report_of(*lines, by="candidate_rule")) == {("embargoed",): 1, ("everyone",): 2, ("(none)",): 1}
    assert rows(report_of(*lines, by="live_rule"))["requests",] == 1


def test_lines_from_before_there_were_candidates_count_for_none():
    old = json.loads(fields(judged(nth(1))))
    del old["candidate"]
    assert rows(report_of(json.dumps(old).encode(), by="candidate+live_rule")) == {("(none)", "(none)"): 1}


def test_a_line_counts_for_each_of_its_rules_and_once_in_all():
    both = replace(DENIED, rules=("embargoed", "owned"))
    report = report_of(line(1, both), by="rule")
    assert rows(report) == {("embargoed",): 1, ("owned",): 1}
    assert report.all.decisions == 1


def test_every_dimension_can_be_asked_for():
    for name in DIMENSIONS:
        assert sum(rows(report_of(line(1), by=name)).values()) == 1, name


def test_only_calls_of_the_period_count():
    lines = [line(n) for n in range(10)]
    assert report_of(*lines, from_s=NOON_S + 3, to_s=NOON_S + 5).all.decisions == 2


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'"ts"',
        b"[" * 200_000,
        line(1).replace(b'"usage":{"input', b'"usage":{"inpt'),
        line(1).replace(b'"account":"acme"', b'"account":["acme"]'),
        line(1).replace(b'"policy":"p0licy"', b'"policy":7'),
        line(1).replace(b'"ts":', b'"ts":1e300,"then":'),
    ],
)
def test_what_can_not_be_understood_is_counted_as_such_and_in_no_table(broken):
    report = report_of(broken, line(2))
    assert (report.unreadable, report.all.decisions, rows(report)) == (1, 1, {("US",): 1})


def test_a_table_does_not_grow_with_what_callers_think_of():
    report = report_of(*(line(n, model=f"m{n}") for n in range(5)), by="model", most_rows=3)
    assert rows(report) == {("m0",): 1, ("m1",): 1, ("m2",): 1, ("(others)",): 2}


def test_accounts_beyond_what_can_be_remembered_are_said_to_be_more(monkeypatch):
    monkeypatch.setattr(audit_report, "MOST_ACCOUNTS", 3)
    report = report_of(*(line(n, account=f"a{n}") for n in range(3)))
    assert (len(report.all.accounts), report.all.more_accounts) == (2, True)


def test_calls_whose_end_was_not_seen_are_counted():
    of = judged(nth(1))
    report = report_of(b"{%b}" % Lines().fields(of, None, {}), line(2))
    assert (report.all.unsettled, report.all.input_tokens) == (1, 812)


def test_the_figures_are_json():
    said = json.loads(json.dumps(as_json(report_of(line(1), by="country+model"))))
    assert said["tables"] == [
        {"by": ["country", "model"], "rows": [{"country": "US", "model": "gpt-4o", **said["all"]}]}
    ]
    assert said["all"]["effects"] == {"allow": 1, "deny": 0, "throttle": 0, "error": 0}
