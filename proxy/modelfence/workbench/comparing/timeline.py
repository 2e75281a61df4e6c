"""When things change: requests in steps of time, fine for a short recording and coarse for a long one."""

from collections.abc import Iterator, Sequence

from modelfence.core.bucket import PERIODS_US
from modelfence.workbench.comparing.changes import Change
from modelfence.workbench.comparing.rows import Row

_STEPS_US = (
    PERIODS_US["minute"],
    10 * PERIODS_US["minute"],
    PERIODS_US["hour"],
    PERIODS_US["day"],
    7 * PERIODS_US["day"],
)
MOST_STEPS = 200
"""When more of them have something in them, the next longer step is taken. Weeks may be more: a recording of four years
is none that anybody has."""


class Timeline:
    """Counts of requests by the beginning of their step, in microseconds since the epoch. Empty steps are left out."""

    def __init__(self) -> None:
        self._steps_us = iter(_STEPS_US)
        self.step_us = next(self._steps_us)
        self._steps: dict[int, Row] = {}

    def __iter__(self) -> Iterator[tuple[int, Row]]:
        """Yield each step's beginning with what was counted in it, in order."""
        return iter(sorted(self._steps.items()))

    def add(self, at_us: int, changes: Sequence[Change], *, old_let_in: bool, new_let_in: bool) -> None:
        """Count a request."""
        begins_us = at_us - at_us % self.step_us
        row = self._steps.get(begins_us)
        if row is None:
            row = self._steps[begins_us] = Row("")
            if len(self._steps) > MOST_STEPS:
                self._coarsen()
                row = self._steps[at_us - at_us % self.step_us]
        row.add(changes, old_let_in=old_let_in, new_let_in=new_let_in)

    def _coarsen(self) -> None:
        """Put steps together, to the next longer step."""
        longer_us = next(self._steps_us, None)
        if longer_us is None:
            return
        self.step_us, before, self._steps = longer_us, self._steps, {}
        for begins_us, row in before.items():
            self._steps.setdefault(begins_us - begins_us % longer_us, Row("")).take_in(row)
