"""What is left of a bucket, in OpenAI's rate-limit headers: `requests`, and `tokens` for every kind of them.

After OpenAI's guide "Rate limits", section "Rate limits in headers". A refusal shows the bucket that refused; an
answer that is let through shows the tightest bucket of each kind.
"""

import math
from collections.abc import Iterator, Sequence

from modelfence.core.charge import Balance, Unit
from modelfence.core.dialect import Headers


def limits(balances: Sequence[Balance]) -> Headers:
    """Return the headers of the tightest request bucket and the tightest token bucket, as far as there are any.

    A throttle in shadow refuses nobody, so nobody is told to slow down for it.
    """
    tightest: dict[str, Balance] = {}
    for balance in sorted(balances, key=_tightness):
        if not balance.charge.shadow:
            tightest.setdefault(resource(balance), balance)
    return tuple(header for kind in sorted(tightest) for header in headers_of(tightest[kind]))


def headers_of(balance: Balance) -> Iterator[tuple[str, str]]:
    """Yield the limit, what remains of it, and how long it takes to fill up again."""
    kind = resource(balance)
    yield f"x-ratelimit-limit-{kind}", str(math.floor(balance.charge.rate.burst))
    yield f"x-ratelimit-remaining-{kind}", str(balance.left)
    yield f"x-ratelimit-reset-{kind}", duration(balance.full_in_us)


def resource(balance: Balance) -> str:
    """Return what the bucket holds, in OpenAI's word."""
    return "requests" if balance.charge.unit is Unit.REQUESTS else "tokens"


def duration(time_us: int) -> str:
    """Return a time as OpenAI writes it, which is Go's way: 20ms, 1s, 6m0s, 1h0m2.5s. Rounded up to a millisecond."""
    time_ms = max(0, -(-time_us // 1000))
    if time_ms < 1000:  # noqa: PLR2004
        return f"{time_ms}ms"
    minutes, rest_ms = divmod(time_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _tightness(balance: Balance) -> tuple[float, int]:
    """Return a key by which the smallest share of a burst comes first, and of equals the slowest to fill."""
    return balance.left_us / balance.charge.rate.burst_us, -balance.full_in_us
