"""What is measured of each subject, in rounds that alternate between them."""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from bench.proxy.load import (
    BadAnswerError,
    Done,
    Latencies,
    ask_on_schedule,
    ask_without_pause,
    idle_connections,
    open_streams,
    read_streams,
)
from bench.proxy.processes import cpu_s, memory_bytes
from bench.proxy.results import Latency, Pace, Plan, Result
from bench.proxy.running import Running, all_running
from bench.proxy.subjects import Subject

EVENTS_OF_SHORT_STREAM = 10
WITHIN_REACH = 0.85
"""A rate on schedule beyond this share of what a subject does without pause would measure how a queue grows."""


async def measure(subjects: Sequence[Subject], plan: Plan) -> Result:
    """Start all, measure in turns, end all. Raises NotMeasurableError and BadAnswerError."""
    load_before = os.getloadavg()[0]
    async with all_running(subjects) as running:
        in_full = [one for one in running if one.measured.subject.in_full]
        for one in running:
            await ask_without_pause(one.callers, connections=plan.connections, seconds=plan.warm_up_s)
        idle = await _idle(running, plan.seconds)
        processes = [one for one in in_full if one.pid is not None]
        await _in_turns("memory", processes, 1, lambda one: _memory(one, plan))
        await _in_turns("requests without pause", running, plan.rounds, lambda one: _requests(one, plan))
        await _in_turns("streams", in_full, plan.rounds, lambda one: _events(one, plan))
        for rate in plan.rates:
            reach = [one for one in in_full if rate <= WITHIN_REACH * _median(one.measured.requests)]
            name = f"{rate:.0f} requests a second"
            await _in_turns(name, reach, plan.scheduled_rounds, lambda one, rate=rate: _latency(one, plan, rate))  # type: ignore[misc]
        await _in_turns("first tokens", in_full, plan.scheduled_rounds, lambda one: _first_token(one, plan))
        await _in_turns("an hour's requests", processes, 1, lambda one: _hour(one, plan))
        measured = [one.measured for one in running]
        return Result(plan, measured, idle=idle, loads=(load_before, os.getloadavg()[0]))


async def _in_turns(
    name: str, running: Sequence[Running], rounds: int, work: Callable[[Running], Awaitable[None]]
) -> None:
    print(f"measuring: {name}", flush=True)
    for _ in range(rounds):
        for one in running:
            try:
                await work(one)
            except BadAnswerError as error:
                raise BadAnswerError(f"{one.measured.subject.name}: {error}") from None


async def _idle(running: Iterable[Running], seconds: float) -> float:
    pids = [one.pid for one in running if one.pid is not None]
    before = sum(map(cpu_s, pids))
    await asyncio.sleep(seconds)
    return (sum(map(cpu_s, pids)) - before) / seconds


async def _requests(one: Running, plan: Plan) -> None:
    work = ask_without_pause(one.callers, connections=plan.connections, seconds=plan.seconds)
    one.measured.requests.append(await _pace(one, work))


async def _events(one: Running, plan: Plan) -> None:
    work = read_streams(one.callers, streams=plan.streams, seconds=plan.seconds)
    one.measured.events.append(await _pace(one, work))


async def _pace(one: Running, work: Awaitable[Done]) -> Pace:
    cpu, redis, busy, began = _cpu_s(one), cpu_s(one.redis_pid), time.process_time(), time.perf_counter()
    done = await work
    took = time.perf_counter() - began
    return Pace(
        done.rate,
        cpu_us=(_cpu_s(one) - cpu) / done.count * 1e6,
        callers_busy=(time.process_time() - busy) / took,
        redis_us=(cpu_s(one.redis_pid) - redis) / done.count * 1e6,
    )


def _cpu_s(one: Running) -> float:
    return 0.0 if one.pid is None else cpu_s(one.pid)


async def _latency(one: Running, plan: Plan, rate: float) -> None:
    seen = await ask_on_schedule(one.callers, rate=rate, seconds=plan.scheduled_s)
    one.measured.on_schedule.setdefault(rate, []).append(_quantiles(seen, seen.whole))


async def _first_token(one: Running, plan: Plan) -> None:
    seen = await ask_on_schedule(
        one.callers, rate=plan.stream_rate, seconds=plan.scheduled_s, events=EVENTS_OF_SHORT_STREAM
    )
    one.measured.first_token.append(_quantiles(seen, seen.first))


def _quantiles(seen: Latencies, seconds: list[float]) -> Latency:
    if len(seconds) < 2:
        return Latency(None, None, seen.failed)
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return Latency(cuts[49] * 1e3, cuts[98] * 1e3, seen.failed)


async def _memory(one: Running, plan: Plan) -> None:
    """See what grows with open connections, the streams on top of the idle ones: what one leaves the next would use."""
    assert one.pid is not None
    before = memory_bytes(one.pid, "Pss")
    async with idle_connections(one.callers, plan.idle_connections):
        with_idle = memory_bytes(one.pid, "Pss")
        async with open_streams(one.callers, plan.open_streams, held=True):
            with_streams = memory_bytes(one.pid, "Pss")
    one.measured.idle_connection_bytes = (with_idle - before) / plan.idle_connections
    one.measured.open_stream_bytes = (with_streams - with_idle) / plan.open_streams


async def _hour(one: Running, plan: Plan) -> None:
    assert one.pid is not None
    measured = one.measured
    measured.rss_bytes = memory_bytes(one.pid, "Rss")
    done = await ask_without_pause(
        one.callers, connections=plan.connections, seconds=plan.hour_within_s, most=plan.hour
    )
    measured.hour, measured.rss_after_bytes = done.count, memory_bytes(one.pid, "Rss")


def _median(paces: Iterable[Pace]) -> float:
    return statistics.median(pace.rate for pace in paces)
