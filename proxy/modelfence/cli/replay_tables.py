"""The summary of a replay as text, in tables no wider than a terminal."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

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
    rows = [(effect, f"{n:,}", _share(n, summary.calls), f"{would:,}") for effect, n, would in effects if n or would]
    if summary.would:
        yield from _table(("effect", "requests", "share", "in shadow"), rows, left=1)
    else:
        yield from _table(("effect", "requests", "share"), [row[:3] for row in rows], left=1)
    yield ""
    rules = [
        (one.effect, _cut(one.rule, _LONGEST_RULE), one.mode, f"{one.calls:,}", _share(one.calls, summary.calls))
        for one in summary.rules()
    ]
    yield from _table(("effect", "rule", "mode", "requests", "share"), rules, left=3)
    yield ""
    yield from _accounts(summary)


def _head(summary: Summary, policy: str, took_s: float) -> Iterator[str]:
    rate = summary.lines / max(took_s, 1e-9)
    yield f"{_count(summary.calls, 'request')} replayed in {took_s:,.1f} s ({rate:,.0f} a second)"
    yield f"policy    {policy}"
    if summary.first_us is not None and summary.last_us is not None:
        yield f"from      {_time(summary.first_us)}"
        yield f"to        {_time(summary.last_us)}"
    if summary.late:
        yield f"late      {_count(summary.late, 'line')} earlier than a line before, judged at the time of that one"
    if summary.broken:
        yield f"broken    {_count(summary.broken, 'line')} not judged"


def _accounts(summary: Summary) -> Iterator[str]:
    accounts = summary.accounts()
    if len(accounts) > ACCOUNTS_SHOWN:
        yield f"{ACCOUNTS_SHOWN} of {len(accounts):,} accounts, by requests refused and then by requests:"
    rows = [
        (
            _cut(one.account, _LONGEST_ACCOUNT),
            _cut(one.tier, _LONGEST_WORD),
            _cut(one.cohort, _LONGEST_WORD),
            f"{one.score:.2f}",
            f"{one.calls:,}",
            f"{one.refused:,}",
            _amount(one.input_tokens),
            _amount(one.output_tokens),
        )
        for one in accounts[:ACCOUNTS_SHOWN]
    ]
    head = ("account", "tier", "cohort", "score", "requests", "refused", "tokens in", "out")
    yield from _table(head, rows, left=3)
    if any(one.account == NO_ACCOUNT for one in accounts[:ACCOUNTS_SHOWN]):
        yield f"{NO_ACCOUNT}: callers whose key belongs to no account"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> Iterator[str]:
    """Yield a table whose first columns are words, to the left, and the others numbers, to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        words = [cell.ljust(width) for cell, width in zip(row[:left], widths[:left], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[left:], widths[left:], strict=True)]
        yield "  ".join((*words, *numbers)).rstrip()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}"


def _cut(text: str, longest: int) -> str:
    """Return a text that fits, without what would steer a terminal."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


def _amount(tokens: int) -> str:
    """Return a number of tokens in at most nine characters."""
    return f"{tokens:,}" if tokens < 10**7 else f"{tokens / 10**6:,.0f} M"


def _time(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us / 1_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"
