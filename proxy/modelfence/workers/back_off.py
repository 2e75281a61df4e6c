"""How long to wait before a worker that died is replaced: not at all the first time, then longer and longer."""

FIRST_S = 0.1
LONGEST_S = 10.0
WELL_AFTER_S = 60.0
"""Who has lived so long had started well: its death is a first one again."""


class BackOff:
    """Counts the deaths on one post."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, lived_s: float) -> float:
        """Return how many seconds to wait, now that a worker has died at that age."""
        if lived_s >= WELL_AFTER_S:
            self._deaths = 0
        self._deaths += 1
        return 0.0 if self._deaths == 1 else min(FIRST_S * 2.0 ** min(self._deaths - 2, 32), LONGEST_S)
