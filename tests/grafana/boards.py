"""The dashboards as they are committed: panels, queries, and the metrics and labels that queries name."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
GRAFANA = ROOT / "grafana"
BOARDS: Mapping[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
_LABELS_OF_PROMETHEUS = {"instance", "job", "le", "alertstate"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    board: str
    panel: str
    ref: str
    expr: str
    legend: str
    instant: bool

    @property
    def name(self) -> str:
        return f"{self.board}: {self.panel}: {self.ref}"


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the panels, without the rows that only have a heading."""
    assert not any(panel.get("panels") for panel in board["panels"]), "a row that is closed hides its panels from here"
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Asked]:
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield Asked(
                    name,
                    panel["title"],
                    target["refId"],
                    target["expr"],
                    target["legendFormat"],
                    bool(target.get("instant")),
                )


def metrics_named(text: str) -> dict[str, set[str]]:
    """Return the metrics of the fence that an expression names, each with the labels that its selector asks for."""
    named: dict[str, set[str]] = {}
    for name, selector in re.findall(r"\b(modelfence_\w+)(?:\{([^}]*)\})?", text):
        asked = set(re.findall(r'(\w+) *(?:=~|!~|!=|=) *"', selector))
        named.setdefault(name, set()).update(asked - _LABELS_OF_PROMETHEUS)
    return named


def labels_grouped_by(text: str) -> set[str]:
    """Return the labels by which an expression sums or joins."""
    lists = re.findall(r"\b(?:by|on|without|ignoring|group_left|group_right) *\(([^)]*)\)", text)
    labels = {label.strip() for one in lists for label in one.split(",")}
    return {label for label in labels if re.fullmatch(r"\w+", label)} - _LABELS_OF_PROMETHEUS
