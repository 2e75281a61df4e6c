"""Files exchanged in all workers: one reads what has changed, and the others are handed what it found good."""

import asyncio
import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from modelfence.core.unavailable import UnavailableError
from modelfence.source_files import Stamp, stamp
from modelfence.workers.handing_on import tidy
from modelfence.workers.operators import WorkerMetrics
from modelfence.workers.process import Reloaded
from modelfence.workers.supervisor import RELOADS_WITHIN_S, Supervisor

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
"""A change is seen at the second look after it, so it is live within two seconds."""


class Reloading:
    """Reloads when files have changed, and when it is told to."""

    def __init__(self, supervisor: Supervisor, metrics: WorkerMetrics, folder: Path) -> None:
        self._supervisor, self._metrics, self._folder = supervisor, metrics, folder
        self._told = asyncio.Event()
        self.stale: Mapping[str, str] = {}
        """Why a part that has changed stays as it was."""
        self._tried: Mapping[Path, Stamp] | None = None
        """What was on the disk when a worker was to read it and did not."""

    def now(self) -> None:
        """Reload without waiting for files to come to rest."""
        self._told.set()

    async def go_on(self) -> None:
        """Reload whenever it is time to, until cancelled."""
        while True:
            restless: Collection[Path] = ()
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._told.wait()
            except TimeoutError:
                # A file system that hangs must not keep the workers from being looked after.
                if not await asyncio.to_thread(self._supervisor.watch.has_changed):
                    continue
                restless = self._supervisor.watch.restless
            self._told.clear()
            try:
                await self.reload(restless)
            except Exception:
                log.exception("reloading failed; it is tried again when a file changes")

    async def reload(self, restless: Collection[Path] = ()) -> None:
        """Let one worker read what has changed, and the others take it over. Parts with restless files are left out."""
        left_out = json.dumps([str(path) for path in restless])
        supervisor = self._supervisor
        async with supervisor.changing:
            # Who was heard last is the least likely to hang.
            reader, *others = sorted(supervisor.serving, key=lambda one: one.heard_s, reverse=True) or (None,)
            if reader is None:
                return  # whoever starts next reads nothing, and catches up with the next look
            try:
                reloaded = Reloaded.told(await reader.ask("read", within_s=RELOADS_WITHIN_S, bring=left_out))
            except UnavailableError as error:
                # It may have ended for another reason, so another one tries. After that none does before something
                # changes: what a worker dies of would be the end of one after another.
                now = await asyncio.to_thread(lambda: {path: stamp(path) for path in supervisor.watch.files})
                if now == self._tried:
                    supervisor.watch.expect(now)
                self._tried = now
                supervisor.replace(reader)  # it may run what nobody else has been handed, or hang in a file
                self._tell((), {"policy": f"the worker that was to read the files did not: {error}"})
                return
            self._tried = None
            if reloaded.files == supervisor.files:  # which the others run already
                others = []
            supervisor.take(reloaded.files, reloaded.stamps)
            told = await asyncio.gather(
                *(one.ask("reload", within_s=RELOADS_WITHIN_S, bring=reloaded.files.as_text()) for one in others),
                return_exceptions=True,
            )
            for worker, answer in zip(others, told, strict=True):
                if isinstance(answer, BaseException):
                    log.error("worker %s did not take over what has changed, and is replaced: %s", worker.slot, answer)
                    supervisor.replace(worker)
            await self._tidy()
        self._tell(reloaded.changed, reloaded.failures, reloaded.warnings)

    async def tidy(self) -> None:
        """Remove what workers have handed each other before."""
        async with self._supervisor.changing:
            await self._tidy()

    async def _tidy(self) -> None:
        files = self._supervisor.files
        if files is None or self._supervisor.is_starting_one:  # who starts may not have read yet what it was handed
            return
        try:
            await asyncio.to_thread(tidy, self._folder, files)
        except OSError as error:
            log.warning("what workers handed each other before can't be removed: %s", error)

    def _tell(self, changed: tuple[str, ...], failures: Mapping[str, str], warnings: tuple[str, ...] = ()) -> None:
        self.stale = failures
        self._metrics.reloaded(changed, failures)
        if changed:
            log.info("exchanged: %s", ", ".join(changed))
        for warning in warnings:
            log.warning("%s", warning)
        for part, problem in failures.items():
            log.error("what has changed can't be used, so it stays as it was: %s\n%s", part, problem)
