"""One timer for each client connection.

mitmproxy makes a task of each timer, and none of them can be called off: a client whose requests come in two halves
could leave thousands behind, each for as long as a head may take.
"""

import asyncio
from collections.abc import Callable

from mitmproxy.proxy import events


class DeadlinePassed(events.Event):
    """The time is up that the client's connection was given for what it does."""


class FenceStops(events.Event):
    """The fence has waited long enough for what is under way."""


class Deadline:
    """A deadline that is moved and dropped. `passed` is called in the running loop.

    It is moved three times for each request, nearly always to later, and then only noted: its timer, when it rings,
    waits for the rest.
    """

    def __init__(self, passed: Callable[[], object]) -> None:
        self._passed = passed
        self._timer: asyncio.TimerHandle | None = None
        self._due_s: float | None = None
        """By the time of the event loop."""
        self.has_passed = False
        """And has not been moved or dropped since."""

    @property
    def is_set(self) -> bool:
        return self._due_s is not None

    def set(self, seconds: float) -> None:
        """Let it pass in so many seconds, and not when it would have before."""
        loop = asyncio.get_running_loop()
        self.has_passed = False
        self._due_s = due_s = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= due_s:
                return
            self._timer.cancel()
        self._timer = loop.call_at(due_s, self._ring)

    def drop(self) -> None:
        """Let it never pass."""
        self.has_passed = False
        self._due_s = None

    def end(self) -> None:
        """Drop it for good, and its timer, which would keep the connection in memory."""
        self.drop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        timer, self._timer = self._timer, None
        if self._due_s is None or timer is None:
            return
        if timer.when() < self._due_s:
            self._timer = asyncio.get_running_loop().call_at(self._due_s, self._ring)
            return
        self._due_s = None
        self.has_passed = True
        self._passed()
