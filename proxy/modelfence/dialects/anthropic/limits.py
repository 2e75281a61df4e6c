"""What is left of a bucket, in Anthropic's rate-limit headers: requests, input tokens, output tokens, or all tokens.

After Anthropic's API reference, "Rate limits", section "Response headers". A refusal shows the bucket that refused; an
answer that is let through shows the tightest bucket of each kind.

Why no `-reset` headers: they name a time of day, and a dialect has no clock. `retry-after` says how long to wait.
"""

import math
from collections.abc import Iterator, Sequence

from modelfence.core.charge import Balance, Unit
from modelfence.core.dialect import Headers

_KINDS = {
    Unit.REQUESTS: "requests",
    Unit.INPUT_TOKENS: "input-tokens",
    Unit.OUTPUT_TOKENS: "output-tokens",
    Unit.TOTAL_TOKENS: "tokens",
}


def limits(balances: Sequence[Balance]) -> Headers:
    """Return the headers of the tightest bucket of each kind, as far as there are any.

    A throttle in shadow refuses nobody, so nobody is told to slow down for it.
    """
    tightest: dict[Unit, Balance] = {}
    for balance in sorted(balances, key=_tightness):
        if not balance.charge.shadow:
            tightest.setdefault(balance.charge.unit, balance)
    return tuple(header for unit in sorted(tightest) for header in headers_of(tightest[unit]))


def headers_of(balance: Balance) -> Iterator[tuple[str, str]]:
    """Yield the limit and what remains of it."""
    kind = _KINDS[balance.charge.unit]
    yield f"anthropic-ratelimit-{kind}-limit", str(math.floor(balance.charge.rate.burst))
    yield f"anthropic-ratelimit-{kind}-remaining", str(balance.left)


def _tightness(balance: Balance) -> tuple[float, int]:
    """Return a key by which the smallest share of a burst comes first, and of equals the slowest to fill."""
    return balance.left_us / balance.charge.rate.burst_us, -balance.full_in_us
