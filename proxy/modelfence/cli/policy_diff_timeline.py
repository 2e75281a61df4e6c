"""When requests are newly refused and newly allowed, as a row of bars for a terminal."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from modelfence.workbench.comparing import NEWLY_REFUSED, Change, Comparison

_BARS = " ▁▂▃▄▅▆▇█"
_WIDEST = 72


def lines_of_timeline(comparison: Comparison) -> Iterator[str]:
    """Yield a row of bars for each of both, with what it spans; nothing for a recording of one step."""
    if len(comparison.timeline) < 2:  # noqa: PLR2004 - one bar tells nothing
        return
    first_us, last_us = comparison.timeline[0][0], comparison.timeline[-1][0]
    steps = (last_us - first_us) // comparison.step_us + 1
    width_us = comparison.step_us * -(-steps // _WIDEST)
    yield ""
    yield f"over time, {_span(width_us)} a bar from {_time(first_us)} to {_time(last_us + comparison.step_us)} UTC"
    for name, changes in (("newly refused", NEWLY_REFUSED), ("newly allowed", (Change.NEWLY_ALLOWED,))):
        counts = [0] * ((last_us - first_us) // width_us + 1)
        for at_us, row in comparison.timeline:
            counts[(at_us - first_us) // width_us] += sum(row.changes[change] for change in changes)
        if any(counts):
            yield f"{name}  |{_bars(counts)}|  at most {max(counts):,}"


def _bars(counts: Sequence[int]) -> str:
    """Return a bar for each count: blank for none, and the lowest for few."""
    tallest = max(counts)
    return "".join(_BARS[-(-n * (len(_BARS) - 1) // tallest)] for n in counts)


def _span(width_us: int) -> str:
    minutes = width_us // 60_000_000
    for unit, length in (("day", 1_440), ("hour", 60), ("minute", 1)):
        if minutes % length == 0:
            n = minutes // length
            return f"{n:,} {unit}{'' if n == 1 else 's'}"
    raise AssertionError("a step is a number of minutes")


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1_000_000, UTC):%Y-%m-%d %H:%M}"
