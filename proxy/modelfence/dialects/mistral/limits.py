"""What is left of a bucket, in Mistral's rate-limit headers: of `req` or of `tokens`, and in which time.

After the headers of its answers, `x-ratelimit-remaining-req-minute` and the like, which have no reset. A refusal shows
the bucket that refused; an answer that is let through shows the tightest bucket of each kind.
"""

import math
from collections.abc import Iterator, Sequence

from modelfence.core.bucket import PERIODS_US
from modelfence.core.charge import Balance, Unit
from modelfence.core.dialect import Headers

_PERIODS = {period_us: period for period, period_us in PERIODS_US.items()}


def limits(balances: Sequence[Balance]) -> Headers:
    """Return the headers of the tightest request bucket and the tightest token bucket, as far as there are any.

    A throttle in shadow refuses nobody, so nobody is told to slow down for it.
    """
    tightest: dict[str, Balance] = {}
    for balance in sorted(balances, key=_tightness):
        if not balance.charge.shadow:
            tightest.setdefault(_resource(balance), balance)
    return tuple(header for kind in sorted(tightest) for header in headers_of(tightest[kind]))


def headers_of(balance: Balance) -> Iterator[tuple[str, str]]:
    """Yield the limit and what remains of it."""
    rate = balance.charge.rate
    kind = f"{_resource(balance)}-{_PERIODS.get(rate.period_us, 'minute')}"
    yield f"x-ratelimit-limit-{kind}", str(math.floor(rate.burst))
    yield f"x-ratelimit-remaining-{kind}", str(balance.left)


def _resource(balance: Balance) -> str:
    return "req" if balance.charge.unit is Unit.REQUESTS else "tokens"


def _tightness(balance: Balance) -> tuple[float, int]:
    """Return a key by which the smallest share of a burst comes first, and of equals the slowest to fill."""
    return balance.left_us / balance.charge.rate.burst_us, -balance.full_in_us
