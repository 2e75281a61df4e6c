"""Buckets in Redis on a recording's clock: for a replay, beside a fence that may be running on the same server.

The scripts are a fence's own but for their first lines (`begin_replay.lua`): they are told what time it is, and so are
other scripts to the server. Keys begin with another prefix, new for each replay, so that no bucket of a fence can be
reached from here; they are deleted in the end, or run out a day after the last use.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence

from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.adapters.redis.scripts import Script, evaluate, read, within
from modelfence.adapters.redis.servers import RedisServers
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Taken

_DELETED_AT_ONCE = 500


class ReplayScripts:
    """Runs scripts by a clock of our own, each call within `deadline_s`."""

    def __init__(self, servers: RedisServers, *, clock_us: Callable[[], int], deadline_s: float) -> None:
        self._servers = servers
        self._clock_us = clock_us
        self._deadline_s = deadline_s
        self.last_answer_us = 0

    async def run(self, name: str, keys: Sequence[str], arguments: Sequence[int | str]) -> tuple[int, Sequence[int]]:
        """Return the clock's time and the rest of the script's answer. Raises UnavailableError."""
        return await within(self._deadline_s, self._run(name, keys, arguments))

    async def _run(self, name: str, keys: Sequence[str], arguments: Sequence[int | str]) -> tuple[int, Sequence[int]]:
        now_us = self._clock_us()
        script = Script.of(name, begin="begin_replay.lua")
        async with asyncio.timeout(self._deadline_s):
            answer = await evaluate(self._servers, script, keys, (now_us, *arguments))
        self.last_answer_us, _in_time, rest = read(answer)
        return now_us, rest


class ReplayBuckets:
    """A `BucketStore` on `clock_us`, in the Redis of `url`, under keys of its own that begin with `prefix`.

    Raises ValueError for a URL that can't be used.
    """

    def __init__(self, url: str, *, prefix: str, clock_us: Callable[[], int], deadline_s: float) -> None:
        self._buckets = RedisBuckets(
            url,
            prefix=f"{prefix}:replay-{secrets.token_hex(8)}",
            deadline_s=deadline_s,
            connections=1,
            scripts=lambda servers: ReplayScripts(servers, clock_us=clock_us, deadline_s=deadline_s),
        )
        self._used: dict[str, Charge] = {}

    async def take(
        self, charges: Sequence[Charge], *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits. Raises UnavailableError."""
        self._used.update((charge.bucket, charge) for charge in charges)
        return await self._buckets.take(charges, lease=lease, after=after)

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """End holds: charge what is still owed, even into debt, and give back what was not used."""
        await self._buckets.settle(adjustments)

    async def renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        """Let the leases of those holds that are still there run from now on. Raises UnavailableError."""
        await self._buckets.renew(holds, lasts_us)

    async def delete(self) -> None:
        """Delete all keys that were used. Raises UnavailableError."""
        used = list(self._used.values())
        for start in range(0, len(used), _DELETED_AT_ONCE):
            await self._buckets.reset(used[start : start + _DELETED_AT_ONCE])
        self._used.clear()

    async def close(self) -> None:
        """Close the connections."""
        await self._buckets.close()
