"""The alert rules, by Prometheus's own tool: they are well formed, fire when they should, and say what to do.

Needs Debian's package `prometheus`, which brings `promtool`, where the tool is asked.
"""

import re
import subprocess
from typing import Any

import pytest
import yaml
from tests.grafana.boards import BOARDS, GRAFANA, ROOT, labels_grouped_by, metrics_named, panels
from tests.grafana.prometheus_server import needs
from tests.grafana.test_dashboards import documented

from modelfence.adapters.metrics.calls import PrometheusMetrics
from modelfence.policy.compile import compile_text

ALERTS = GRAFANA / "alerts"
RULES: list[dict[str, Any]] = yaml.safe_load((ALERTS / "modelfence.yaml").read_text())["groups"][0]["rules"]
TESTS: list[dict[str, Any]] = yaml.safe_load((ALERTS / "tests.yaml").read_text())["tests"]
POLICY = """
version: 1
access: [{id: customers, allow: kyc.tier > 0}]
throttle: [{id: calls, key: account.id, rate: 5 per day}]
"""


def promtool(*arguments: str, text: bytes = b"") -> str:
    """Return what it says. Raises AssertionError with that when it complains."""
    command = [needs("promtool"), *arguments]
    done = subprocess.run(command, cwd=ALERTS, input=text, capture_output=True, timeout=60, check=False)  # noqa: S603
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_the_rules_are_well_formed():
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "modelfence.yaml")


def test_the_settings_of_prometheus_are_well_formed():
    promtool("check", "config", "../prometheus.yaml")


@pytest.mark.parametrize("settings", ["grafana/prometheus.yaml", "deploy/compose/prometheus.yaml"])
def test_prometheus_scrapes_by_the_job_that_the_rules_ask_for(settings):
    [job] = yaml.safe_load((ROOT / settings).read_text())["scrape_configs"]
    assert all(f'job="{job["job_name"]}"' in rule["expr"] for rule in RULES)


def test_the_operator_of_prometheus_scrapes_by_that_job_too():
    spec = yaml.safe_load((ROOT / "deploy/kubernetes/monitoring/podmonitor.yaml").read_text())["spec"]
    assert spec["selector"]["matchLabels"][spec["jobLabel"]] == "modelfence"


def test_the_rules_fire_when_they_should_and_only_then():
    assert "SUCCESS" in promtool("test", "rules", "tests.yaml")


def test_the_metrics_are_named_as_prometheus_advises():
    metrics = PrometheusMetrics()
    metrics.in_force(compile_text(POLICY).policy)
    promtool("check", "metrics", text=metrics.render())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_says_what_is_wrong_why_it_waits_and_where_to_read_on(rule):
    assert set(rule["annotations"]) == {"summary", "description", "threshold", "runbook"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    page, anchor = rule["annotations"]["runbook"].split("#")
    assert anchor == rule["alert"].lower()
    section = re.search(rf"^## {rule['alert']}\n(.*?)(?=^## |\Z)", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    assert section, f"{page} has no section on {rule['alert']}"
    for part in ("**Means:**", "**Look at:**", "**Do:**"):
        assert part in section[1]


def test_no_runbook_is_for_a_rule_that_is_gone():
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE)
    assert sections == [rule["alert"] for rule in RULES]


def test_the_runbooks_name_panels_and_dashboards_that_are_there():
    named = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", (ROOT / "docs/runbooks.md").read_text()))
    titles = {panel["title"] for board in BOARDS.values() for panel in panels(board)}
    dashboards = {board["title"].removeprefix("modelfence: ") for board in BOARDS.values()}
    assert len(named) > 10
    assert named <= titles | dashboards


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_has_a_case_that_fires_and_a_moment_when_it_does_not(rule):
    fires = re.compile(rf"\b{rule['alert']}\b")
    tests = [test for test in TESTS if fires.search(str(test))]
    assert tests, "no test names it"
    for test in tests:
        expected = [
            case.get("exp_samples", case.get("exp_alerts"))
            for case in (*test.get("promql_expr_test", ()), *test.get("alert_rule_test", ()))
        ]
        assert [] in expected
        assert any(expected)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_labels_that_its_metrics_have(rule):
    exists = {**documented(), "up": set()}
    available = set().union(*(exists[name] for name in metrics_named(rule["expr"])))
    assert labels_grouped_by(rule["expr"]) <= available
    said = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert said <= available | {"instance", "job"}
