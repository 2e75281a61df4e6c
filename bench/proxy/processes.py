"""Subjects as processes: where they run, what CPU they used, and what memory they have.

The subject gets the first core that this process may use, whoever calls it and answers it the others. So neither takes
time from the other, and one core's worth of a subject is measured whatever the machine has.
"""

import asyncio
import os
import signal
import socket
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_END_WITHIN_S = 15.0


class NotMeasurableError(Exception):
    """This machine, or a subject on it, can't be measured; the text says why."""


def cores() -> tuple[set[int], set[int]]:
    """Return the cores for the subject and for the others. Raises NotMeasurableError."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) < 2:
        raise NotMeasurableError("a subject and its callers need a core each, and there is one")
    return {mine[0]}, set(mine[1:])


@contextmanager
def on(given: set[int]) -> Iterator[None]:
    """Have what is started meanwhile run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, given)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def started(
    command: Sequence[str], *, given: set[int], log: Path, environment: Mapping[str, str]
) -> AsyncIterator[Process]:
    """Run a command on these cores, its words into a file; end it by its id, and whom it started by theirs."""
    with log.open("wb") as output, on(given):
        running = await create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield running
    finally:
        await _end(running)


async def _end(running: Process) -> None:
    if running.returncode is not None:
        return
    children = family(running.pid)[1:]
    running.terminate()
    try:
        await asyncio.wait_for(running.wait(), _END_WITHIN_S)
    except TimeoutError:
        running.kill()
        await running.wait()
    for child in children:
        with suppress(ProcessLookupError):  # as a rule it has ended with its parent
            os.kill(child, signal.SIGKILL)


def family(pid: int) -> list[int]:
    """Return a process and all it has started, directly or not, that are running."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process and its children have used."""
    total = 0
    for one in family(pid):
        user, system = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()[11:13]
        total += int(user) + int(system)
    return total / _TICKS_PER_S


def memory_bytes(pid: int, kind: str) -> int:
    """Return the memory of a process and its children: `Rss`, or `Pss`, where sharers count a part of a page each."""
    total = 0
    for one in family(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                total += int(line.split()[1]) * 1024
    return total


def free_port() -> int:
    """Return a port of loopback that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
