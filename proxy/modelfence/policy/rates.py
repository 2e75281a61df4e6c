"""Rates and bursts: `60 per minute`, `burst: 120`.

Why these bounds: a bucket is one integer of microseconds (`core.bucket`), and in Redis that integer passes through
doubles, exact to 2^53. A unit that takes less than a microsecond to flow back would cost nothing, and a bucket that
takes more than a year to fill leaves no room for debts.
"""

import re

from modelfence.core.bucket import PERIODS_US, SECOND_US, Rate
from modelfence.document import Node, did_you_mean
from modelfence.policy.keys import BURST, RATE

MAX_FILL_DAYS = 366
MAX_PER_SECOND = 1_000_000

_THOUSANDS = re.compile(r"(?<=[0-9])[,_'](?=[0-9]{3}(?![0-9]))")
_OTHERWISE = re.compile(r"([0-9]{1,9}(?:\.[0-9]+)?) *([kKmM]?)(?: [a-z]+)? *(?:/|\bper\b|\ban?\b|\bevery\b) *([a-z]+)")
"""How people write a rate: `100k/day`, `5M tokens per month`."""
_TIMES = {"": 1, "k": 1_000, "m": 1_000_000}
_SHORT = {"s": "second", "sec": "second", "min": "minute", "h": "hour", "hr": "hour", "d": "day"}
_LONG_DAYS = {"week": 7, "month": 30, "year": 365}
_WORDS = "a rate is written as `60 per minute`: an amount per second, minute, hour or day"


def rate_of(rate: Node | None, burst: Node | None) -> Rate | None:
    """Return the rate with its burst, the amount of one period by default; None after noting a problem."""
    capacity = burst.number(minimum=BURST.minimum, maximum=BURST.maximum) if burst else None
    amount_and_period = _amount_and_period(rate) if rate else None
    if rate is None or amount_and_period is None or (burst and capacity is None):
        return None
    amount, period_us = amount_and_period
    found = Rate(amount, period_us, capacity or amount)
    days = found.burst_us / PERIODS_US["day"]
    if days > MAX_FILL_DAYS:
        words = f"at this rate the bucket takes {days:.0f} days to fill, more than {MAX_FILL_DAYS}"
        (burst or rate).problem("out-of-range", words)
    return found


def _amount_and_period(node: Node) -> tuple[float, int] | None:
    text = node.text()
    if text is None:
        return None
    match = re.fullmatch(str(RATE.pattern), text)
    if match is None:
        node.problem("bad-rate", _WORDS, hint=_hint(text))
        return None
    amount, period_us = float(match[1]), PERIODS_US[match[2]]
    if amount == 0:
        node.problem("out-of-range", "a rate of zero would never let anything through again; deny instead")
        return None
    if amount * SECOND_US > MAX_PER_SECOND * period_us:
        node.problem("out-of-range", f"this is more than {MAX_PER_SECOND} per second")
        return None
    return amount, period_us


def _hint(text: str) -> str | None:
    """Return how a rate is written that was written as people do."""
    match = _OTHERWISE.fullmatch(_THOUSANDS.sub("", text.strip()))
    if match is None:
        return None
    amount, word = float(match[1]) * _TIMES[match[2].lower()], match[3]
    period = _SHORT.get(word, word.removesuffix("s"))
    if days := _LONG_DAYS.get(period):
        a_day, whole = f"{max(1, round(amount / days))} per day", f"{amount:.15g}"
        return f"the longest period is a day: `{a_day}`, and `burst: {whole}` where all of it may be used at once"
    if period in PERIODS_US:
        return f"did you mean `{amount:.15g} per {period}`?"
    return did_you_mean(period, PERIODS_US)
