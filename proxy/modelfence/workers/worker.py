"""A worker: a fence on the supervisor's listening socket, which answers what the supervisor asks.

When the line to the supervisor ends, the supervisor is gone: the worker serves what is under way, and ends too.
"""

import asyncio
import gc
import json
import logging
import shutil
import signal
import socket
import sys
from dataclasses import asdict, replace
from pathlib import Path

from modelfence.adapters.metrics.shared_counts import share
from modelfence.logs import log_as
from modelfence.settings import CannotStartError
from modelfence.source_files import Files
from modelfence.wiring import Gateway
from modelfence.workers.control import Answers, Orders, answer, open_line
from modelfence.workers.handing_on import Handed, hand_on, taken
from modelfence.workers.process import MODULE, as_answer, stamps_as_answer
from modelfence.workers.signals import when_sent

log = logging.getLogger(MODULE)  # run as a program, it is called something else

COLLECT_AFTER = 10_000
"""Objects more, after which the youngest are looked through; Python's own is 2,000, which is every few calls."""


def main() -> int:
    """Serve until told to drain: by the supervisor, by its end, or by SIGTERM."""
    # The supervisor tells when to stop; a terminal, or whoever signals a whole group, must not do it before.
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)
    *descriptors, form, slot = sys.argv[1:]
    log_as(form, worker=int(slot))
    listening, control = (socket.socket(fileno=int(number)) for number in descriptors)
    listening.setblocking(False)
    asyncio.run(_Worker(listening).work(control))
    return 0


class _Worker:
    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._folder: Path | None = None
        self._handed: Handed | None = None
        """What all workers run, as far as it is known here."""
        self._gateway: Gateway | None = None
        self._stopping = asyncio.Event()

    async def work(self, control: socket.socket) -> None:
        when_sent(signal.SIGTERM, self._stopping.set)
        answering = asyncio.create_task(answer(*await open_line(control), self._answers()))
        answering.add_done_callback(lambda _: self._stopping.set())
        await self._stopping.wait()
        if self._gateway is not None:
            await self._gateway.drain()
        if answering.done() and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)  # which the supervisor would have done
        answering.cancel()  # it has told of itself until now
        await asyncio.wait([answering])

    def _answers(self) -> Answers:
        return {
            "start": self._start,
            "state": self._state,
            "readiness": self._readiness,
            "cohorts": self._cohorts,
            "read": self._read,
            "reload": self._reload,
            "drain": self._drain,
        }

    async def _start(self, packed: str) -> object:
        orders = Orders.unpack(packed)
        self._folder = orders.folder
        files = Files.on_disk(orders.folder) if orders.files is None else taken(orders.files)
        try:
            _share(orders)
            self._gateway = Gateway(orders.settings, slot=orders.slot, files=files)
            await self._gateway.serve(self._listening)
            self._handed = orders.files or _hand_on_first(files, orders.folder)
            _collect_seldom()
        except CannotStartError as error:
            return {"cannot_start": str(error), "problems": [as_answer(one) for one in error.problems]}
        failure = self._gateway.parts.candidate.failure
        if failure is not None and orders.files is None:  # else it has been said by the worker that read the file
            log.error("nothing is tried, the live policy acts for everybody:\n%s", failure.report())
        return {
            "banner": self._gateway.banner(),
            "problems": [as_answer(one) for one in self._gateway.parts.warnings],
            "state": await self._state(None),
            "files": self._handed.as_text(),
            "stamps": stamps_as_answer(self._gateway.stamps),
        }

    async def _state(self, _: None) -> object:
        return asdict(self._serving.state())

    async def _readiness(self, _: None) -> object:
        return asdict(await self._serving.readiness())

    async def _cohorts(self, _: None) -> object:
        return list(await self._serving.cohorts())

    async def _read(self, left_out: str) -> object:
        """Reload what has changed on the disk, and hand it on. What can't be handed on changes nothing."""
        assert self._folder is not None  # noqa: S101 - nothing is asked before the start
        assert self._handed is not None  # noqa: S101 - likewise
        before = self._serving.parts.files
        reloaded = await self._serving.reload(left_out=frozenset(map(Path, json.loads(left_out))))
        try:
            self._handed = await asyncio.to_thread(hand_on, reloaded.files, self._folder)
        except OSError as error:
            await self._serving.reload(before)
            words = f"{_not_handed(self._folder, error)}: make room, then SIGHUP"
            failures = {**dict.fromkeys(reloaded.changed, words), **reloaded.failures}
            reloaded = replace(reloaded, changed=(), failures=failures, warnings=())
        return {
            "changed": reloaded.changed,
            "failures": dict(reloaded.failures),
            "warnings": reloaded.warnings,
            "files": self._handed.as_text(),
            "stamps": stamps_as_answer(reloaded.stamps),
        }

    async def _reload(self, handed: str) -> object:
        """Take over what another worker has read."""
        self._handed = Handed.of(handed)
        await self._serving.reload(taken(self._handed))
        return None

    async def _drain(self, _: None) -> None:
        self._stopping.set()

    @property
    def _serving(self) -> Gateway:
        assert self._gateway is not None  # noqa: S101 - nothing is asked before the start
        return self._gateway


def _collect_seldom() -> None:
    """Spare each call its share of looking for garbage: what was loaded stays, and little of a call is a cycle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def _hand_on_first(files: Files, folder: Path) -> Handed:
    try:
        return hand_on(files, folder)
    except OSError as error:
        raise CannotStartError(f"{_not_handed(folder, error)}; choose another TMPDIR") from None


def _not_handed(folder: Path, error: OSError) -> str:
    return f"workers can hand each other nothing through {folder} ({error.strerror})"


def _share(orders: Orders) -> None:
    try:
        share(orders.folder, orders.slot)
    except OSError as error:
        words = f"what workers count can't be kept in {orders.folder} ({error.strerror}); choose another TMPDIR"
        raise CannotStartError(words) from None


if __name__ == "__main__":
    sys.exit(main())
