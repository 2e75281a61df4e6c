"""Every query of every dashboard, asked of a real Prometheus that has scraped a real fence: each returns data.

Needs Debian's package `prometheus`, and says so where it is not there.
"""

import asyncio
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from tests.grafana.boards import BOARDS, Asked, queries
from tests.grafana.prometheus_server import PrometheusServer, needs
from tests.grafana.sample_traffic import WORKERS, running_fence
from tests.redis_servers import RedisServer

SERVING = 'modelfence_workers{state="serving"}'
SHOWN_S = 300
TIMES = {"__rate_interval": "1m", "__range": f"{SHOWN_S}s", "__interval": "15s"}
ALL = {"instance": ".*", "provider": ".*", "tier": ".*"}
"""What Grafana puts in for a variable of which everything is chosen: its `allValue`."""
CHOSEN = {"instance": "INSTANCE", "provider": "(stand-in|away)", "tier": "(basic|none)"}


@dataclass(frozen=True, slots=True)
class Watched:
    """A Prometheus, when it had seen all of the traffic, and when it had seen the fence but no call."""

    prometheus: PrometheusServer
    instance: str
    at_s: float
    quiet_at_s: float

    def answers(self, asked: Asked, choices: Mapping[str, str]) -> list[float]:
        """Return the values of a query as a panel would ask it, those that are no number left out."""
        expr = filled_in(asked.expr, {**choices, "instance": choices["instance"].replace("INSTANCE", self.instance)})
        if asked.instant:
            values = [series["value"] for series in self.prometheus.at(expr, self.at_s)]
        else:
            over = self.prometheus.over(expr, until_s=self.at_s, for_s=SHOWN_S, step_s=1)
            values = [value for series in over for value in series["values"]]
        return [float(value) for _, value in values if math.isfinite(float(value))]


def filled_in(expr: str, choices: Mapping[str, str]) -> str:
    """Return a query with its variables filled in, as Grafana does."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: {**TIMES, **choices}[found[1]], expr)


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Iterator[Watched]:
    needs("prometheus")
    folder = tmp_path_factory.mktemp("watched")
    redis = RedisServer()
    running: list[PrometheusServer] = []

    async def traffic() -> Watched:
        async with running_fence(folder, redis) as fence:
            prometheus = await asyncio.to_thread(PrometheusServer, folder, fence.admin)
            running.append(prometheus)
            # In two parts: rates are of what was seen before, and of nothing that came before the first scrape.
            await asyncio.to_thread(prometheus.wait_for, f"count_over_time({SERVING}[1m]) > 1")
            quiet_at_s = time.time()
            await fence.calls_of_all_kinds(calls=4)
            fence.change_policy_and_accounts()
            await asyncio.to_thread(prometheus.wait_for, 'modelfence_reloads_total{part="accounts", result="ok"} > 0')
            await asyncio.to_thread(prometheus.wait_for, 'modelfence_policy_reloads_total{result="ok"} > 0')
            fence.break_policy()
            await asyncio.to_thread(prometheus.wait_for, 'modelfence_policy_reloads_total{result="failed"} > 0')
            fence.kill_a_worker()
            # Its successor may serve before the next scrape, so that nobody ever sees one too few.
            await asyncio.to_thread(prometheus.wait_for, 'modelfence_worker_exits_total{reason="crashed"} > 0')
            await asyncio.to_thread(prometheus.wait_for, f"{SERVING} == {WORKERS}")
            await fence.calls_of_all_kinds(calls=180)
            await asyncio.to_thread(prometheus.wait_for, "modelfence_cohorts > 0")
            await asyncio.to_thread(prometheus.wait_for, 'modelfence_recorded_total{outcome="written"} > 0')
            await asyncio.to_thread(prometheus.wait_for_scrape)
            return Watched(prometheus, fence.admin, time.time(), quiet_at_s)

    try:
        yield asyncio.run(traffic())
    finally:
        for prometheus in running:
            prometheus.close()
        redis.kill()


@pytest.mark.parametrize("choices", [ALL, CHOSEN], ids=["all", "chosen"])
@pytest.mark.parametrize("asked", list(queries()), ids=lambda asked: asked.name)
def test_a_query_returns_data(watched, asked, choices):
    assert watched.answers(asked, choices), asked.expr


@pytest.mark.parametrize("asked", list(queries()), ids=lambda asked: asked.name)
def test_a_query_about_a_fence_that_nobody_calls_returns_numbers_or_nothing(watched, asked):
    """Where there is nothing a panel says so in its own words; of 0 / 0 it would say `NaN`."""
    series = watched.prometheus.at(filled_in(asked.expr, ALL), watched.quiet_at_s)
    assert all(math.isfinite(float(one["value"][1])) for one in series), asked.expr


@pytest.mark.parametrize(
    "event",
    [
        *(f'requests_total{{effect="{effect}"}}' for effect in ("allow", "deny", "throttle", "reject", "error")),
        'rule_matches_total{mode="shadow"}',
        "unallowed_total",
        'credentials_total{check="unknown"}',
        'upstream_answers_total{provider="stand-in", status="2xx"}',
        'upstream_answers_total{provider="away", status="none"}',
        'charged_total{unit="output_tokens"}',
        'withheld_total{unit="output_tokens"}',
        "streams_cut_total",
        'store_failures_total{outcome="deny"}',
        "unknown_facts_total",
        'candidate_requests_total{live="allow", candidate="deny"}',
        'candidate_requests_total{live="throttle", candidate="allow"}',
        'candidate_requests_total{acted="candidate"}',
        'candidate_rule_matches_total{policy="candidate", rule="not-from-japan"}',
        'extraction_signals_total{signal="shared_template"}',
        "connections_cut_total",
        'policy_reloads_total{result="ok"}',
        'policy_reloads_total{result="failed"}',
        'worker_exits_total{reason="crashed"}',
        'audit_lines_total{outcome="written"}',
        'recorded_total{outcome="written"}',
    ],
)
def test_the_traffic_has_something_of_everything(watched, event):
    [series] = watched.prometheus.at(f"sum(increase(modelfence_{event}[{SHOWN_S}s]))", watched.at_s)
    assert float(series["value"][1]) > 0


@pytest.mark.parametrize("variable", ["instance", "provider", "tier"])
def test_a_variable_has_values_to_choose_from(watched, variable):
    for board in BOARDS.values():
        [query] = [one["query"]["query"] for one in board["templating"]["list"] if one["name"] == variable]
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        values = watched.prometheus.get(f"/api/v1/label/{label}/values", **{"match[]": filled_in(selector, ALL)})
        assert len(values) >= 1
        assert set(re.findall(r"[\w.:-]+", CHOSEN[variable].replace("INSTANCE", watched.instance))) <= set(values)


def test_marks_are_asked_for_in_words_that_prometheus_understands(watched):
    for board in BOARDS.values():
        for marks in board["annotations"]["list"]:
            watched.prometheus.at(filled_in(marks["expr"], ALL), watched.at_s)


def test_every_alert_rule_can_be_evaluated(watched):
    watched.prometheus.wait_for("count(prometheus_rule_evaluations_total) or vector(1)")
    [group] = watched.prometheus.get("/api/v1/rules")["groups"]
    assert {rule["name"]: rule.get("lastError", "") for rule in group["rules"] if rule["health"] != "ok"} == {}
