"""The loop's watcher that keeps the audit log: a line for each decision, sealed and written by a thread of its own.

Rule: no call waits for the disk, and no line is lost unseen. Lines that can't be written stay in memory and are tried
again each second, as far as there is room for them; each one for which there is none is counted as lost.

Why one line a call: whoever looks for a decision finds all of it in one place. A call that was refused has its line at
once, one that was admitted when it has ended, with what it used. What is under way when a worker is killed has none;
`modelfence_requests_total` counted it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from threading import Event, Thread

from modelfence.adapters.audit.file import AuditFile
from modelfence.audit.lines import Lines
from modelfence.enforcement.ports import Judged, Observer, Settled

log = logging.getLogger(__name__)

WAITING_BYTES = 32 << 20
"""Of lines that wait to be written."""
UNDER_WAY = 65_536
"""Calls that have not ended; what is beyond has a line without its end."""
STOP_DEADLINE_S = 5.0
"""How long what is held may take to be written when the fence stops."""
RETRY_S = 1.0
GATHER_S = 0.02
"""Lines that come so soon after another are written along with it."""
_BATCH_LINES = 512
_OVERHEAD_BYTES = 100
"""What a waiting line takes in memory beside its text."""
_LOG_EVERY_S = 10.0


class Outcome(StrEnum):
    """What became of lines."""

    WRITTEN = "written"
    FAILED = "failed"
    """An attempt to write some; they are kept, and tried again."""
    LOST = "lost"
    """There was no room for them, or no time left when the fence stopped."""


class AuditLog(Observer):
    """An `Observer`. Use `start`, then `stop`, once each; until it has started nothing is written.

    `geo_built_s` tells when the databases in use were built, in seconds since the epoch, and `count` is told what
    became of so many lines, in whichever thread finds out.
    """

    def __init__(  # noqa: PLR0913 - what a log needs, by keyword
        self,
        file: AuditFile,
        lines: Lines,
        *,
        geo_built_s: Callable[[], Mapping[str, float]],
        count: Callable[[Outcome, int], None],
        clock_s: Callable[[], float] = time.monotonic,
        waiting_bytes: int = WAITING_BYTES,
        under_way: int = UNDER_WAY,
        retry_s: float = RETRY_S,
    ) -> None:
        self._file = file
        self._lines = lines
        self._geo_built_s = geo_built_s
        self._count = count
        self._clock_s = clock_s
        self._waiting_bytes = waiting_bytes
        self._most_under_way = under_way
        self._retry_s = retry_s
        self._under_way: dict[str, Judged] = {}
        self._waiting: deque[bytes] = deque()
        # Each is written by one thread alone; the difference is what waits.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._is_failing = False
        self._log_again_s = float("-inf")
        self._wake, self._stopping, self._given_up = Event(), Event(), Event()
        self._thread: Thread | None = None

    @property
    def is_kept(self) -> bool:
        """Say whether lines are being written. Also a disk that hangs fills half of the room before it is empty."""
        return not self._is_failing and self._put_bytes - self._taken_bytes <= self._waiting_bytes // 2

    def start(self) -> None:
        """Begin to write."""
        for outcome in Outcome:
            self._count(outcome, 0)
        # A disk that hangs does not keep the fence from ending.
        self._thread = Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    async def stop(self, *, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Write what is held and close the files; give up after the deadline, and count what is lost."""
        if self._thread is None:
            self._file.close()
            return
        for judged in self._under_way.values():
            self._put(judged, None, self._waiting_bytes)
        self._under_way.clear()
        self._stopping.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, deadline_s)
        self._given_up.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, self._retry_s)
        if lost := len(self._waiting):
            self._count(Outcome.LOST, lost)
            log.error("%s lines of the audit log could not be written within %s s, and are lost", lost, deadline_s)

    def judged(self, judged: Judged) -> None:
        """Write the line of a call that was refused; remember one that was admitted."""
        if self._thread is None:
            return
        if not judged.decision.admitted:
            # Half of the room is left to calls that were let in.
            self._put(judged, None, self._waiting_bytes // 2)
            return
        if len(self._under_way) >= self._most_under_way:
            oldest = next(iter(self._under_way))
            self._put(self._under_way.pop(oldest), None, self._waiting_bytes)
        self._under_way[judged.call.id] = judged

    def settled(self, settled: Settled) -> None:
        """Write the line of an admitted call, unless it had to be written before."""
        if self._under_way.pop(settled.judged.call.id, None) is not None:
            self._put(settled.judged, settled, self._waiting_bytes)

    def _put(self, judged: Judged, settled: Settled | None, room: int) -> None:
        """Hand over a line. It is made here, so that nothing of a call is held until the disk is ready."""
        fields = self._lines.fields(judged, settled, self._geo_built_s())
        size = len(fields) + _OVERHEAD_BYTES
        if self._put_bytes - self._taken_bytes + size > room:
            self._count(Outcome.LOST, 1)
            self._complain("there is no room for more lines in memory")
            return
        self._put_bytes += size
        self._waiting.append(fields)
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        """Write lines as they come, until it is stopped or given up: all that the thread does."""
        while not self._given_up.is_set():
            self._wake.wait()
            self._stopping.wait(GATHER_S)
            self._wake.clear()
            self._write_all()
            if self._stopping.is_set() and not self._waiting:
                break
        self._file.close()

    def _write_all(self) -> None:
        while self._waiting and not self._given_up.is_set():
            # Others append meanwhile, at the other end.
            batch = [self._waiting[at] for at in range(min(_BATCH_LINES, len(self._waiting)))]
            try:
                written = self._file.write(batch)
            except Exception as error:  # noqa: BLE001 - nothing may end the thread
                self._failed(error)
                self._given_up.wait(self._retry_s)
                continue
            for fields in batch[:written]:
                self._waiting.popleft()
                self._taken_bytes += len(fields) + _OVERHEAD_BYTES
            self._count(Outcome.WRITTEN, written)
            if self._is_failing:
                self._is_failing = False
                log.warning("the audit log can be written again")

    def _failed(self, error: Exception) -> None:
        self._is_failing = True
        self._count(Outcome.FAILED, 1)
        reason = error.strerror or str(error) if isinstance(error, OSError) else repr(error)
        self._complain(reason)

    def _complain(self, reason: str) -> None:
        now_s = self._clock_s()
        if now_s >= self._log_again_s:
            self._log_again_s = now_s + _LOG_EVERY_S
            log.error("the audit log can't be written: %s", reason)
