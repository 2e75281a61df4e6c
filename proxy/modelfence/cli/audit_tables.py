"""The report of an audit log as text, in tables for a terminal, and as CSV, for a spreadsheet."""

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from modelfence.audit.report import JUDGED, Figures, Report
from modelfence.cli.tables import amount, count, cut, share, table
from modelfence.core.decision import Effect

ROWS_SHOWN = 20
_LONGEST_VALUE = 36
_SAID = {Effect.ALLOW: "allowed", Effect.DENY: "denied", Effect.THROTTLE: "throttled", Effect.ERROR: "error"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula: the wide forms of the first four are of Asian keyboards.

Callers write names of models as they like.
"""
_HEAD = ("decisions", "share", *_SAID.values(), "tokens in", "out", "accounts")
_CSV_HEAD = (
    "by", "value", "decisions", *JUDGED, "in_shadow", "unsettled", "input_tokens", "output_tokens", "estimated",
    "accounts", "more_accounts",
)  # fmt: skip


def lines_of(report: Report, *, files: int) -> Iterator[str]:
    """Yield the lines of the report on so many files."""
    yield from _head(report, files)
    if not report.all.decisions:
        return
    for names, rows in report.tables():
        yield ""
        if len(rows) > ROWS_SHOWN:
            yield f"{ROWS_SHOWN} of {len(rows):,} rows; the others are in --format csv and json:"
        cells = [_row(key, figures, report.all.decisions) for key, figures in rows[:ROWS_SHOWN]]
        yield from table((*names, *_HEAD), cells, left=len(names))


def csv_of(report: Report) -> str:
    """Return all tables below each other, and the whole before them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    writer.writerow(_csv_row("all", "", report.all))
    for names, rows in report.tables():
        for key, figures in rows:
            writer.writerow(_csv_row("+".join(names), " + ".join(key), figures))
    return out.getvalue()


def _head(report: Report, files: int) -> Iterator[str]:
    figures = report.all
    yield f"{count(figures.decisions, 'decision')} in {count(files, 'file')}; the log was not verified on the way"
    if report.first_s is not None and report.last_s is not None:
        yield f"from       {_time(report.first_s)}"
        yield f"to         {_time(report.last_s)}"
        yield f"effects    {', '.join(f'{figures.effects[effect]:,} {_SAID[effect]}' for effect in JUDGED)}"
        if figures.in_shadow:
            yield f"in shadow  {count(figures.in_shadow, 'decision')} would have been otherwise by rules in shadow"
        yield f"accounts   {_accounts(figures)}"
        yield f"tokens     {figures.input_tokens:,} in, {figures.output_tokens:,} out{_estimated(figures)}"
        yield f"policies   {_some(sorted(report.policies))}"
        yield f"databases  {_some(sorted(report.databases)) or 'none'}"
    if figures.unsettled:
        yield f"no end     {count(figures.unsettled, 'call')} let in whose end was not seen, nor what they used"
    if report.unreadable:
        yield f"unread     {count(report.unreadable, 'line')} could not be understood"


def _row(key: Sequence[str], figures: Figures, whole: int) -> tuple[str, ...]:
    return (
        *(cut(value, _LONGEST_VALUE) for value in key),
        f"{figures.decisions:,}",
        share(figures.decisions, whole),
        *(f"{figures.effects[effect]:,}" for effect in JUDGED),
        amount(figures.input_tokens),
        amount(figures.output_tokens),
        _accounts(figures),
    )


def _csv_row(by: str, value: str, figures: Figures) -> tuple[object, ...]:
    return (
        by,
        f"'{value}" if value.startswith(_FORMULA) else value,
        figures.decisions,
        *(figures.effects[effect] for effect in JUDGED),
        figures.in_shadow,
        figures.unsettled,
        figures.input_tokens,
        figures.output_tokens,
        figures.estimated,
        len(figures.accounts),
        figures.more_accounts,
    )


def _accounts(figures: Figures) -> str:
    return f"{len(figures.accounts):,}{' or more' if figures.more_accounts else ''}"


def _estimated(figures: Figures) -> str:
    return f", for {count(figures.estimated, 'call')} as the fence counted" if figures.estimated else ""


def _some(names: Sequence[str]) -> str:
    return ", ".join([*(cut(name, _LONGEST_VALUE) for name in names[:3]), *(["…"] if len(names) > 3 else [])])  # noqa: PLR2004 - that many fit a line


def _time(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M:%S} UTC"
