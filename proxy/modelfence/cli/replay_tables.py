"""The summary of a replay as text, in tables no wider than a terminal."""

from collections.abc import Iterator
from datetime import UTC, datetime

from modelfence.cli.tables import amount, count, cut, share, table
from modelfence.core.decision import Effect
from modelfence.replay.summary import NO_ACCOUNT, Summary

ACCOUNTS_SHOWN = 20
_LONGEST_RULE = 40
_LONGEST_ACCOUNT = 24
_LONGEST_WORD = 16


def lines_of(summary: Summary, *, policy: str, took_s: float) -> Iterator[str]:
    """Yield the lines of the summary. `policy` names the policy in a few words."""
    yield from _head(summary, policy, took_s)
    if not summary.calls:
        return
    yield ""
    effects = [(effect, summary.effects[effect], summary.would[effect]) for effect in Effect]
    rows = [(effect, f"{n:,}", share(n, summary.calls), f"{would:,}") for effect, n, would in effects if n or would]
    if summary.would:
        yield from table(("effect", "requests", "share", "in shadow"), rows, left=1)
    else:
        yield from table(("effect", "requests", "share"), [row[:3] for row in rows], left=1)
    yield ""
    rules = [
        (one.effect, cut(one.rule, _LONGEST_RULE), one.mode, f"{one.calls:,}", share(one.calls, summary.calls))
        for one in summary.rules()
    ]
    yield from table(("effect", "rule", "mode", "requests", "share"), rules, left=3)
    yield ""
    yield from _accounts(summary)


def _head(summary: Summary, policy: str, took_s: float) -> Iterator[str]:
    rate = summary.lines / max(took_s, 1e-9)
    yield f"{count(summary.calls, 'request')} replayed in {took_s:,.1f} s ({rate:,.0f} a second)"
    yield f"policy    {policy}"
    if summary.first_us is not None and summary.last_us is not None:
        yield f"from      {_time(summary.first_us)}"
        yield f"to        {_time(summary.last_us)}"
    if summary.late:
        yield f"late      {count(summary.late, 'line')} earlier than a line before, judged at the time of that one"
    if summary.broken:
        yield f"broken    {count(summary.broken, 'line')} not judged"


def _accounts(summary: Summary) -> Iterator[str]:
    accounts = summary.accounts()
    if len(accounts) > ACCOUNTS_SHOWN:
        yield f"{ACCOUNTS_SHOWN} of {len(accounts):,} accounts, by requests refused and then by requests:"
    rows = [
        (
            cut(one.account, _LONGEST_ACCOUNT),
            cut(one.tier, _LONGEST_WORD),
            cut(one.cohort, _LONGEST_WORD),
            f"{one.score:.2f}",
            f"{one.calls:,}",
            f"{one.refused:,}",
            amount(one.input_tokens),
            amount(one.output_tokens),
        )
        for one in accounts[:ACCOUNTS_SHOWN]
    ]
    head = ("account", "tier", "cohort", "score", "requests", "refused", "tokens in", "out")
    yield from table(head, rows, left=3)
    if any(one.account == NO_ACCOUNT for one in accounts[:ACCOUNTS_SHOWN]):
        yield f"{NO_ACCOUNT}: callers whose key belongs to no account"


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
