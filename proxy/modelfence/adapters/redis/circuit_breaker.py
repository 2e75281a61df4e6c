"""A circuit breaker: what keeps calls from waiting for a server that has stopped answering.

Closed, every call goes through. Several failures in a row open it, and for a while no call does. Then it is half open:
one call goes through as a probe. Its success closes the circuit, its failure opens it again. An answer that comes after
its caller gave up ends the while early.

Why it does: when a server halts for a moment, all callers give up at once, which is enough to open the circuit. Calls
should not fail for longer than that moment, and the answers that come late tell that it is over.

Rule: no clock in here. Time is an argument, in seconds of a clock that never goes back.
"""

from enum import StrEnum

FAILURES = 5
"""So many in a row open the circuit."""
OPEN_S = 0.5
"""How long it then stays open."""


class Circuit(StrEnum):
    """The states of a circuit, from good to bad."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitBreaker:
    """The circuit to one server. Each call that goes through gets a pass, and hands it back with its outcome.

    Outcomes of calls that went through before the circuit last changed tell nothing new, and change nothing.
    """

    def __init__(self) -> None:
        self.state = Circuit.CLOSED
        self._pass = 0
        self._failures = 0
        self._opened_at_s = 0.0

    def enter(self, now_s: float) -> int | None:
        """Return a pass, or None for a call that must not go through."""
        if self.state is Circuit.CLOSED:
            return self._pass
        if self.state is Circuit.HALF_OPEN or now_s < self._opened_at_s + OPEN_S:
            return None
        self._change(Circuit.HALF_OPEN)
        return self._pass

    def succeeded(self, passed: int) -> None:
        """See a call served."""
        if passed == self._pass:
            self._failures = 0
            if self.state is not Circuit.CLOSED:
                self._change(Circuit.CLOSED)

    def failed(self, passed: int, now_s: float) -> None:
        """See a call that the server failed."""
        if passed != self._pass:
            return
        self._failures += 1
        if self.state is Circuit.HALF_OPEN or self._failures >= FAILURES:
            self._change(Circuit.OPEN)
            self._opened_at_s = now_s

    def heard(self) -> None:
        """See an answer come after its caller gave up: the next call may be the probe."""
        self._opened_at_s = float("-inf")

    def left(self, passed: int) -> None:
        """See a call end that tells nothing of the server. After a probe that did, the next call is the probe."""
        if passed == self._pass and self.state is Circuit.HALF_OPEN:
            self._change(Circuit.OPEN)

    def _change(self, state: Circuit) -> None:
        self.state = state
        self._failures = 0
        self._pass += 1


def worst(states: list[Circuit]) -> Circuit:
    """Return the worst of several circuits; closed when there are none."""
    return max(states, key=tuple(Circuit).index, default=Circuit.CLOSED)
