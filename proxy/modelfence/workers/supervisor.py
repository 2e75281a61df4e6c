"""The supervisor: it keeps as many workers up as it was told to, and exchanges them without anybody noticing.

Each worker holds a *post*. Whoever dies is replaced on the same post; in a rolling restart a new one takes the post as
soon as it serves, and only then the old one drains. All share one listening socket, which the supervisor keeps open, so
connections that nobody has accepted yet wait for those who live.

Rule: an error here that nobody expects ends the supervisor. The workers see it, serve what is under way, and end.
"""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from modelfence.adapters.metrics.states import State
from modelfence.core.unavailable import UnavailableError
from modelfence.settings import CannotStartError, Settings
from modelfence.source_files import Stamp
from modelfence.workers.back_off import BackOff
from modelfence.workers.handing_on import Handed
from modelfence.workers.process import Process, Started
from modelfence.workers.watch import Watch

log = logging.getLogger(__name__)

STARTS_WITHIN_S = 60.0
RELOADS_WITHIN_S = 120.0
"""A directory of many accounts takes its time."""
HEARTBEAT_S = 1.0
"""After each answer a worker is asked again so much later."""
SILENT_S = 10.0
"""A worker that does not answer for so long is replaced."""
QUIET_S = 3.0
"""A worker that has not answered for so long counts as silent already, for those who ask whether the fence lives."""
REAPED_WITHIN_S = 5.0
"""A process whose line has ended has so long to end by itself."""


