"""Days as people count them: dates are UTC midnights, and today is the whole of a UTC day."""

import re
from datetime import UTC, datetime

DAY_US = 86_400_000_000
_DAYS = re.compile(r"([0-9]{1,5})d")


def date_of(at_us: int) -> str:
    """Return the UTC date of a time, as 2026-01-31."""
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%Y-%m-%d}"


def days_until(at_us: int, now_us: int) -> int:
    """Return how many days a time lies ahead, by the calendar: 0 within today, less than that before."""
    return at_us // DAY_US - now_us // DAY_US


def from_today(at_us: int, now_us: int) -> str:
    """Return how far from today a time is, in words."""
    days = days_until(at_us, now_us)
    match days:
        case -1 | 0 | 1:
            return ("today", "tomorrow", "yesterday")[days]
        case _:
            return f"in {days:,} days" if days > 0 else f"{-days:,} days ago"


def read_days(text: str) -> int:
    """Return the microseconds of a number of days, written as 30d. Raises ValueError."""
    if not (found := _DAYS.fullmatch(text)):
        raise ValueError(f"a number of days like 30d is expected here, not {text!r}")
    return int(found[1]) * DAY_US
