"""The dashboard of the fence itself: which policy is in force, what it could not find out, and what failed."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.models.dashboard import Dashboard
from tools.dashboards.candidate import candidate
from tools.dashboards.frame import board
from tools.dashboards.panels import (
    BLUE,
    DAYS,
    EFFECTS,
    GREEN,
    GREY,
    NONE_IS_FINE,
    ORANGE,
    RED,
    About,
    AnyPanel,
    bars,
    columns,
    number,
    over_time,
    stacked,
)
from tools.dashboards.queries import OF_PROVIDER, Query, increase, metric, quantile, rate

_POLICY = metric("policy_info", 'mode!="candidate"')
_AGE = f"time() - {metric('policy_loaded_timestamp_seconds')}"
_GEO_AGE = f"(time() - {metric('geo_database_built_timestamp_seconds')}) / 86400"
_STORE_OUTCOMES = {
    "deny": ("calls refused", RED),
    "allow": ("calls let in unpaid", ORANGE),
    "local": ("counted by the instance", BLUE),
    "late": ("settled later", GREY),
    "unsettled": ("never settled", "dark-red"),
}
_CIRCUIT = {
    "closed": ("closed: in use", GREEN),
    "half_open": ("half open: trying", ORANGE),
    "open": ("open: left alone", RED),
}


def health() -> Dashboard:
    """Return the dashboard."""
    sections: Mapping[str, Sequence[AnyPanel]] = {
        "At a glance": _at_a_glance(),
        "Policy and data": _policy(),
        "A candidate beside the policy": candidate(),
        "What could not be found out": _doubt(),
        "The store": _store(),
        "Processes, connections and files": _processes(),
    }
    says = "The policy in force, facts that were unknown, the store, reloads, geo databases, workers, audit."
    return board("modelfence: policy and health", "modelfence-health", says, sections)


def _at_a_glance() -> Sequence[AnyPanel]:
    return [
        number(
            About(
                "Instances",
                "Fences that Prometheus reads. Fewer than you run: see the targets of Prometheus, then the log of the"
                " one that is missing.",
                "short", 3, 4,
            ),
            Query(f"count(count by (instance) ({_POLICY}))"), ((RED, None), (GREEN, 1)), none="none",
        ),
        number(
            About(
                "Policies in force",
                "Different policies over all instances. More than one for longer than a roll-out takes: callers are"
                " judged by where they end up; see the table for who has which.",
                "short", 3, 4,
            ),
            Query(f"count(count by (hash) ({_POLICY}))"), ((GREEN, None), (ORANGE, 2)),
        ),
        number(
            About(
                "In shadow",
                "Instances whose whole policy is in shadow: they refuse nothing. Other than 0 in production: set `mode:"
                " enforce`.",
                "short", 3, 4,
            ),
            Query(f"count({metric('policy_info', 'mode="shadow"')}) or vector(0)"), ((GREEN, None), (ORANGE, 1)),
        ),
        number(
            About(
                "Policy loaded",
                "Time since the policy was loaded, on the instance where that is longest ago. If it is older than your"
                " last change, that change was refused: see the reloads and the log.",
                "s", 3, 4,
            ),
            Query(f"max({_AGE})"), ((BLUE, None),),
        ),
        number(
            About(
                "Geo database, age",
                "The oldest geo database in use. From 45 days on addresses begin to be placed wrongly: bring a newer"
                " one, or upgrade the fence where it is the bundled one.",
                DAYS, 3, 4,
            ),
            Query(f"max({_GEO_AGE})"), ((GREEN, None), (ORANGE, 30), (RED, 45)),
        ),
        number(
            About(
                "Hook failures",
                "Failures of the fence itself over the time shown; each call was refused with 503. Any is a bug: the"
                " log holds a traceback to report.",
                "short", 3, 4,
            ),
            Query(increase("hook_failures_total")), NONE_IS_FINE,
        ),
        number(
            About(
                "Store failed",
                "Times the store did not answer in time, over the time shown. If any, see the section about the store.",
                "short", 3, 4,
            ),
            Query(increase("store_failures_total")), NONE_IS_FINE,
        ),
        number(
            About(
                "Workers serving",
                "Processes that serve callers. Fewer than `workers` in the settings for more"
                " than a minute: they can't start or keep crashing; see why below and in the log.",
                "short", 3, 4,
            ),
            Query(f"sum({metric('workers', 'state="serving"')})"), ((RED, None), (GREEN, 1)),
        ),
    ]  # fmt: skip


def _policy() -> Sequence[AnyPanel]:
    return [
        columns(
            About(
                "Policy of each instance",
                "Which policy each instance has, and for how long. Instances that differ after a roll-out: the old"
                " ones failed to reload; `modelfence policy check` says why.",
                "s", 10, 6,
            ),
            ["instance", "hash", "mode"],
            {"Loaded ago": Query(f"max by (instance, hash, mode) ({_POLICY} * on (instance) group_left () ({_AGE}))")},
            {},
        ),
        columns(
            About(
                "Geo databases",
                "How old each database is. Older than 45 days: bring a newer one.",
                DAYS, 6, 6,
            ),
            ["database"],
            {"Age": Query(f"max by (database) ({_GEO_AGE})")},
            {},
        ),
        over_time(
            About(
                "Reloads",
                "Reloads of the policy, and of candidate, accounts, geo databases and certificates, over five minutes."
                " Failed ones leave what was in force before: mend the file, the log says where.",
                "short", 8, 6,
            ),
            Query(_of_5_minutes("policy_reloads_total", "result"), "policy {{result}}"),
            Query(f"{_of_5_minutes('reloads_total', 'part, result')} > 0", "{{part}} {{result}}"),
            Query(_of_5_minutes("jwks_fetches_total", "result", 'result="failed"'), "keys not fetched"),
            names={
                "policy ok": ("policy exchanged", GREEN), "policy failed": ("policy refused", RED),
                "keys not fetched": ("keys of tokens not fetched", ORANGE),
            },
        ),
    ]  # fmt: skip


def _doubt() -> Sequence[AnyPanel]:
    return [
        bars(
            About(
                "Unknown facts",
                "Calls for which a fact was unknown and mattered, over the time shown; doubt counts against the caller."
                " `client.country`: see geo and trusted_proxies; `kyc.…`: complete the accounts' records.",
                "short", 8,
            ),
            Query(increase("unknown_facts_total", by="fact"), "{{fact}}"), ORANGE,
        ),
        over_time(
            About(
                "Unknown facts over time",
                "Per second. A jump has a moment: a new geo database, a new load balancer, accounts that were imported"
                " without some fields, or a directory that does not answer.",
                "short", 8,
            ),
            Query(f"topk(8, {rate('unknown_facts_total', by='fact')} > 0)", "{{fact}}"),
        ),
        over_time(
            About(
                "Refused before or without judgement",
                "Calls per second that were malformed or over a limit, and those that failed in the fence. Malformed"
                " calls from everywhere: a client library changed; report it, with the message of the 400.",
                "reqps", 8,
            ),
            Query(f"{rate('requests_total', OF_PROVIDER, 'effect="reject"')} or vector(0)", "reject"),
            Query(f"{rate('requests_total', OF_PROVIDER, 'effect="error"')} or vector(0)", "error"),
            names={"reject": EFFECTS["reject"], "error": EFFECTS["error"]},
        ),
    ]  # fmt: skip


def _store() -> Sequence[AnyPanel]:
    return [
        stacked(
            About(
                "Store failures",
                "Times per second that the store did not answer, by what came of it. If calls are refused, mend the"
                " store first; `on_store_failure` says what a throttle does meanwhile.",
                "short", 8,
            ),
            Query(rate("store_failures_total", by="outcome"), "{{outcome}}"), _STORE_OUTCOMES,
        ),
        over_time(
            About(
                "Time of the store",
                "How long the store took to answer. Near `store_ms` (50 ms unless set) calls begin to fail: look for"
                " slow commands, a full network or a far data centre.",
                "s", 8,
            ),
            Query(quantile(0.5, "store_seconds"), "half are below"),
            Query(quantile(0.99, "store_seconds"), "99 % are below"),
            steps=((GREEN, None), (RED, 0.05)),
        ),
        over_time(
            About(
                "Circuit breaker of the store",
                "Workers by the state of their circuit breaker; nothing where the store is in memory. Open: the store"
                " is away for them; it is tried twice a second.",
                "short", 8,
            ),
            Query(f"sum by (state) ({metric('store_circuit')})", "{{state}}"),
            names=_CIRCUIT,
        ),
    ]  # fmt: skip


def _processes() -> Sequence[AnyPanel]:
    return [
        over_time(
            About(
                "Workers",
                "Processes by state. Draining ones finish what is under way."
                " None serving: callers get no answer; see the log of the first process.",
                "short", 6,
            ),
            Query(f"sum by (state) ({metric('workers')})", "{{state}}"),
            names={"starting": ("starting", BLUE), "serving": ("serving", GREEN), "draining": ("draining", ORANGE)},
        ),
        over_time(
            About(
                "Workers that ended unasked",
                "Over five minutes, by why: crashed, silent (it did not answer and was ended), or never started. Each"
                " cuts the calls that it served: see the log.",
                "short", 6,
            ),
            Query(_of_5_minutes("worker_exits_total", "reason"), "{{reason}}"),
        ),
        over_time(
            About(
                "Connections cut",
                "Connections per minute that met a limit, by the limit's name in the settings. One address alone is an"
                " attack or a broken client; many: the limit is too low for your callers.",
                "short", 6,
            ),
            Query(f"60 * {rate('connections_cut_total', by='reason')} > 0", "{{reason}}"),
        ),
        over_time(
            About(
                "Audit and recording",
                "Lines per second by what became of them. Failed or lost audit lines are calls without a trace: see"
                " the disk; dropped recordings mean that the disk is slower than the calls.",
                "short", 6,
            ),
            Query(rate("audit_lines_total", by="outcome"), "audit: {{outcome}}"),
            Query(rate("recorded_total", by="outcome"), "recording: {{outcome}}"),
        ),
    ]  # fmt: skip


def _of_5_minutes(name: str, by: str, *matchers: str) -> str:
    return f"sum by ({by}) (increase({metric(name, *matchers)}[5m]))"
