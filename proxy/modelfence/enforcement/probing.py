"""Holding off a network that keeps sending credentials which are not valid, before anyone is asked about the next.

Each network has a bucket of failures. Once it is empty, no credential from there is looked at until it holds one again,
but for those that were valid lately: behind one address there may be many callers, and one of them must not be able to
lock out the others.

Why per process: what is asked for is to spare the directory, so it can't take a question to a store. Every worker has
its part of the rate.

Why failures are charged once they are known, and not what may become one: after a restart many callers of one network
come with keys that nobody has seen yet. So as many as are under way at once can fail beyond the rate.
"""

from collections import OrderedDict

from modelfence.core import bucket
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.client_address import network_of

MAX_NETWORKS = 10_000
"""Whose failures are remembered. Of more, those are forgotten that failed longest ago."""
MAX_VALID = 50_000
"""So many digests of credentials that were valid lately are remembered: about 10 MB."""


class Probing:
    """The failures of networks. Times are microseconds of any clock that never steps back."""

    def __init__(self, per_minute: float) -> None:
        """`per_minute` is how many credentials of one network may fail within one; 0 holds off nobody."""
        self._rate = Rate(per_minute, PERIODS_US["minute"], burst=max(1.0, per_minute)) if per_minute else None
        self._full_at_us: OrderedDict[str, int] = OrderedDict()
        self._valid: OrderedDict[str, None] = OrderedDict()

    def wait_us(self, client_ip: str, digest: str, now_us: int) -> int:
        """Return how long to wait before a credential from there is looked at; 0 to look at it now."""
        full_at_us = self._full_at_us.get(network_of(client_ip)) if self._full_at_us else None
        if self._rate is None or full_at_us is None or digest in self._valid:
            return 0
        cost_us, burst_us = self._rate.time_us(1), self._rate.burst_us
        return bucket.take(full_at_us, now_us=now_us, cost_us=cost_us, burst_us=burst_us)[1]

    def failed(self, client_ip: str, digest: str, now_us: int) -> None:
        """Charge a credential that was refused for not being valid.

        However many fail at once, no network waits for longer than an empty bucket takes to fill: a minute, where that
        holds a minute's failures.
        """
        self._valid.pop(digest, None)
        if self._rate is None:
            return
        network, cost_us = network_of(client_ip), self._rate.time_us(1)
        full_at_us = bucket.settle(self._full_at_us.pop(network, 0), now_us=now_us, owed_us=cost_us)
        self._full_at_us[network] = min(full_at_us, now_us + 2 * self._rate.burst_us - cost_us)
        if len(self._full_at_us) > MAX_NETWORKS:
            self._full_at_us.popitem(last=False)

    def succeeded(self, digest: str) -> None:
        """Remember a credential that is valid."""
        if self._rate is None:
            return
        self._valid[digest] = None
        self._valid.move_to_end(digest)
        if len(self._valid) > MAX_VALID:
            self._valid.popitem(last=False)
