"""Deadlines for what is waited for on every call.

Each costs a tenth of asyncio's own, which sets and cancels a timer for each: here all of one length share one, since
the one that was set first is always due first.
"""

import asyncio
from collections.abc import Callable
from itertools import takewhile
from typing import Self


class Alarm:
    """Something to be called when it is due, by the event loop's time."""

    __slots__ = ("due_s", "ring")

    def __init__(self, due_s: float, ring: Callable[[], None]) -> None:
        self.due_s = due_s
        self.ring = ring


class Alarms:
    """Calls back so many seconds after it was asked to, each time the same. For one event loop at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._set: dict[Alarm, None] = {}
        """In the order in which they are due."""
        self._rings_s: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, ring: Callable[[], None]) -> Alarm:
        """Call that when the time has passed, unless the alarm is dropped before."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # one that has ended has taken its timers with it
            self._loop, self._rings_s = loop, None
            self._set.clear()
        alarm = Alarm(loop.time() + self._seconds, ring)
        self._set[alarm] = None
        if self._rings_s is None or self._rings_s > alarm.due_s:  # the latter if the clock was set back
            self._ring_at(alarm.due_s)
        return alarm

    def drop(self, alarm: Alarm) -> None:
        """Let it not ring, if it has not. The timer stays: the next alarm needs it."""
        self._set.pop(alarm, None)

    def _ring(self) -> None:
        now_s = asyncio.get_running_loop().time()
        due = list(takewhile(lambda alarm: alarm.due_s <= now_s, self._set))
        for alarm in due:
            del self._set[alarm]
        self._rings_s = None
        if self._set:
            self._ring_at(next(iter(self._set)).due_s)
        for alarm in due:
            alarm.ring()

    def _ring_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s, self._timer = at_s, asyncio.get_running_loop().call_at(at_s, self._ring)


class Deadlines:
    """Deadlines of so many seconds each. `with deadlines.next():` ends a block like `asyncio.timeout`."""

    def __init__(self, seconds: float) -> None:
        self._alarms = Alarms(seconds)

    def next(self) -> "Deadline":
        """Return one that runs from when its block begins."""
        return Deadline(self._alarms)


class Deadline:
    """Ends a block with TimeoutError once it has passed. What cancels the task for another reason still does."""

    __slots__ = ("_alarm", "_alarms", "_cancelling", "_has_passed", "_task")

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._has_passed = False

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - who awaits is in a task
        self._task, self._cancelling = task, task.cancelling()
        self._alarm = self._alarms.set(self._pass)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._alarms.drop(self._alarm)
        del self._alarm  # it holds this in turn: what is no cycle need not be looked for
        if self._has_passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _pass(self) -> None:
        self._has_passed = True
        self._task.cancel()
