"""The kinds of panels, each in one form.

Rule: a panel comes with a title, a unit, and a text that ends with what to do when it looks bad.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmaps
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from tools.dashboards.queries import Query

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
DAYS = "suffix: days"
"""Grafana's own unit would turn them into weeks."""
GREEN, RED, ORANGE, GREY, PURPLE, BLUE = "green", "red", "orange", "#8e8e8e", "purple", "blue"
EFFECTS = {
    "allow": ("let in", GREEN),
    "deny": ("refused", RED),
    "throttle": ("throttled", ORANGE),
    "reject": ("malformed", GREY),
    "error": ("fence failed", PURPLE),
}
"""What viewers read for an effect, and its colour on every dashboard."""

type AnyPanel = Builder[models.Panel]
type Names = Mapping[str, tuple[str, str]]
"""For a series: what viewers read, and its colour."""
type Steps = Sequence[tuple[str, float | None]]
"""Colours, each from a value on; the first from None, which is everything below."""

NEUTRAL: Steps = ((BLUE, None),)
NONE_IS_FINE: Steps = ((GREEN, None), (RED, 1e-9))


@dataclass(frozen=True, slots=True)
class About:
    """What every panel has. `width` is in 24ths of the page, `height` in Grafana's rows of 30 pixels."""

    title: str
    says: str
    unit: str
    width: int
    height: int = 8


def number(about: About, query: Query, steps: Steps, *, none: str = "no data") -> AnyPanel:
    """Return one big number, coloured by the steps; `none` is what stands there while the query returns nothing."""
    panel = (
        stat.Panel()
        .reduce_options(_last())
        .color_mode(kinds.BigValueColorMode.BACKGROUND)
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .text_mode(kinds.BigValueTextMode.VALUE)
        .color_scheme(BY_THRESHOLDS)
        .thresholds(thresholds(steps))
        .no_value(none)
    )
    return described(panel, about, [_instant(query)])


def over_time(about: About, *queries: Query, steps: Steps = (), names: Names | None = None) -> AnyPanel:
    """Return a line for each series. `steps` are drawn as dashed lines; `names` give series names and colours."""
    panel = _lines(names or {}).fill_opacity(10)
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(kinds.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(thresholds(steps)).thresholds_style(style)
    return described(panel, about, [_range(query) for query in queries])


def stacked(about: About, query: Query, names: Names | None = None) -> AnyPanel:
    """Return one area for each series, one on the other, so that their height is the sum."""
    stacking = common.StackingConfig().mode(kinds.StackingMode.NORMAL)
    return described(_lines(names or {}).fill_opacity(60).stacking(stacking), about, [_range(query)])


def bars(about: About, query: Query, colour: str) -> AnyPanel:
    """Return a bar for each of the ten largest series above 0, the longest on top."""
    panel = (
        bargauge.Panel()
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .name_placement(kinds.BarGaugeNamePlacement.LEFT)
        .reduce_options(_last())
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(colour))
        .min(0)
        .no_value("none")
    )
    return described(panel, about, [_instant(Query(f"sort_desc(topk(10, {query.expr} > 0))", query.legend))])


def heat(about: About, query: Query) -> AnyPanel:
    """Return how the observations of a histogram are spread, over time."""
    panel = (
        heatmap.Panel()
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(heatmaps.HeatmapColorMode.SCHEME).scheme("Oranges").steps(32))
        .y_axis(heatmap.YAxisConfig().unit(about.unit).decimals(1))
        .cell_values(heatmap.CellValues().unit("short").decimals(0))
    )
    return described(panel, about, [_range(query).format(PromQueryFormat.HEATMAP)])


def columns(about: About, keys: Sequence[str], queries: Mapping[str, Query], units: Mapping[str, str]) -> AnyPanel:
    """Return a table: a row for each set of the labels `keys`, a column for each query; sorted by the first of these.

    `units` are those of columns that are in another unit than the table.
    """
    first = next(iter(queries))
    panel = table.Panel().sort_by([common.TableSortByFieldState().display_name(first).desc(True)]).no_value("-")
    for column, unit in units.items():
        panel.override_by_name(column, [set_to("unit", unit)])
    panel.transformations(joined(keys, list(queries)))
    return described(panel, about, [as_table(query) for query in queries.values()])


def joined(keys: Sequence[str], names: Sequence[str]) -> list[models.DataTransformerConfig]:
    """Return what makes one table of the answers to the queries of these names, by the labels that they share."""
    values = [f"Value #{letter}" for letter, _ in zip(LETTERS, names, strict=False)] if len(names) > 1 else ["Value"]
    order = {name: at for at, name in enumerate((*keys, *values))}
    # Where only one of the queries finds anything, Grafana calls its values just that.
    renamed = {**{key: key.capitalize() for key in keys}, "Value": names[0], **dict(zip(values, names, strict=True))}
    options = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": renamed}
    return [
        models.DataTransformerConfig(id_val="merge", options={}),
        models.DataTransformerConfig(id_val="organize", options=options),
    ]


LETTERS = "ABCDEFGH"
"""By which Grafana knows the queries of a panel."""
BY_THRESHOLDS = dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)
_DECIMALS = {"short": 0, "percentunit": 1, DAYS: 0}
"""Of numbers at one time: Prometheus extrapolates, and 541.23 calls are 541."""


def described(panel: Any, about: About, queries: Sequence[prometheus.Dataquery]) -> AnyPanel:  # any builder of panels
    """Return the panel with what every panel has."""
    if about.unit in _DECIMALS and not isinstance(panel, timeseries.Panel):
        panel.decimals(_DECIMALS[about.unit])
    panel.title(about.title).description(about.says).unit(about.unit).span(about.width).height(about.height)
    panel.datasource(SOURCE)
    for letter, query in zip(LETTERS, queries, strict=False):
        panel.with_target(query.ref_id(letter).datasource(SOURCE))
    built: AnyPanel = panel
    return built


def as_table(query: Query) -> prometheus.Dataquery:
    """Return the query for a row of each series, at the end of the time shown."""
    return _instant(query).format(PromQueryFormat.TABLE)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Return thresholds in the panel's unit."""
    each = [models.Threshold(value=value, color=colour) for colour, value in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(each)


def set_to(name: str, value: object) -> models.DynamicConfigValue:
    """Return one property of an override."""
    return models.DynamicConfigValue(id_val=name, value=value)


def _lines(names: Names) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .line_width(1)
        .show_points(kinds.VisibilityMode.AUTO)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    for series, (name, colour) in names.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel.override_by_name(series, [set_to("displayName", name), set_to("color", fixed)])
    return panel


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _instant(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).instant()


def _range(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).range()
