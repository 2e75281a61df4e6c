"""All subjects up at once, behind each the same upstream."""

import asyncio
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.proxy.load import BadAnswerError, Callers, ask_once
from bench.proxy.messages import Questions
from bench.proxy.processes import NotMeasurableError, cores, free_port, on, started
from bench.proxy.results import Measured
from bench.proxy.subjects import Site, Subject
from bench.proxy.upstream import Upstream
from bench.servers import redis_server

STARTS_WITHIN_S = 90.0
_LOG_CHARACTERS = 2_000
_EVENTS, _EVENTS_OF_END = 20, 2
"""A subject that relayed more or fewer would not go in step with the upstream."""


@dataclass(frozen=True, slots=True)
class Running:
    """A subject that answers."""

    callers: Callers
    pid: int | None
    redis_pid: int
    measured: Measured


@asynccontextmanager
async def all_running(subjects: Sequence[Subject]) -> AsyncIterator[list[Running]]:
    """Start all, each on the subjects' core; this process and Redis are on the others. Raises NotMeasurableError."""
    theirs, ours = cores()
    async with AsyncExitStack() as exits:
        exits.enter_context(on(ours))
        upstream = Upstream()
        await upstream.start()
        exits.callback(upstream.stop)
        redis = await exits.enter_async_context(redis_server())
        folder = Path(exits.enter_context(TemporaryDirectory(prefix="modelfence-bench-")))
        running = []
        for number, subject in enumerate(subjects):
            port = free_port() if subject.command else upstream.port
            site = Site(folder / str(number), port, upstream.port, redis.url, redis.running.pid)
            site.folder.mkdir()
            running.append(await _start(exits, subject, site, upstream, theirs))
        yield running


async def _start(exits: AsyncExitStack, subject: Subject, site: Site, upstream: Upstream, given: set[int]) -> Running:
    callers = Callers(site.port, Questions(subject.headers(site)), upstream)
    if subject.command is None:
        return Running(callers, None, site.redis_pid, Measured(subject))
    log, command = site.folder / "log", subject.command(site)
    process = await exits.enter_async_context(started(command, given=given, log=log, environment=subject.environment))
    await _listens(subject, callers, process, log)
    await _answers(subject, callers, log)
    return Running(callers, process.pid, site.redis_pid, Measured(subject))


async def _listens(subject: Subject, callers: Callers, process: Process, log: Path) -> None:
    give_up = time.perf_counter() + STARTS_WITHIN_S
    while True:
        try:
            (await callers.connect()).close()
        except OSError:
            if process.returncode is not None or time.perf_counter() > give_up:
                raise _unfit(subject, "does not listen", log) from None
            await asyncio.sleep(0.2)
        else:
            return


async def _answers(subject: Subject, callers: Callers, log: Path) -> None:
    """Have a subject answer both kinds of requests, and well."""
    try:
        await ask_once(callers)
        stream = await ask_once(callers, events=_EVENTS)
    except BadAnswerError as error:
        raise _unfit(subject, f"does not answer: {error}", log) from None
    if stream.events != _EVENTS + _EVENTS_OF_END:
        raise _unfit(subject, f"relayed {stream.events} events of {_EVENTS + _EVENTS_OF_END}", log)


def _unfit(subject: Subject, why: str, log: Path) -> NotMeasurableError:
    return NotMeasurableError(f"{subject.name} {why}\n{log.read_text()[-_LOG_CHARACTERS:]}")
