"""The dashboard of extraction: which campaigns run, what gives them away, and what they are charged."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.models.dashboard import Dashboard
from tools.dashboards.frame import board
from tools.dashboards.panels import (
    BLUE,
    GREEN,
    NEUTRAL,
    ORANGE,
    PURPLE,
    RED,
    About,
    AnyPanel,
    bars,
    columns,
    heat,
    number,
    over_time,
)
from tools.dashboards.queries import Query, increase, metric, rate, share

_COHORTS, _ACCOUNTS = f"max({metric('cohorts')})", f"max({metric('cohort_accounts')})"
"""Instances that share a store all see the same cohorts: the most that one of them sees, not the sum."""
_TOKENS = 'unit!="requests"'


def campaigns() -> Dashboard:
    """Return the dashboard."""
    sections: Mapping[str, Sequence[AnyPanel]] = {
        "At a glance": _at_a_glance(),
        "Cohorts and scores": _cohorts(),
        "What gives them away": _signals(),
        "What it costs them": _charges(),
    }
    says = "Calls that look like model extraction: scores, signals, cohorts of accounts, tokens charged and withheld."
    return board("modelfence: campaigns", "modelfence-campaigns", says, sections)


def _at_a_glance() -> Sequence[AnyPanel]:
    scored = increase("extraction_score_count")
    high = f"{scored} - {increase('extraction_score_bucket', 'le="0.5"')}"
    return [
        number(
            About(
                "Cohorts",
                "Cohorts of accounts that look like campaigns. If there are any, `modelfence extraction cohorts` says"
                " how large each is, from where, and what it used; exempt in the policy what honest callers share.",
                "short", 4, 4,
            ),
            Query(_COHORTS), ((GREEN, None), (ORANGE, 1), (RED, 5)),
        ),
        number(
            About(
                "Accounts in them",
                "Accounts in all these cohorts together. If it grows by dozens a day, accounts are being made for it:"
                " look at how they sign up.",
                "short", 4, 4,
            ),
            Query(_ACCOUNTS), ((GREEN, None), (ORANGE, 5), (RED, 50)),
        ),
        number(
            About(
                "Calls scored above 0.5",
                "Share of judged calls that look more like extraction than not, over the time shown. If it is high and"
                " there are no cohorts, look at the signals: single accounts do it, or an honest job looks like it.",
                "percentunit", 4, 4,
            ),
            Query(share(f"({high})", scored)), ((GREEN, None), (ORANGE, 0.02), (RED, 0.1)), none="no calls",
        ),
        number(
            About(
                "Tokens charged",
                "Tokens charged to the buckets of all throttles over the time shown: more than were served where"
                " several count a call, or a `cost` weighs it. If 0 though tokens are served, look at each `when`.",
                "short", 4, 4,
            ),
            Query(f"{increase('charged_total', _TOKENS)} or vector(0)"), NEUTRAL,
        ),
        number(
            About(
                "Tokens withheld",
                "Tokens that refused calls had asked of the throttles, over the time shown: what was saved. An"
                " estimate: who tries again is counted again. Much more than was charged: somebody insists.",
                "short", 4, 4,
            ),
            Query(f"{increase('withheld_total', _TOKENS)} or vector(0)"), NEUTRAL,
        ),
        number(
            About(
                "Streams cut",
                "Answers ended in the middle because a budget was used up, over the time shown. If honest callers"
                " complain, raise the burst of the throttle that is named below.",
                "short", 4, 4,
            ),
            Query(f"{increase('streams_cut_total')} or vector(0)"), ((GREEN, None), (ORANGE, 1), (RED, 100)),
        ),
    ]  # fmt: skip


def _cohorts() -> Sequence[AnyPanel]:
    return [
        over_time(
            About(
                "Cohorts and their accounts",
                "Cohorts that look like campaigns, and the accounts in them. A cohort that grows is one campaign that"
                " buys accounts: suspend them together, for one alone will be replaced.",
                "short", 8, 9,
            ),
            Query(_COHORTS, "cohorts"),
            Query(_ACCOUNTS, "accounts"),
            Query(f"{_ACCOUNTS} / ({_COHORTS} > 0)", "accounts per cohort"),
            names={
                "cohorts": ("cohorts", RED), "accounts": ("accounts in them", ORANGE),
                "accounts per cohort": ("accounts per cohort", BLUE),
            },
        ),
        heat(
            About(
                "Scores of calls",
                "How many calls had which score. Most traffic lies at the bottom; a band that appears above 0.5 is a"
                " campaign, or an application that looks like one: see the signals.",
                "short", 16, 9,
            ),
            Query(f"sum by (le) (increase({metric('extraction_score_bucket')}[$__rate_interval]))", "{{le}}"),
        ),
    ]  # fmt: skip


def _signals() -> Sequence[AnyPanel]:
    return [
        bars(
            About(
                "Signals",
                "Calls in which each signal fired, for or against, over the time shown (docs/extraction.md)."
                " If `shared_template` leads, look at the cohorts; signals of single calls alone are weak.",
                "short", 8, 9,
            ),
            Query(increase("extraction_signals_total", by="signal"), "{{signal}}"), PURPLE,
        ),
        over_time(
            About(
                "Signals over time",
                "How often each signal fires, per second. One that begins at some moment was caused there: a"
                " campaign, a new application, or a change of the fence.",
                "short", 10, 9,
            ),
            Query(f"topk(8, {rate('extraction_signals_total', by='signal')} > 0)", "{{signal}}"),
        ),
        over_time(
            About(
                "Calls scored without evidence",
                "Share of judged calls that were scored by themselves, because what is known of their account could"
                " not be had. Above 1 %: the store is slow or away, and campaigns pass unseen meanwhile.",
                "percentunit", 6, 9,
            ),
            Query(share(rate("extraction_unmeasured_total"), rate("extraction_score_count")), "without evidence"),
            steps=((GREEN, None), (RED, 0.01)),
        ),
    ]  # fmt: skip


def _charges() -> Sequence[AnyPanel]:
    def of(name: str) -> Query:
        return Query(increase(name, by="throttle, unit"))

    return [
        columns(
            About(
                "Throttles",
                "For each throttle, over the time shown: units charged, units that refused calls had asked for (an"
                " estimate). A throttle that withholds more than it charges is either met by a campaign or too low.",
                "short", 10, 9,
            ),
            ["throttle", "unit"],
            {"Charged": of("charged_total"), "Withheld": of("withheld_total")},
            {},
        ),
        over_time(
            About(
                "Tokens charged and withheld",
                "Tokens per second. When withheld passes charged, callers run against a budget all the time: look in"
                " the table at which.",
                "short", 7, 9,
            ),
            Query(rate("charged_total", _TOKENS), "charged"),
            Query(rate("withheld_total", _TOKENS), "withheld"),
            names={"charged": ("charged", GREEN), "withheld": ("withheld", ORANGE)},
        ),
        over_time(
            About(
                "Streams cut, by throttle",
                "Streams per minute that were ended because this throttle had nothing left for them. If callers are"
                " cut who should not be, raise the throttle's burst.",
                "short", 7, 9,
            ),
            Query(f"60 * {rate('streams_cut_total', by='throttle')} > 0", "{{throttle}}"),
        ),
    ]  # fmt: skip
