"""The map of countries: a circle where callers are, as large as their calls are many, as red as they are refused."""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, geomap
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import geomap as maps
from tools.dashboards.panels import (
    BY_THRESHOLDS,
    GREEN,
    ORANGE,
    RED,
    About,
    AnyPanel,
    as_table,
    described,
    joined,
    set_to,
    thresholds,
)
from tools.dashboards.queries import Query

_CODES = "public/gazetteer/countries.json"
"""Grafana's own list of where countries are, by ISO 3166-1 alpha-2 among others."""


def world(about: About, calls: Query, refused: Query) -> AnyPanel:
    """Return the map. Both queries have the label `country`; `refused` is a share from 0 to 1."""
    circles = (
        common.MapLayerOptions()
        .type("markers")
        .name("Calls")
        .location(
            common.FrameGeometrySource().mode(kinds.FrameGeometrySourceMode.LOOKUP).lookup("Country").gazetteer(_CODES)
        )
        .config({"showLegend": True, "style": _style()})
        .tooltip(True)
    )
    panel = (
        geomap.Panel()
        .view(geomap.MapViewConfig().id("zero").lat(20).lon(0).zoom(1))
        .controls(geomap.ControlsOptions().show_zoom(True).mouse_wheel_zoom(False).show_attribution(True))
        .basemap(common.MapLayerOptions().type("default").name("Basemap"))
        .layers([circles])
        .tooltip(geomap.TooltipOptions().mode(maps.TooltipMode.DETAILS))
        .color_scheme(BY_THRESHOLDS)
        .thresholds(thresholds(((GREEN, None), (ORANGE, 0.2), (RED, 0.5))))
        .override_by_name("Not let in", [set_to("unit", "percentunit"), set_to("decimals", 0)])
        .transformations(joined(["country"], ["Calls", "Not let in"]))
    )
    return described(panel, about, [as_table(calls), as_table(refused)])


def _style() -> Mapping[str, object]:
    return {
        "color": {"field": "Not let in", "fixed": GREEN},
        "opacity": 0.6,
        "size": {"field": "Calls", "fixed": 5, "min": 4, "max": 30},
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
    }
