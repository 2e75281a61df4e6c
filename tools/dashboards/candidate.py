"""The part of the dashboard of policies that is about a candidate: where it differs, and how it does where it acts."""

from collections.abc import Sequence

from tools.dashboards.panels import (
    BLUE,
    GREEN,
    NEUTRAL,
    ORANGE,
    PURPLE,
    RED,
    About,
    AnyPanel,
    columns,
    number,
    over_time,
)
from tools.dashboards.queries import Query, increase, metric, rate, share

_REQUESTS = "candidate_requests_total"
_NEWLY_REFUSED = ('live="allow"', 'candidate!="allow"')
_NEWLY_LET_IN = ('live!="allow"', 'candidate="allow"')
_NO_CANDIDATE = "no candidate"


def candidate() -> Sequence[AnyPanel]:
    """Return the panels."""
    return (*_at_a_glance(), *_differences())


def _at_a_glance() -> Sequence[AnyPanel]:
    calls = increase(_REQUESTS)
    return [
        number(
            About(
                "Accounts it acts for",
                "Share of the accounts for which the candidate acts, on the instance where it is the least. 0 though"
                " `canary` says more: that instance can't use the candidate; its log says why.",
                "percentunit", 8, 4,
            ),
            Query(f"min({metric('canary_ratio')})"), NEUTRAL, none=_NO_CANDIDATE,
        ),
        number(
            About(
                "Newly refused",
                "Share of calls that the live policy lets in and the candidate does not, over the time shown. More than"
                " you meant: see the rules below, and `modelfence policy diff` for which callers.",
                "percentunit", 8, 4,
            ),
            Query(share(increase(_REQUESTS, *_NEWLY_REFUSED), calls)), ((GREEN, None), (ORANGE, 0.001), (RED, 0.01)),
            none=_NO_CANDIDATE,
        ),
        number(
            About(
                "Newly let in",
                "Share of calls that the live policy refuses and the candidate does not, over the time shown. Unless"
                " you meant to open something, don't let the candidate act for more accounts.",
                "percentunit", 8, 4,
            ),
            Query(share(increase(_REQUESTS, *_NEWLY_LET_IN), calls)), ((GREEN, None), (ORANGE, 0.001), (RED, 0.01)),
            none=_NO_CANDIDATE,
        ),
    ]  # fmt: skip


def _differences() -> Sequence[AnyPanel]:
    differing = [rate(_REQUESTS, *one, by="live, candidate") for one in (_NEWLY_REFUSED, _NEWLY_LET_IN)]
    refused = [
        rate(_REQUESTS, 'acted="live"', 'live!="allow"', by="acted"),
        rate(_REQUESTS, 'acted="candidate"', 'candidate!="allow"', by="acted"),
    ]
    matches = {
        policy.capitalize(): increase("candidate_rule_matches_total", f'policy="{policy}"', by="rule, effect")
        for policy in ("candidate", "live")
    }
    return [
        over_time(
            About(
                "Where the two differ",
                "Calls per second that the live policy and the candidate would answer differently, as live > candidate."
                " A line that begins with an edit was made by it; one that comes and goes is one caller.",
                "reqps", 8, 9,
            ),
            Query(f"({' or '.join(differing)}) > 0", "{{live}} > {{candidate}}"),
        ),
        over_time(
            About(
                "Refused, by which policy acted",
                "Share of calls that were refused where the live policy acted, and where the candidate did. Strangers"
                " are all on the live side. If the candidate's rises after its share grew, take the share back.",
                "percentunit", 8, 9,
            ),
            Query(f"({' or '.join(refused)}) / ({rate(_REQUESTS, by='acted')} > 0)", "{{acted}}"),
            names={"live": ("the live policy acted", BLUE), "candidate": ("the candidate acted", PURPLE)},
        ),
        columns(
            About(
                "Rules of both",
                "How often each rule applied, whichever policy acted, over the time shown. A rule that only one has,"
                " or that applies much more often in one: that is the change; look whether you meant it.",
                "short", 8, 9,
            ),
            ["rule", "effect"],
            {policy: Query(expr) for policy, expr in matches.items()},
            {},
        ),
    ]  # fmt: skip
