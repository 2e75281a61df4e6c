"""The dashboards as files: what the code makes, laid out well, and asking only for what exists."""

import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from tests.grafana.boards import BOARDS, GRAFANA, ROOT, labels_grouped_by, metrics_named, panels, queries
from tools.write_dashboards import files

from modelfence.adapters.audit.log import Outcome
from modelfence.adapters.metrics.comparison import CANDIDATE, LIVE
from modelfence.core.account import Check
from modelfence.core.charge import Unit
from modelfence.core.decision import Effect
from modelfence.core.policy import Mode
from modelfence.workers.operators import Result
from modelfence.workers.supervisor import Phase

WIDTH = 24
UNITS = {"s", "suffix: days", "reqps", "percentunit", "short"}
"""Seconds, days, calls per second, shares, and numbers of things."""
VALUES: Mapping[str, set[str]] = {
    "effect": set(Effect),
    "check": set(Check),
    "mode": {*Mode, CANDIDATE},
    "live": set(Effect),
    "candidate": set(Effect),
    "acted": {LIVE, CANDIDATE},
    "policy": {LIVE, CANDIDATE},
    "unit": set(Unit),
    "outcome": {*Outcome, "deny", "allow", "local", "late", "unsettled"},
    "status": {"2xx", "3xx", "4xx", "5xx", "none"},
    "result": set(Result),
    "state": set(Phase),
    "le": {str(tenth / 10) for tenth in range(11)},
}
EXPRESSIONS = sorted(
    {asked.expr for asked in queries()}
    | {rule["expr"] for rule in yaml.safe_load((GRAFANA / "alerts/modelfence.yaml").read_text())["groups"][0]["rules"]}
)


def documented() -> dict[str, set[str]]:
    """Return the metrics of docs/metrics.md, which is held to the code, with their labels and under all their names."""
    rows = re.findall(r"^\| `(modelfence_\w+)` \|([\w, ]*)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    exists = {name: set(labels.replace(",", " ").split()) for name, labels in rows}
    histograms = [name for name in exists if name.endswith("_seconds") and "timestamp" not in name]
    for name in (*histograms, "modelfence_extraction_score"):
        exists |= {f"{name}_{part}": exists[name] for part in ("bucket", "sum", "count")}
    return exists


def test_the_committed_dashboards_are_what_the_code_makes():
    committed = {path.name: path.read_text() for path in (GRAFANA / "dashboards").iterdir()}
    assert files() == committed, "run make dashboards"


@pytest.mark.parametrize("path", [p for p in sorted(GRAFANA.rglob("*")) if p.is_file()], ids=lambda path: path.name)
def test_every_metric_named_in_a_file_exists_with_every_label_asked_of_it(path: Path):
    exists = documented()
    for name, labels in metrics_named(path.read_text().replace('\\"', '"')).items():
        assert name in exists, name
        assert labels <= exists[name], name


@pytest.mark.parametrize("asked", list(queries()), ids=lambda asked: asked.name)
def test_a_query_groups_by_labels_that_its_metrics_have(asked):
    exists = documented()
    available = set().union(*(exists[name] for name in metrics_named(asked.expr)))
    assert labels_grouped_by(asked.expr) <= available
    assert set(re.findall(r"{{(\w+)}}", asked.legend)) <= labels_grouped_by(asked.expr) | {"instance", "le"}


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_a_query_asks_for_values_that_its_labels_can_have(expr):
    """Where there may be nothing of something, 0 is shown: a wrong value would show that for ever."""
    for label, _, values in re.findall(r'(\w+) *(=~|!~|!=|=) *"([^"]*)"', expr):
        if label not in {"instance", "provider", "tier", "job"}:
            assert set(values.split("|")) <= VALUES[label], (label, values)


@pytest.mark.parametrize("name", BOARDS)
def test_panels_fill_the_width_and_do_not_overlap(name):
    places = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    for top in {place["y"] for place in places}:
        row = [place for place in places if place["y"] == top]
        assert sum(place["w"] for place in row) == WIDTH, row
        assert len({place["h"] for place in row}) == 1, row


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_says_what_it_shows_in_which_unit_and_what_to_do(name):
    shown = panels(BOARDS[name])
    assert len({panel["title"] for panel in shown}) == len(shown)
    assert len({panel["id"] for panel in BOARDS[name]["panels"]}) == len(BOARDS[name]["panels"])
    for panel in shown:
        assert len(re.findall(r"[.:;?](?= |$)", panel["description"])) >= 2, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        if panel["type"] == "stat":
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            values = [step["value"] for step in steps[1:]]
            assert steps[0]["value"] is None
            assert values == sorted(values)


@pytest.mark.parametrize("name", BOARDS)
def test_a_line_of_several_series_has_a_name_that_tells_them_apart(name):
    for panel in panels(BOARDS[name]):
        if panel["type"] in ("timeseries", "bargauge"):
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert all(legends), panel["title"]
            assert len(set(legends)) == len(legends), panel["title"]


def test_what_viewers_read_has_one_colour_everywhere():
    colours: dict[str, set[str]] = {}
    for board in BOARDS.values():
        for panel in panels(board):
            for override in panel["fieldConfig"]["overrides"]:
                properties = {one["id"]: one["value"] for one in override["properties"]}
                if "displayName" in properties:
                    colours.setdefault(properties["displayName"], set()).add(properties["color"]["fixedColor"])
    assert {"let in", "refused", "throttled", "malformed", "fence failed"} <= set(colours)
    assert {name: found for name, found in colours.items() if len(found) > 1} == {}


def test_queries_follow_what_viewers_choose_wherever_their_metrics_tell_it_apart():
    exists = documented()
    for asked in queries():
        for name, selector in re.findall(r"\b(modelfence_\w+)(\{[^}]*\})?", asked.expr):
            for label in {"instance", *({"provider", "tier"} & exists[name])}:
                assert f'{label}=~"${label}' in selector, (asked.name, name, label)


def test_dashboards_know_each_other_and_the_same_variables():
    assert set(BOARDS) == {"overview", "campaigns", "health"}
    for board in BOARDS.values():
        [link] = board["links"]
        assert (link["type"], link["keepTime"], link["includeVars"]) == ("dashboards", True, True)
        assert set(link["tags"]) <= set(board["tags"])
        names = [variable["name"] for variable in board["templating"]["list"]]
        assert names == ["datasource", "instance", "provider", "tier"]
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)


def test_what_grafana_is_provisioned_with_is_yaml_of_its_first_version():
    files_of_grafana = list((GRAFANA / "provisioning").rglob("*.yaml"))
    assert len(files_of_grafana) == 2
    for path in files_of_grafana:
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1
