"""The time of a replay: that of the line being judged."""


class VirtualClock:
    """A clock that is set by whoever replays, and never goes back."""

    def __init__(self) -> None:
        self.now_us = 0

    def __call__(self) -> int:
        """Return the time in microseconds since the epoch."""
        return self.now_us

    def move_to(self, at_us: int) -> bool:
        """Let it be that time; say False when it is later already."""
        is_ahead = at_us >= self.now_us
        if is_ahead:
            self.now_us = at_us
        return is_ahead
