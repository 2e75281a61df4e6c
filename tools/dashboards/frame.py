"""What is around the panels of every dashboard: variables, links to the others, and marks where a policy was loaded."""

from collections.abc import Mapping, Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from tools.dashboards.panels import BLUE, SOURCE, AnyPanel
from tools.dashboards.queries import metric

_TAG = "modelfence"


def board(title: str, uid: str, says: str, sections: Mapping[str, Sequence[AnyPanel]]) -> models.Dashboard:
    """Return a dashboard of panels under headings; those under the first, which is not shown, are at the top."""
    frame = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(says)
        .tags([_TAG])
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_to_the_others())
        .annotation(_policy_loads())
    )
    for variable in _variables():
        frame.with_variable(variable)
    for at, (heading, panels) in enumerate(sections.items()):
        if at:
            frame.with_row(dashboard.Row(heading))
        for panel in panels:
            frame.with_panel(panel)
    built = frame.build()
    for n, placed in enumerate(built.panels or (), start=1):
        placed.id_val = n
    return built


def _variables() -> Sequence[Builder[models.VariableModel]]:
    provider, tier = metric("requests_total"), metric("requests_by_tier_total")
    return (
        dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _choice("instance", "modelfence_policy_info", "Fences, by the address that Prometheus scrapes."),
        _choice("provider", provider, "Upstreams. Panels about providers, and calls by effect, follow it."),
        _choice("tier", tier, "KYC tiers. Panels about tiers, and tokens served, follow it."),
    )


def _choice(name: str, of: str, says: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .description(says)
        .datasource(SOURCE)
        .query({"qryType": 1, "query": f"label_values({of}, {name})", "refId": name})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _to_the_others() -> dashboard.DashboardLink:
    others = dashboard.DashboardLink("Dashboards").type(models.DashboardLinkType.DASHBOARDS).tags([_TAG])
    return others.keep_time(True).include_vars(True)


def _policy_loads() -> dashboard.AnnotationQuery:
    loads = dashboard.AnnotationQuery().name("Policy loaded").datasource(SOURCE).enable(True).icon_color(BLUE)
    return loads.expr(f"changes({metric('policy_loaded_timestamp_seconds')}[$__interval]) > 0")
