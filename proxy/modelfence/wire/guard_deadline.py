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
    """A deadline that is moved and dropped. `passed` is called in the running loop."""

    def __init__(self, passed: Callable[[], object]) -> None:
        self._passed = passed
        self._timer: asyncio.TimerHandle | None = None
        self.has_passed = False
        """And has not been moved or dropped since."""

    @property
    def is_set(self) -> bool:
        return self._timer is not None

    def set(self, seconds: float) -> None:
        """Let it pass in so many seconds, and not when it would have before."""
        self.drop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._ring)

    def drop(self) -> None:
        """Let it never pass."""
        self.has_passed = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        self.has_passed = True
        self._passed()
