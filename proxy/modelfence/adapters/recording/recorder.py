"""The loop's watcher that records judged calls, each as one line, to be replayed later.

Rule: whatever becomes of the file, no call waits for it or fails with it. Calls are handed to a thread of their own
without waiting; what finds no room there, or none on the disk, is counted and lost.
"""

import asyncio
import logging
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Thread

from modelfence.adapters.recording.file import RecordingFile
from modelfence.adapters.recording.order import ArrivalOrder
from modelfence.core.account import Check
from modelfence.core.call import Call, Credential, CredentialState, Usage
from modelfence.core.extraction import Fingerprint
from modelfence.enforcement.ports import Judged, Observer, Settled
from modelfence.recording.lines import END, beginning_of, end_of

log = logging.getLogger(__name__)

WAITING_BYTES = 32 << 20
"""Of calls that wait to be encoded; one that is larger waits only alone."""
_CALL_BYTES = 4 << 10
_END_BYTES = 500
"""What a call, or its end, takes in memory beside the request's text; rather too much."""
STOP_DEADLINE_S = 5.0
"""How long what is held may take to be written when the fence stops."""
_LOG_EVERY_S = 10.0


class Outcome(StrEnum):
    """What became of a call's line."""

    WRITTEN = "written"
    DROPPED = "dropped"
    """There was no room to wait: calls came faster than they could be written."""
    FAILED = "failed"
    """It could not be written."""


@dataclass(frozen=True, slots=True)
class _Judged:
    call: Call
    fingerprint: Fingerprint
    is_under_way: bool
    since_s: float

    @property
    def size(self) -> int:
        return 2 * self.call.bytes + _CALL_BYTES  # its texts are there as well


@dataclass(frozen=True, slots=True)
class _Ended:
    call_id: str
    usage: Usage | None
    status: int | None
    size: int = _END_BYTES


class Recorder(Observer):
    """An `Observer`. Use `start`, then `stop`, once each; until it has started nothing is recorded.

    With `prompts` the bodies that calls bring along are written. `count` is told what became of each call's line, in
    whichever thread finds out.
    """

    def __init__(  # noqa: PLR0913 - what a recording needs, by keyword
        self,
        file: RecordingFile,
        *,
        prompts: bool,
        count: Callable[[Outcome], None],
        order: ArrivalOrder | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        waiting_bytes: int = WAITING_BYTES,
    ) -> None:
        self._file = file
        self._prompts = prompts
        self._count = count
        self._order = ArrivalOrder() if order is None else order
        self._clock_s = clock_s
        self._waiting_bytes = waiting_bytes
        self._queue: queue.SimpleQueue[_Judged | _Ended | None] = queue.SimpleQueue()
        # Each is written by one thread alone; the difference is what waits.
        self._put_bytes = 0
        self._taken_bytes = 0
        self._log_again_s = float("-inf")
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to record."""
        # A disk that hangs does not keep the fence from ending.
        self._thread = Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    async def stop(self, *, deadline_s: float = STOP_DEADLINE_S) -> None:
        """Write what is held and close the file; give up after the deadline."""
        if self._thread is None:
            self._file.close()
            return
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, deadline_s)
        if self._thread.is_alive():
            log.warning("the end of the recording could not be written within %s s", deadline_s)

    def judged(self, judged: Judged) -> None:
        """Record a call: at once when it was refused, and when it has ended otherwise."""
        if self._thread is None:
            return
        message = _Judged(
            _to_be_written(judged), judged.extraction.fingerprint, judged.decision.admitted, self._clock_s()
        )
        if not self._put(message, self._waiting_bytes):
            self._count(Outcome.DROPPED)

    def settled(self, settled: Settled) -> None:
        """Record what an admitted call used."""
        if self._thread is not None:
            # Ends have room where calls have none: without its end a call's line would be held up in vain.
            self._put(_Ended(settled.judged.call.id, settled.usage, settled.status), 2 * self._waiting_bytes)

    def _put(self, message: _Judged | _Ended, room: int) -> bool:
        waiting = self._put_bytes - self._taken_bytes
        if waiting and waiting + message.size > room:
            return False
        self._put_bytes += message.size
        self._queue.put(message)
        return True

    def _run(self) -> None:
        """Take calls and their ends, and write lines when they are due: all that the thread does."""
        is_stopping = False
        while not is_stopping:
            due_s = self._order.next_due_s()
            try:
                message = self._queue.get(timeout=None if due_s is None else max(0.0, due_s - self._clock_s()))
            except queue.Empty:
                pass
            else:
                is_stopping = message is None
                if message is not None:
                    self._take(message)
            self._write(self._order.rest() if is_stopping else self._order.due(self._clock_s()))
        self._file.close()

    def _take(self, message: _Judged | _Ended) -> None:
        try:
            if isinstance(message, _Ended):
                self._order.end(message.call_id, end_of(message.usage, message.status))
            else:
                self._hold(message)
        except Exception as error:  # noqa: BLE001 - nothing may end the thread, nor be quoted in the log
            self._failed(error)
        finally:
            self._taken_bytes += message.size

    def _hold(self, message: _Judged) -> None:
        call = message.call
        # A clock that was set back is not followed: what is replayed is in order.
        at_us = max(call.at_us, self._order.last_us)
        line = beginning_of(replace(call, at_us=at_us), message.fingerprint, prompts=self._prompts)
        until = call.id if message.is_under_way else None
        self._order.hold(at_us, line, now_s=message.since_s, until=until)

    def _write(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                self._file.append(line + END)
            except Exception as error:  # noqa: BLE001 - likewise
                self._failed(error)
            else:
                self._count(Outcome.WRITTEN)

    def _failed(self, error: Exception) -> None:
        self._count(Outcome.FAILED)
        now_s = self._clock_s()
        if now_s >= self._log_again_s:
            self._log_again_s = now_s + _LOG_EVERY_S
            # The words of another error may quote what could not be encoded.
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            log.warning("calls can't be recorded: %s", reason)


def _to_be_written(judged: Judged) -> Call:
    """Return the call without its token, of which a recording says only whose it was: a replay can't verify it."""
    call, credential = judged.call, judged.call.credential
    if not credential.token:
        return call
    if judged.found.check is Check.MALFORMED:
        return replace(call, credential=Credential(CredentialState.MALFORMED))
    account = "" if judged.account is None else judged.account.id
    return replace(call, credential=replace(credential, token="", account=account))
