"""What a plain call that sets no limit is likely to be answered with, learned from the answers before it.

An answer that is longer than expected leaves a debt, so the expectation rises to it at once; it falls by an eighth of
the difference with each shorter one (the gain of TCP's round-trip estimate, RFC 6298).
"""

_GAIN = 8
_MOST = 16
"""Times what is assumed at the start: an answer that was longer still teaches no more than that."""


class ExpectedUsage:
    """Output tokens by account and operation; `assumed_tokens` for those not seen yet.

    Expectations lie between `least_tokens`, or what is assumed when that is less, and 16 times what is assumed. The
    10,000 seen last are remembered.
    """

    def __init__(self, assumed_tokens: int, *, least_tokens: int, max_entries: int = 10_000) -> None:
        self._assumed = assumed_tokens
        self._least = min(assumed_tokens, least_tokens)
        self._max_entries = max_entries
        self._expected: dict[tuple[str, str], float] = {}

    def of(self, account: str, operation: str) -> int:
        """Return the tokens to expect; `account` is empty for a caller without one."""
        return round(self._expected.get((account, operation), self._assumed))

    def learn(self, account: str, operation: str, output_tokens: int) -> None:
        """Take in how long an answer was."""
        name = (account, operation)
        known = self._expected.pop(name, None)
        if known is None and len(self._expected) >= self._max_entries:
            del self._expected[next(iter(self._expected))]
        seen = min(max(output_tokens, self._least), _MOST * self._assumed)
        expected = self._assumed if known is None else known
        self._expected[name] = seen if seen >= expected else expected + (seen - expected) / _GAIN
