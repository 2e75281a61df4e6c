"""A comparison of two policies as text for a terminal: a sentence that says it all, then tables, biggest first."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from modelfence.cli.policy_diff_edits import lines_of_edits
from modelfence.cli.policy_diff_timeline import lines_of_timeline
from modelfence.cli.tables import count, cut, share, table
from modelfence.core.decision import Effect
from modelfence.workbench.comparing import NEWLY_REFUSED, Change, Comparison, Dimension
from modelfence.workbench.comparing.changes import Grounds
from modelfence.workbench.comparing.comparison import Grouped, Side
from modelfence.workbench.comparing.reasons import MOST_ACCOUNTS, Example, ReasonCount
from modelfence.workbench.comparing.rows import Row
from modelfence.workbench.comparing.tally import NO_ACCOUNT, NOT_KNOWN

REASONS_SHOWN = 8
EXAMPLES_SHOWN = 5
ROWS_SHOWN = 10
_LONGEST = 56
_LONGEST_WORD = 24
_TITLES = {
    Change.NEWLY_DENIED: "Newly denied",
    Change.NEWLY_THROTTLED: "Newly throttled",
    Change.NEWLY_ALLOWED: "Newly allowed",
    Change.REFUSED_OTHERWISE: "Refused by both, for other reasons",
    Change.RESHAPED_OTHERWISE: "Let in by both, and reshaped otherwise",
    Change.CHARGED_OTHERWISE: "Let in by both, and charged otherwise",
}
_DIMENSIONS = {
    Dimension.COUNTRY: "country",
    Dimension.TIER: "tier",
    Dimension.ACCOUNT: "account",
    Dimension.MODEL: "model",
    Dimension.OPERATION: "API and operation",
    Dimension.LABEL: "label",
}


def lines_of(comparison: Comparison, *, took_s: float, verdict: str | None) -> Iterator[str]:
    """Yield the lines of the report. `verdict` says what a limit makes of it."""
    yield sentence(comparison)
    if verdict is not None:
        yield verdict
    yield ""
    yield from _head(comparison, took_s)
    yield ""
    yield from _titled("What changes in the policy", lines_of_edits(comparison.edits))
    if not comparison.recorded.requests:
        return
    yield ""
    yield from _effects(comparison.old, comparison.new)
    yield from _changes(comparison, (*NEWLY_REFUSED, Change.NEWLY_ALLOWED))
    if comparison.newly_refused or comparison.newly_allowed:
        for dimension, grouped in comparison.by.items():
            if len(grouped.rows) > 1 or dimension is Dimension.ACCOUNT:  # that all are of one kind tells nothing
                yield ""
                yield from _grouped(_DIMENSIONS[dimension], grouped)
        yield from lines_of_timeline(comparison)
    yield from _changes(comparison, (Change.REFUSED_OTHERWISE, Change.RESHAPED_OTHERWISE, Change.CHARGED_OTHERWISE))


def sentence(comparison: Comparison) -> str:
    """Return what happens, in one sentence."""
    old, refused = comparison.old, comparison.newly_refused
    old_refused = comparison.recorded.requests - old.let_in
    if not comparison.recorded.requests:
        return "The recording holds no request, so there is nothing to compare."
    if not any(comparison.changes.values()):
        return f"NEW decides about {count(comparison.recorded.requests, 'request')} as OLD does."
    of_whom = f" ({share(refused, old.let_in)}), from {_callers(comparison)}" if refused else ""
    return (
        f"NEW refuses {_number(refused)} of the {count(old.let_in, 'request')} that OLD let in{of_whom}; "
        f"it lets in {_number(comparison.newly_allowed)} of the {old_refused:,} that OLD refused."
    )


def _number(n: int) -> str:
    return f"{n:,}" if n else "none"


def _callers(comparison: Comparison) -> str:
    """Return who is newly refused."""
    grouped = comparison.by[Dimension.ACCOUNT]
    accounts = grouped.touched_by(*NEWLY_REFUSED)
    without = any(row.value == NO_ACCOUNT and row.newly_refused for row in grouped.rows)
    words = [count(accounts - without, "account")] if accounts > without else []
    words += ["callers without one" if words else "callers without an account"] if without else []
    return ("at least " if grouped.others else "") + " and ".join(words)


def _head(comparison: Comparison, took_s: float) -> Iterator[str]:
    recorded = comparison.recorded
    for name, side in (("OLD", comparison.old), ("NEW", comparison.new)):
        enforced = ", taken as if nothing were in shadow" if side.as_enforced else ""
        yield f"{name:<11}{side.path} ({side.hash}, {side.mode}{enforced})"
    span = ""
    if recorded.first_us is not None and recorded.last_us is not None:
        span = f", {_time(recorded.first_us)} to {_time(recorded.last_us)} UTC"
    yield f"recording  {count(recorded.requests, 'request')}{span}; compared in {took_s:,.1f} s"
    if recorded.rejected:
        yield f"rejected   {count(recorded.rejected, 'request')}, malformed or too large: no policy is asked"
    if recorded.redacted:
        yield (
            f"redacted   {count(recorded.redacted, 'request')} without prompts: detection goes by the fingerprints "
            "taken when they were recorded"
        )
    if recorded.late:
        yield f"late       {count(recorded.late, 'line')} earlier than a line before, judged at the time of that one"
    if recorded.broken:
        yield f"broken     {count(recorded.broken, 'line')} not judged"
    for name, side in (("OLD", comparison.old), ("NEW", comparison.new)):
        if side.would_refuse:
            hint = "; --as-enforced takes that into account" if name == "NEW" else ""
            yield f"in shadow  {name} would refuse {count(side.would_refuse, 'request')} that it lets in{hint}"


def _titled(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield title
    for line in lines:
        yield f"  {line}"


def _effects(old: Side, new: Side) -> Iterator[str]:
    rows = []
    for effect in Effect:
        before, after = old.effects.get(effect, 0), new.effects.get(effect, 0)
        if before or after:
            rows.append((effect, f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else "="))
    yield from table(("effect", "OLD", "NEW", "difference"), rows, left=1)


def _changes(comparison: Comparison, changes: Sequence[Change]) -> Iterator[str]:
    for change in changes:
        if comparison.changes.get(change):
            yield ""
            yield from _change(comparison, change)


def _change(comparison: Comparison, change: Change) -> Iterator[str]:
    """Yield why requests fare otherwise in one way, and some of them."""
    counts = [one for one in comparison.reasons if one.reason.change is change]
    yield f"{_TITLES[change]}: {count(comparison.changes[change], 'request')}"
    rows = [
        (_words(one.reason.old), _words(one.reason.new), f"{one.requests:,}", _accounts(one))
        for one in counts[:REASONS_SHOWN]
    ]
    yield from _indented(table(("OLD", "NEW", "requests", "accounts"), rows, left=2))
    if len(counts) > REASONS_SHOWN:
        rest = counts[REASONS_SHOWN:]
        yield f"  … and {len(rest):,} more: {count(sum(one.requests for one in rest), 'request')}"
    yield "  for example"
    head = ("line", "time (UTC)", "account", "tier", "country", "model", "NEW")
    examples = sorted(_examples(counts), key=lambda one: one[0].n)
    lines = [
        (
            f"{one.n + 1:,}",
            _time(one.at_us),
            cut(one.account or NO_ACCOUNT, _LONGEST_WORD),
            cut(one.tier, _LONGEST_WORD),
            one.country or NOT_KNOWN,
            cut(NOT_KNOWN if one.model is None else one.model, _LONGEST_WORD),
            _because(grounds),
        )
        for one, grounds in examples
    ]
    yield from _indented(table(head, lines, left=len(head)))


def _examples(counts: Sequence[ReasonCount]) -> Sequence[tuple[Example, Grounds]]:
    """Return some requests: one for each reason, those of the frequent ones first, and then the second ones."""
    ranked = [
        (rank, -one.requests, example, one.reason.new) for one in counts for rank, example in enumerate(one.examples)
    ]
    ranked.sort(key=lambda one: one[:2])
    return [(example, grounds) for _, _, example, grounds in ranked[:EXAMPLES_SHOWN]]


def _words(grounds: Grounds) -> str:
    verb = "" if grounds.effect is Effect.ALLOW else f"{grounds.effect} "
    return cut(f"{verb}{_because(grounds)}", _LONGEST)


def _because(grounds: Grounds) -> str:
    unknown = f" ({', '.join(grounds.unknown)} unknown)" if grounds.unknown else ""
    return cut(", ".join(grounds.because) + unknown, _LONGEST)


def _accounts(one: ReasonCount) -> str:
    return f"{len(one.accounts):,}{'+' if len(one.accounts) == MOST_ACCOUNTS else ''}"


def _grouped(name: str, grouped: Grouped) -> Iterator[str]:
    touched = [row for row in grouped.rows if row.newly_refused or row.changes[Change.NEWLY_ALLOWED]]
    head = (name, "requests", "OLD let in", "newly refused", "share", "newly allowed")
    rows = [_row(row) for row in touched[:ROWS_SHOWN]]
    if touched:
        yield from table(head, rows, left=1)
    if len(touched) > ROWS_SHOWN:
        yield f"… and {len(touched) - ROWS_SHOWN:,} more"
    if grouped.others is not None:
        yield f"for {count(grouped.others.requests, 'request')} of others there was no room"


def _row(row: Row) -> Sequence[str]:
    return (
        cut(row.value, _LONGEST),
        f"{row.requests:,}",
        f"{row.old_let_in:,}",
        f"{row.newly_refused:,}",
        share(row.newly_refused, row.old_let_in) if row.old_let_in else "",
        f"{row.changes[Change.NEWLY_ALLOWED]:,}",
    )


def _indented(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        yield f"    {line}"


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
