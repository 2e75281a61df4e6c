"""A worker as a process: started anew, never forked alone, so that no thread or lock of the supervisor is in it."""

import asyncio
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from modelfence.adapters.metrics.states import State
from modelfence.core.problem import Problem, Severity
from modelfence.core.unavailable import UnavailableError
from modelfence.settings import CannotStartError
from modelfence.source_files import Stamp
from modelfence.workers.control import Asker, Orders, open_line
from modelfence.workers.handing_on import Handed

MODULE = "modelfence.workers.worker"


@dataclass(frozen=True, slots=True)
class Started:
    """What a worker tells that has started."""

    banner: str
    warnings: tuple[Problem, ...]
    state: State
    files: Handed
    """What it runs, to be handed on."""
    stamps: Mapping[Path, Stamp]
    """Of the files it has read."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a worker tells that has read its files again."""

    changed: tuple[str, ...]
    failures: Mapping[str, str]
    warnings: tuple[str, ...]
    files: Handed
    stamps: Mapping[Path, Stamp]

    @classmethod
    def told(cls, answer: Any) -> Self:
        """Return what an answer says."""
        return cls(
            tuple(answer["changed"]),
            answer["failures"],
            tuple(answer["warnings"]),
            Handed.of(answer["files"]),
            _stamps(answer["stamps"]),
        )


class Process(Protocol):
    """What the supervisor needs of a worker's process."""

    @property
    def pid(self) -> int: ...

    async def start(self, *, within_s: float) -> Started:
        """Return when it serves. Raises CannotStartError, and UnavailableError when it ends or is silent."""
        ...

    async def ask(self, what: str, *, within_s: float, bring: str | None = None) -> Any:
        """Return its answer. Raises UnavailableError."""
        ...

    async def exit(self) -> int:
        """Return when it has ended, and how: its status, or the signal that killed it as a negative number."""
        ...

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        ...


class WorkerProcess:
    """A process that serves on the supervisor's listening socket, with a line to it."""

    def __init__(self, process: asyncio.subprocess.Process, asker: Asker, orders: Orders) -> None:
        self._process, self._asker, self._orders = process, asker, orders

    @classmethod
    async def launch(cls, listening: socket.socket, orders: Orders) -> Self:
        """Begin a process. Raises UnavailableError when the system has none to give."""
        try:
            return await cls._launch(listening, orders)
        except OSError as error:
            raise UnavailableError(f"no process can be started: {error.strerror}") from None

    @classmethod
    async def _launch(cls, listening: socket.socket, orders: Orders) -> Self:
        own, other = socket.socketpair()
        try:
            with other:
                process = await _execute(listening.fileno(), other.fileno(), orders)
            return cls(process, Asker(*await open_line(own)), orders)
        except BaseException:
            own.close()  # a process that has begun sees it, and ends
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self, *, within_s: float) -> Started:
        answer = await self._asker.ask("start", within_s=within_s, bring=self._orders.pack())
        problems = tuple(_problem(fields) for fields in answer["problems"])
        if "cannot_start" in answer:
            raise CannotStartError(answer["cannot_start"], problems)
        return Started(
            answer["banner"],
            problems,
            State(**answer["state"]),
            Handed.of(answer["files"]),
            _stamps(answer["stamps"]),
        )

    async def ask(self, what: str, *, within_s: float, bring: str | None = None) -> Any:
        return await self._asker.ask(what, within_s=within_s, bring=bring)

    async def exit(self) -> int:
        status = await self._process.wait()
        await self._asker.close()
        return status

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()


async def _execute(listening: int, line: int, orders: Orders) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # nothing is imported from the folder in which an operator happens to be
        "-m",
        MODULE,
        str(listening),
        str(line),
        orders.settings.log_format,  # before all other orders, so that whatever fails is told in that form
        str(orders.slot),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=(listening, line),
        process_group=0,  # what is typed on a terminal is for the supervisor
    )


def as_answer(problem: Problem) -> Mapping[str, object]:
    """Return a problem as a worker tells it."""
    return asdict(problem)


def stamps_as_answer(stamps: Mapping[Path, Stamp]) -> Sequence[tuple[str, Stamp]]:
    """Return the stamps of files as a worker tells them."""
    return [(str(path), seen) for path, seen in stamps.items()]


def _stamps(told: Sequence[tuple[str, Sequence[int] | None]]) -> Mapping[Path, Stamp]:
    return {Path(path): None if seen is None else (seen[0], seen[1], seen[2]) for path, seen in told}


def _problem(fields: dict[str, Any]) -> Problem:
    return Problem(**{**fields, "severity": Severity(fields["severity"])})
