from datetime import UTC, datetime

import pytest

from modelfence.core.dates import DAY_US, date_of, days_until, from_today, read_days

NOON_US = int(datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()) * 1_000_000
MIDNIGHT_US = NOON_US - DAY_US // 2


@pytest.mark.parametrize(
    ("days", "words"),
    [(-1_000, "1,000 days ago"), (-2, "2 days ago"), (-1, "yesterday"), (0, "today"), (1, "tomorrow"),
     (2, "in 2 days"), (1_000, "in 1,000 days")],
)  # fmt: skip
@pytest.mark.parametrize("now_us", [MIDNIGHT_US, NOON_US, MIDNIGHT_US + DAY_US - 1])
def test_days_are_counted_by_the_calendar_whatever_the_hour(days, words, now_us):
    assert from_today(MIDNIGHT_US + days * DAY_US, now_us) == words
    assert days_until(MIDNIGHT_US + days * DAY_US, now_us) == days


def test_a_date_is_that_of_utc():
    assert (date_of(MIDNIGHT_US - 1), date_of(MIDNIGHT_US), date_of(0)) == ("2026-11-28", "2026-11-29", "1970-01-01")


@pytest.mark.parametrize(("text", "days"), [("0d", 0), ("30d", 30), ("99999d", 99_999)])
def test_a_number_of_days_is_read(text, days):
    assert read_days(text) == days * DAY_US


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "1h", "100000d", "30d\n", "٣d"])
def test_anything_else_is_no_number_of_days(text):
    with pytest.raises(ValueError, match="a number of days like 30d is expected here"):
        read_days(text)