class Phase(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Exit(StrEnum):
    """Why a worker ended that was not told to."""

    CRASHED = "crashed"
    SILENT = "silent"
    UNSTARTED = "unstarted"


class Watcher(Protocol):
    """Is told of the ends of workers."""

    def ended(self, slot: int) -> None:
        """See a process end, whatever for."""
        ...

    def failed(self, reason: Exit) -> None:
        """See one end that was not told to."""
        ...


@dataclass(slots=True, eq=False)
class Worker:
    """A process, from before it is launched until it has been reaped."""

    slot: int
    began_s: float
    phase: Phase = Phase.STARTING
    state: State | None = None
    """As it told last."""
    heard_s: float = 0.0
    """When it did."""
    process: Process | None = None
    failing: Exit = Exit.CRASHED
    """What its end will be called, should it come now."""
    has_said_why: bool = False
    """It told why it can't start: whoever wanted it complains of that, and its end is no news."""
    ending: asyncio.Task[None] | None = None
    """Is done when the process has ended."""

    async def ask(self, what: str, *, within_s: float, bring: str | None = None) -> Any:
        """Return its answer. Raises UnavailableError."""
        if self.process is None:
            raise UnavailableError("the worker has not begun")
        return await self.process.ask(what, within_s=within_s, bring=bring)


@dataclass(slots=True, eq=False)
class Post:
    """A place for a worker that serves."""

    worker: Worker | None = None
    back_off: BackOff = field(default_factory=BackOff)
    filling: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Is held while a worker starts for this post."""
    manning: asyncio.Task[None] | None = None


type Launch = Callable[[Settings, int, Handed | None], Awaitable[Process]]
"""Begins a process in a slot, to run those files, or what is on the disk. Raises UnavailableError."""


class Supervisor:
    """Use `start`, then whatever is wanted, then `stop`. All that goes on by itself is a task of the group."""

    def __init__(  # noqa: PLR0913 - what a test fakes, by keyword
        self,
        settings: Settings,
        *,
        launch: Launch,
        watcher: Watcher,
        tasks: asyncio.TaskGroup,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._launch, self._watcher, self._tasks = launch, watcher, tasks
        self._clock_s, self._sleep = clock_s, sleep
        self._posts: list[Post] = []
        self.is_stopping = False
        self.files: Handed | None = None
        """What all are to run, as the worker that read it has handed it on."""
        self.watch = Watch()
        """On what was read for it."""
        self.changing = asyncio.Lock()
        """Is held while what all are to run is exchanged."""
        self.workers: list[Worker] = []
        """Those whose processes live, or are about to."""

    @property
    def wanted(self) -> int:
        """Return how many are to serve."""
        return self._settings.workers

    @property
    def serving(self) -> Sequence[Worker]:
        """Return those that accept connections."""
        return [worker for worker in self.workers if worker.phase is Phase.SERVING]

    def is_alive(self) -> bool:
        """Say whether one who serves has been heard lately, or none serves, which is being mended."""
        now_s = self._clock_s()
        return not self.serving or any(now_s - worker.heard_s < QUIET_S for worker in self.serving)

    async def start(self) -> Started:
        """Start the first worker, then let the others start by themselves; return what the first one tells.

        Raises CannotStartError, when the first one can't.
        """
        try:
            first, started = await self._start_one(self._settings, None)
        except UnavailableError as error:
            raise CannotStartError(f"the first worker did not start: {error}") from None
        self.take(started.files, started.stamps)
        self._posts = [Post(first), *(Post() for _ in range(self.wanted - 1))]
        for post in self._posts:
            post.manning = self._tasks.create_task(self._man(post))
        return started

    def take(self, files: Handed, stamps: Mapping[Path, Stamp]) -> None:
        """Let all workers run these files from their start on, and watch what was read for them."""
        self.files = files
        self.watch.expect(stamps)

    async def roll(self, settings: Settings) -> bool:
        """Replace each worker by one with these settings; say whether all were. The first that can't start ends it.

        The first one reads what is on the disk, and the others run the same.
        """
        async with self.changing:
            return await self._roll(settings)

    async def _roll(self, settings: Settings) -> bool:
        files: Handed | None = None
        for post in tuple(self._posts[: settings.workers]):
            async with post.filling:
                try:
                    new, started = await self._start_one(settings, files)
                except (CannotStartError, UnavailableError) as error:
                    log.error("the rolling restart ends here, the workers that serve go on: %s", _words(error))  # noqa: TRY400
                    return False
                if files is None:
                    self._settings, files = settings, started.files
                    self.take(files, started.stamps)
                old, post.worker = post.worker, new
            if old is not None:
                await self._drain(old)
        await self._resize()
        log.info("%s workers have been replaced", len(self._posts))
        return True

    async def ask_all(self, what: str, *, within_s: float) -> Sequence[tuple[Worker, Any]]:
        """Return the answers of those who serve, without those that don't answer."""
        workers = self.serving
        answers = await asyncio.gather(
            *(worker.ask(what, within_s=within_s) for worker in workers), return_exceptions=True
        )
        for one in answers:
            if isinstance(one, BaseException) and not isinstance(one, UnavailableError):
                raise one
        return [pair for pair in zip(workers, answers, strict=True) if not isinstance(pair[1], BaseException)]

    async def stop(self, *, before_draining: Callable[[], object] = lambda: None) -> None:
        """Drain all workers, and return when they have ended. `before_draining` is called once no more are launched."""
        self.is_stopping = True
        for post in self._posts:
            await _cancel(post.manning)
        before_draining()
        await asyncio.gather(*(self._drain(worker) for worker in tuple(self.workers)))
        while self.workers:
            await asyncio.wait([worker.ending for worker in self.workers if worker.ending is not None])

    @property
    def is_starting_one(self) -> bool:
        """Say whether some worker starts."""
        return any(worker.phase is Phase.STARTING for worker in self.workers)

    def replace(self, worker: Worker) -> None:
        """End a worker at once; another one takes its place."""
        _kill(worker)

    def kill(self) -> None:
        """End all workers at once, because the supervisor ends."""
        self.is_stopping = True
        for worker in self.workers:
            _kill(worker)

    async def _man(self, post: Post) -> None:
        """Keep a worker on the post, for ever."""
        while True:
            lived_s = 0.0
            async with post.filling:
                if post.worker is None:
                    post.worker = await self._try_to_start()
            worker = post.worker
            if worker is not None:
                await _end_of(worker)
                if post.worker is not worker:
                    continue  # another one has taken its place
                post.worker, lived_s = None, self._clock_s() - worker.began_s
            await self._sleep(post.back_off.after(lived_s))

    async def _try_to_start(self) -> Worker | None:
        try:
            worker, _ = await self._start_one(self._settings, self.files)
        except (CannotStartError, UnavailableError) as error:
            log.error("a worker can't start, which is tried again: %s", _words(error))  # noqa: TRY400
            return None
        log.info("worker %s serves (process %s)", worker.slot, worker.process and worker.process.pid)
        return worker

    async def _start_one(self, settings: Settings, files: Handed | None) -> tuple[Worker, Started]:
        """Return a worker that serves. Raises CannotStartError and UnavailableError; then its process has ended."""
        taken = {worker.slot for worker in self.workers}
        slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        worker = Worker(slot, self._clock_s(), failing=Exit.UNSTARTED)
        self.workers.append(worker)
        try:
            worker.process = await self._launch(settings, slot, files)
        except BaseException:
            self.workers.remove(worker)
            self._watcher.failed(Exit.UNSTARTED)
            raise
        worker.ending = self._tasks.create_task(self._see_end(worker, worker.process))
        try:
            started = await worker.process.start(within_s=STARTS_WITHIN_S)
            while files is not None and self.files is not None and files != self.files:  # exchanged while it started
                files = self.files
                await worker.ask("reload", within_s=RELOADS_WITHIN_S, bring=files.as_text())
        except BaseException as error:
            worker.has_said_why = isinstance(error, CannotStartError)
            _kill(worker)
            await _end_of(worker)
            raise
        worker.phase, worker.failing = Phase.SERVING, Exit.CRASHED
        worker.state, worker.heard_s = started.state, self._clock_s()
        watching = self._tasks.create_task(self._watch(worker))
        worker.ending.add_done_callback(lambda _: watching.cancel())
        return worker, started

    async def _watch(self, worker: Worker) -> None:
        """Ask a worker again and again how it stands, and kill it when it does not say."""
        while True:
            await self._sleep(HEARTBEAT_S)
            try:
                told = await worker.ask("state", within_s=SILENT_S)
            except UnavailableError as error:
                await self._sleep(REAPED_WITHIN_S)
                log.error("worker %s is killed: %s", worker.slot, error)  # noqa: TRY400
                worker.failing = Exit.SILENT
                _kill(worker)
                return
            worker.state, worker.heard_s = State(**told), self._clock_s()

    async def _see_end(self, worker: Worker, process: Process) -> None:
        status = await process.exit()
        self.workers.remove(worker)
        self._watcher.ended(worker.slot)
        if worker.phase is not Phase.STARTING and status == 0:  # told to by the supervisor, or by a signal of its own
            log.info("worker %s has drained", worker.slot)
            return
        if self.is_stopping and worker.phase is Phase.STARTING:
            return  # it was not to start any more
        if not worker.has_said_why:
            log.error("worker %s (process %s) ended: %s, %s", worker.slot, process.pid, worker.failing, _how(status))
        self._watcher.failed(worker.failing)

    async def _drain(self, worker: Worker) -> None:
        """Tell a worker to accept nothing more, and to end when what is under way is over."""
        worker.phase = Phase.DRAINING
        try:
            await worker.ask("drain", within_s=SILENT_S)
        except UnavailableError:
            _kill(worker)

    async def _resize(self) -> None:
        """Have as many posts as the settings want workers."""
        for post in self._posts[self.wanted :]:
            await _cancel(post.manning)
            if post.worker is not None:
                await self._drain(post.worker)
        self._posts = self._posts[: self.wanted]
        for post in [Post() for _ in range(self.wanted - len(self._posts))]:
            self._posts.append(post)
            post.manning = self._tasks.create_task(self._man(post))


async def _end_of(worker: Worker) -> None:
    if worker.ending is not None:
        await asyncio.wait([worker.ending])


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


def _kill(worker: Worker) -> None:
    if worker.process is not None:
        worker.process.kill()


def _how(status: int) -> str:
    return f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"


def _words(error: CannotStartError | UnavailableError) -> str:
    return error.report() if isinstance(error, CannotStartError) else str(error)
