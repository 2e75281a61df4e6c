"""The dashboard that one opens first: who is let in and who is not, from where, by which rule; and is all well."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.models.dashboard import Dashboard
from tools.dashboards.frame import board
from tools.dashboards.panels import (
    EFFECTS,
    GREEN,
    GREY,
    NEUTRAL,
    NONE_IS_FINE,
    ORANGE,
    PURPLE,
    RED,
    About,
    AnyPanel,
    Steps,
    bars,
    columns,
    number,
    over_time,
    stacked,
)
from tools.dashboards.queries import OF_PROVIDER, Query, increase, metric, quantile, rate, share, shares
from tools.dashboards.world import world

_OF_TIER = 'tier=~"$tier"'
_BY_COUNTRY = "requests_by_country_total"
_STATUSES = {
    "2xx": ("2xx answered", GREEN),
    "3xx": ("3xx redirected", GREY),
    "4xx": ("4xx refused by the API", ORANGE),
    "5xx": ("5xx failed", RED),
    "none": ("no answer", PURPLE),
}


def overview() -> Dashboard:
    """Return the dashboard."""
    sections: Mapping[str, Sequence[AnyPanel]] = {
        "At a glance": [*_at_a_glance(), *_effects()],
        "Where callers are": _countries(),
        "What rules do": _rules(),
        "Upstreams": _upstreams(),
        "What the fence costs": _costs(),
    }
    says = "Who is let in, refused and throttled, from where and by which rule; upstreams; the time the fence takes."
    return board("modelfence: overview", "modelfence-overview", says, sections)


def _at_a_glance() -> Sequence[AnyPanel]:
    calls = rate("requests_total", OF_PROVIDER)

    def part(title: str, effect: str, steps: Steps, says: str) -> AnyPanel:
        return number(
            About(title, says, "percentunit", 4, 4),
            Query(share(rate("requests_total", OF_PROVIDER, f'effect="{effect}"'), calls)),
            steps,
            none="no calls",
        )

    return [
        number(
            About(
                "Calls",
                "Calls per second, of every effect. If it drops to none while callers call, see whether the fence is up"
                " and the load balancer sends to it.",
                "reqps", 4, 4,
            ),
            Query(calls), NEUTRAL,
        ),
        part(
            "Let in", "allow", ((RED, None), (ORANGE, 0.5), (GREEN, 0.8)),
            "Share of calls that were let in. If it falls, the panel of effects below says what became of the others.",
        ),
        part(
            "Refused", "deny", ((GREEN, None), (ORANGE, 0.2), (RED, 0.5)),
            "Share of calls that the policy refused (403 or 401). If it rises, look at the rules that refuse: after a"
            " change of the policy, take it back; from one country or tier, somebody is trying.",
        ),
        part(
            "Throttled", "throttle", ((GREEN, None), (ORANGE, 0.1), (RED, 0.3)),
            "Share of calls over a rate (429). If it rises, see which throttle; a campaign shows on the dashboard of"
            " campaigns, a rate that is too low for honest callers shows as one throttle for long.",
        ),
        number(
            About(
                "Fence failed",
                "Calls per second that were refused because the fence or its store failed (503). Any is bad: look at"
                " the dashboard of policy and health, then at the log.",
                "reqps", 4, 4,
            ),
            Query(f"{rate('requests_total', OF_PROVIDER, 'effect="error"')} or vector(0)"), NONE_IS_FINE,
        ),
        number(
            About(
                "Overhead, p99",
                "Time that 99 of 100 admitted calls spend in the fence at most. Above 50 ms look at the time of the"
                " store, then at the processor: one worker uses one core.",
                "s", 4, 4,
            ),
            Query(quantile(0.99, "overhead_seconds")), ((GREEN, None), (ORANGE, 0.02), (RED, 0.05)), none="no calls",
        ),
    ]  # fmt: skip


def _effects() -> Sequence[AnyPanel]:
    return [
        stacked(
            About(
                "Calls by what became of them",
                "Calls per second by effect. Malformed calls were refused before they were judged. When a colour other"
                " than green grows, the rules, countries and tiers below say whose calls they are.",
                "reqps", 12,
            ),
            Query(rate("requests_total", OF_PROVIDER, by="effect"), "{{effect}}"), EFFECTS,
        ),
        over_time(
            About(
                "Not let in, by tier",
                "Share of each tier's calls that were not let in. A verified tier that rises means that paying"
                " callers are turned away: look at the rules that refuse.",
                "percentunit", 6,
            ),
            Query(
                shares(
                    rate("requests_by_tier_total", _OF_TIER, 'effect!="allow"', by="tier"),
                    rate("requests_by_tier_total", _OF_TIER, by="tier"),
                ),
                "{{tier}}",
            ),
        ),
        bars(
            About(
                "Credentials that were not valid",
                "Calls by what was wrong with their key, certificate or token, over the time shown. `expired` or"
                " `revoked`: tell the customer; `unknown` in numbers: somebody guesses, or keys were not imported.",
                "short", 6,
            ),
            Query(increase("credentials_total", 'check!="valid"', by="check"), "{{check}}"), RED,
        ),
    ]  # fmt: skip


def _countries() -> Sequence[AnyPanel]:
    calls = Query(increase(_BY_COUNTRY, by="country"))
    not_let_in = Query(
        shares(increase(_BY_COUNTRY, 'effect!="allow"', by="country"), increase(_BY_COUNTRY, by="country"))
    )
    return [
        world(
            About(
                "Calls by country",
                "The larger, the more calls; green to red, the share that was not let in (20 %, 50 %). A large red"
                " circle in a land that you serve: look at its row in the table, then at the rules that refuse.",
                "short", 12, 10,
            ),
            calls, not_let_in,
        ),
        columns(
            About(
                "Countries",
                "Calls over the time shown, most first; `unknown` is an address in no database, and counts against the"
                " caller. Much of it: see that trusted_proxies is right, and how old the geo database is.",
                "short", 12, 10,
            ),
            ["country"],
            {
                "Calls": calls,
                "Let in": Query(increase(_BY_COUNTRY, 'effect="allow"', by="country")),
                "Refused": Query(increase(_BY_COUNTRY, 'effect="deny"', by="country")),
                "Throttled": Query(increase(_BY_COUNTRY, 'effect="throttle"', by="country")),
                "Not let in": not_let_in,
            },
            {"Not let in": "percentunit"},
        ),
    ]  # fmt: skip


def _rules() -> Sequence[AnyPanel]:
    def matches(effect: str, mode: str) -> Query:
        matchers = (f'effect="{effect}"', f'mode="{mode}"')
        return Query(increase("rule_matches_total", *matchers, by="rule"), "{{rule}}")

    unallowed = f'label_replace({increase("unallowed_total")}, "rule", "no allow applied", "", "")'
    return [
        bars(
            About(
                "Allows that applied",
                "Calls that each allow, or reshape of what was let in, applied to over the time shown. An allow that"
                " leads and should not is too wide: narrow it, or deny what it lets in.",
                "short", 6, 7,
            ),
            matches("allow", "enforce"), GREEN,
        ),
        bars(
            About(
                "Denies that applied",
                "Calls that each deny refused over the time shown, and those that no allow let in: suspended, or"
                " without an account. `modelfence policy explain` shows why; a wrong rule is put in `mode: shadow`.",
                "short", 6, 7,
            ),
            Query(f"({matches('deny', 'enforce').expr} or {unallowed})", "{{rule}}"), RED,
        ),
        bars(
            About(
                "Throttles that refused",
                "Calls that each throttle refused over the time shown. If honest callers are among them, raise the"
                " rate or the burst.",
                "short", 6, 7,
            ),
            matches("throttle", "enforce"), ORANGE,
        ),
        bars(
            About(
                "Rules in shadow",
                "Calls that rules in shadow would have refused. If these are calls that should pass, mend the rule"
                " before it is enforced; if they are not, enforce it.",
                "short", 6, 7,
            ),
            Query(
                increase("rule_matches_total", 'effect=~"deny|throttle"', 'mode="shadow"', by="rule, effect"),
                "{{rule}} ({{effect}})",
            ),
            GREY,
        ),
    ]  # fmt: skip


def _upstreams() -> Sequence[AnyPanel]:
    of = 'provider=~"$provider"'
    return [
        stacked(
            About(
                "Answers of upstreams",
                "Answers per second by the class of their status. No answer: the upstream could not be reached, or the"
                " caller left first. 5xx: see the provider's status page; 4xx: see the upstream's credential.",
                "reqps", 8,
            ),
            Query(rate("upstream_answers_total", of, by="status"), "{{status}}"), _STATUSES,
        ),
        over_time(
            About(
                "Failed or no answer, by provider",
                "Share of calls sent on that an upstream failed or did not answer. Above 5 % for long: the provider has"
                " trouble, or the way to it has; the fence does not try again by itself.",
                "percentunit", 8,
            ),
            Query(
                shares(
                    rate("upstream_answers_total", of, 'status=~"5xx|none"', by="provider"),
                    rate("upstream_answers_total", of, by="provider"),
                ),
                "{{provider}}",
            ),
            steps=((GREEN, None), (RED, 0.05)),
        ),
        over_time(
            About(
                "Time to the first byte",
                "From sending a call on to the first byte of its answer, over all upstreams. If it grows while the"
                " overhead does not, it is the provider: tell callers, or lower what they may ask for.",
                "s", 8,
            ),
            Query(quantile(0.5, "first_byte_seconds"), "half are below"),
            Query(quantile(0.95, "first_byte_seconds"), "95 % are below"),
        ),
    ]  # fmt: skip


def _costs() -> Sequence[AnyPanel]:
    return [
        over_time(
            About(
                "Overhead",
                "Time an admitted call spent in the fence. If it grows with the calls, give it more workers; if it"
                " grows by itself, look at the time of the store.",
                "s", 8,
            ),
            Query(quantile(0.5, "overhead_seconds"), "half are below"),
            Query(quantile(0.95, "overhead_seconds"), "95 % are below"),
            Query(quantile(0.99, "overhead_seconds"), "99 % are below"),
            steps=((GREEN, None), (RED, 0.05)),
        ),
        over_time(
            About(
                "Open streams",
                "Answers that are streaming through, by instance. If it only ever grows, look for callers that do"
                " not read; `answer_s` in the settings is the longest an answer may take.",
                "short", 8,
            ),
            Query(f"sum by (instance) ({metric('open_streams')})", "{{instance}}"),
        ),
        over_time(
            About(
                "Tokens served",
                "Tokens per second by direction; cached is part of input, reasoning part of output. Output that grows"
                " without calls: look at the dashboard of campaigns.",
                "short", 8,
            ),
            Query(rate("tokens_total", 'provider=~"$provider"', _OF_TIER, by="direction"), "{{direction}}"),
        ),
    ]  # fmt: skip
