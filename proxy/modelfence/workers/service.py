"""`modelfence run`: both ports, the supervisor, and the signals it is told by."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modelfence.adapters.admin_server import AdminServer
from modelfence.adapters.metrics.shared_counts import SharedCounts
from modelfence.listening import address_of, bind
from modelfence.settings import CannotStartError, Settings
from modelfence.workers.control import Orders
from modelfence.workers.handing_on import Handed, own_folder
from modelfence.workers.operators import Overview, WorkerMetrics
from modelfence.workers.process import Process, Started, WorkerProcess
from modelfence.workers.reloading import Reloading
from modelfence.workers.signals import when_sent
from modelfence.workers.supervisor import Supervisor

log = logging.getLogger(__name__)

type ReadSettings = Callable[[], Settings]
"""Reads the settings again. Raises CannotStartError."""


async def serve(settings: Settings, *, read_again: ReadSettings, on_started: Callable[[Started], None]) -> None:
    """Serve until SIGTERM or SIGINT; at the second one end at once. Raises CannotStartError."""
    with (
        bind("listen", settings.listen) as customers,
        bind("admin", settings.admin) as operators,
        own_folder() as folder,
    ):
        failure: CannotStartError | None = None
        async with asyncio.TaskGroup() as tasks:
            service = _Service(settings, customers, operators, folder, tasks)
            try:
                await service.serve(read_again, on_started)
            except CannotStartError as error:
                failure = error  # raised in here it would be one of a group
        if failure is not None:
            raise failure


class _Service:
    def __init__(
        self,
        settings: Settings,
        customers: socket.socket,
        operators: socket.socket,
        folder: Path,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._settings, self._customers, self._operators, self._folder = settings, customers, operators, folder
        self._tasks = tasks
        shared = SharedCounts(folder)
        metrics = WorkerMetrics(shared)
        self._supervisor = Supervisor(self._on_our_ports(settings), launch=self._launch, watcher=metrics, tasks=tasks)
        self._reloading = Reloading(self._supervisor, metrics, folder)
        self._overview = Overview(self._supervisor, shared, metrics, stale=lambda: self._reloading.stale)
        self._stopping, self._rolling = asyncio.Event(), asyncio.Event()
        self._is_starting = True

    async def serve(self, read_again: ReadSettings, on_started: Callable[[Started], None]) -> None:
        when_sent(signal.SIGUSR2, self._rolling.set)
        when_sent(signal.SIGHUP, self._reloading.now)
        for number in (signal.SIGINT, signal.SIGTERM):
            when_sent(number, self._stop)
        try:
            started = await self._supervisor.start()
        except CannotStartError:
            if self._stopping.is_set():
                return
            raise
        self._is_starting = False
        admin = AdminServer(
            self._operators,
            render=self._overview.render,
            liveness=self._supervisor.is_alive,
            readiness=self._overview.readiness,
            cohorts=self._overview.cohorts,
        )
        admin.start()
        on_started(started)
        changing = [self._tasks.create_task(one) for one in (self._roll_when_told(read_again), self._reloading.go_on())]
        await self._stopping.wait()
        for task in changing:
            task.cancel()
        await asyncio.wait(changing)
        await self._supervisor.stop(before_draining=self._customers.close)
        await admin.stop()
        for number in (signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)  # Python gives back what is handled as it ends

    async def _launch(self, settings: Settings, slot: int, files: Handed | None) -> Process:
        return await WorkerProcess.launch(self._customers, Orders(settings, slot, self._folder, files))

    def _stop(self) -> None:
        if self._stopping.is_set() or self._is_starting:
            self._supervisor.kill()
        self._stopping.set()

    async def _roll_when_told(self, read_again: ReadSettings) -> None:
        """Replace the workers at each SIGUSR2; those that come meanwhile are one."""
        while True:
            await self._rolling.wait()
            self._rolling.clear()
            try:
                settings = read_again()
            except CannotStartError as error:
                log.error("there is no rolling restart: %s", error.report())  # noqa: TRY400 - the text says it all
                continue
            for key, now, then in (
                ("listen", settings.listen, self._settings.listen),
                ("admin", settings.admin, self._settings.admin),
            ):
                if now != then:
                    log.warning("`%s` stays %s until the fence is started anew", key, then)
            await self._supervisor.roll(self._on_our_ports(settings))
            await self._reloading.tidy()

    def _on_our_ports(self, settings: Settings) -> Settings:
        return replace(settings, listen=address_of(self._customers), admin=address_of(self._operators))
