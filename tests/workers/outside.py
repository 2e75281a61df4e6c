"""Everything around a supervisor, made up: processes, their ends, and the time."""

import asyncio
from dataclasses import asdict
from pathlib import Path

from modelfence.adapters.metrics.states import State
from modelfence.core.unavailable import UnavailableError
from modelfence.settings import Settings
from modelfence.workers.handing_on import Handed
from modelfence.workers.process import Started
from modelfence.workers.supervisor import Exit

STATE = State("abc", "enforce", 1.0, {}, None, 0, 0)
ON_DISK = Handed(Path("what was on the disk"))
TWO = Settings(workers=2, store="redis://a")


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        wakes = (self.now_s + seconds, asyncio.Event())
        self._sleepers.append(wakes)
        try:
            await wakes[1].wait()
        finally:
            self._sleepers.remove(wakes)

    async def pass_by(self, seconds: float) -> None:
        """Let time pass, waking sleepers in their order."""
        until_s = self.now_s + seconds
        await settle()
        while due := sorted((at_s for at_s, _ in self._sleepers if at_s <= until_s)):
            self.now_s = max(self.now_s, due[0])
            for at_s, event in self._sleepers:
                if at_s <= self.now_s:
                    event.set()
            await settle()
        self.now_s = until_s


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(50):
        await asyncio.sleep(0)


class Process:
    """A worker that does what the test says."""

    def __init__(self, pid: int, settings: Settings, slot: int, files: Handed | None) -> None:
        self.pid, self.settings, self.slot, self.files = pid, settings, slot, files
        self.asked: list[str] = []
        self.is_silent = self.drains_slowly = False
        self.says: object = None
        self.takes_s = 0.0
        self._started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def serve(self) -> None:
        self._started.set_result(Started(f"banner of {self.pid}", (), STATE, self.files or ON_DISK, {}))

    def cannot_start(self, error: Exception) -> None:
        self._started.set_exception(error)

    def die(self, status: int = -9) -> None:
        if not self._ended.done():
            self._ended.set_result(status)
        if not self._started.done():
            self._started.set_exception(UnavailableError("the worker is gone"))

    async def start(self, *, within_s: float) -> Started:
        return await self._started

    async def ask(self, what: str, *, within_s: float, bring: str | None = None) -> object:
        self.asked.append(what)
        if self.is_silent or self._ended.done() or within_s < self.takes_s:
            raise UnavailableError("silent")
        if what == "drain" and not self.drains_slowly:
            self.die(0)
        return asdict(STATE) if what == "state" else self.says

    async def exit(self) -> int:
        return await self._ended

    def kill(self) -> None:
        self.die()


class Outside:
    """Everything around the supervisor: launched processes, what was seen of their ends, and the time."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.launched: list[Process] = []
        self.failures: list[Exit] = []
        self.ended_slots: list[int] = []
        self.serves_at_once = True
        self.refuses: Exception | None = None

    async def launch(self, settings: Settings, slot: int, files: Handed | None) -> Process:
        if self.refuses is not None:
            raise self.refuses
        process = Process(len(self.launched), settings, slot, files)
        self.launched.append(process)
        if self.serves_at_once:
            process.serve()
        return process

    def ended(self, slot: int) -> None:
        self.ended_slots.append(slot)

    def failed(self, reason: Exit) -> None:
        self.failures.append(reason)
