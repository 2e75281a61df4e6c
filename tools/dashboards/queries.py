"""Queries, each in one form, for the instances that the viewer chose.

Rates are over `$__rate_interval`, which is never too short for how often Prometheus scrapes; amounts are over
`$__range`, the time that the dashboard shows.
"""

from dataclasses import dataclass

OF_PROVIDER = 'provider=~"$provider|none"'
"""Calls that reached no upstream's path have the provider `none`; they are always shown."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to ask Prometheus, and what the answer is called: `{{label}}` stands for a label."""

    expr: str
    legend: str = ""


def metric(name: str, *matchers: str) -> str:
    """Return the selector of a metric."""
    return f"modelfence_{name}{{{', '.join(('instance=~"$instance"', *matchers))}}}"


def rate(name: str, *matchers: str, by: str = "") -> str:
    """Return a counter's increase per second."""
    return f"{_sum(by)}(rate({metric(name, *matchers)}[$__rate_interval]))"


def increase(name: str, *matchers: str, by: str = "") -> str:
    """Return a counter's increase over the time shown."""
    return f"{_sum(by)}(increase({metric(name, *matchers)}[$__range]))"


def share(part: str, whole: str) -> str:
    """Return part / whole: 0 while there is no part, nothing while the whole is 0."""
    return f"({part} or vector(0)) / ({whole} > 0)"


def shares(part: str, whole: str) -> str:
    """Return part / whole for each series of the whole: 0 where there is no part, nothing where the whole is 0."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def quantile(of: float, name: str) -> str:
    """Return a quantile of a histogram; nothing where nothing was observed, which is no number, so not >= 0."""
    return f"histogram_quantile({of}, {rate(f'{name}_bucket', by='le')}) >= 0"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"
