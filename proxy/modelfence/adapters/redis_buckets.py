"""Token buckets in a Redis server (6.2 or later), shared by every worker: one script and one round trip a call.

A bucket is the key `PREFIX:bucket:{KEY}:THROTTLE` (see `Charge.bucket`), holding the microsecond at which it is full
again, and expires then. The server must not evict keys (`maxmemory-policy noeviction`): an evicted bucket is full.

Time is the server's. Every call is bounded by a deadline and raises UnavailableError past it, as it does for anything
the server or the network does wrong. A script that runs after its caller gave up changes nothing: it is told the
latest server time at which it still may. Nothing is sent again that may have run. So of a call that raised
UnavailableError either nothing was taken, or its script ran in time and only the answer was lost: then its charges
were taken, or its settlement applied, once; they are never taken later.

Why the deadline is counted in turns of the event loop: what holds this process up would otherwise be taken for the
server's slowness. With 64 callers at once a turn takes longer than the deadline, and every call was refused.

Why an estimate of the server's time: the time in an answer was read before the answer arrived, so that time plus what
has passed here since is never ahead of the server's, and the latest time never after the caller's patience ends. A
server clock that steps forward makes a script think it came too late; its answer says what time it is, and the call is
made again while the patience lasts. One that steps back by more than a second is found out by the next answer, by less
within ten seconds. The first call, and one after the estimate has grown old, find out the same way: by coming too late.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import cast

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError

from modelfence.adapters.patience import Patience
from modelfence.adapters.redis_connections import RedisConnections, ask
from modelfence.core import bucket
from modelfence.core.charge import Adjustment, Balance, Charge, Refused, Taken
from modelfence.enforcement.ports import UnavailableError

_ESTIMATE_HOLDS_S = 10.0
"""For how long the server's time is guessed. Clocks being slewed part by up to 500 us a second (RFC 5905, NTP), so
the guess is then off by 5 ms at most."""

_LATEST_ANSWER_US = bucket.SECOND_US
"""An answer that seems later than this tells of a server clock that stepped back."""


class RedisBuckets:
    """A `BucketStore` on the server of `url` (redis:// or rediss://).

    `deadline_s` bounds each call, including the wait for one of `max_connections`. `last_answer_us` is the server's
    time in the last answer.
    """

    def __init__(
        self, url: str, *, prefix: str = "modelfence", deadline_s: float = 0.05, max_connections: int = 32
    ) -> None:
        self._connections = RedisConnections(url, most=max_connections)
        self._prefix = prefix
        self._deadline_s = deadline_s
        self.last_answer_us = 0
        self._known_us, self._known_at_s = 0, 0.0
        """The server's time at a moment of the event loop's, from the answer that was read with the least delay."""

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits.

        When an enforced charge is refused nothing is taken, and no shadow charge is tried. Raises UnavailableError.
        """
        if not charges:
            return Taken()
        in_order = sorted(charges, key=lambda charge: charge.shadow)
        arguments = [sum(not charge.shadow for charge in charges)]
        for charge in in_order:
            arguments += [charge.cost_us, charge.rate.burst_us]
        now_us, answer = await self._run(_TAKE, in_order, arguments)
        full_at_us = dict(zip((charge.bucket for charge in in_order), answer[::2], strict=True))
        refused = [Refused(charge, wait) for charge, wait in zip(in_order, answer[1::2], strict=True) if wait]
        return Taken(
            refused=tuple(one for one in refused if not one.charge.shadow),
            shadow_refused=tuple(one for one in refused if one.charge.shadow),
            balances=tuple(_balance(charge, full_at_us[charge.bucket], now_us) for charge in charges),
        )

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """Charge what is still owed, even into debt, and give back what was not used.

        Raises UnavailableError; the settlement may then be lost, and must not be tried again.
        """
        if adjustments:
            arguments = [bucket.MOST_US, *(adjustment.owed_us for adjustment in adjustments)]
            await self._run(_SETTLE, [adjustment.charge for adjustment in adjustments], arguments)

    async def ready(self) -> bool:
        """Say whether the server answers within the deadline."""
        try:
            async with asyncio.timeout(self._deadline_s), self._connections.one() as connection:
                await ask(connection, "PING")
        except (TimeoutError, RedisError, OSError):
            return False
        return True

    async def close(self) -> None:
        """Close the connections, after the calls under way."""
        await self._connections.close()

    async def _run(
        self, script: "_Script", charges: Sequence[Charge], arguments: Sequence[int]
    ) -> tuple[int, Sequence[int]]:
        """Return the server's time and the rest of the script's answer."""
        keys = [f"{self._prefix}:bucket:{charge.bucket}" for charge in charges]
        loop = asyncio.get_running_loop()
        try:
            async with Patience(self._deadline_s) as patience, self._connections.one() as connection:
                while True:
                    latest_us = self._server_us(patience.lasts_until_s, now_s=loop.time())
                    now_us, in_time, *answer = await script.run(connection, keys, [latest_us, *arguments])
                    self._heard(now_us, at_s=loop.time())
                    if in_time:
                        return now_us, answer
        except TimeoutError as error:
            message = f"Redis did not answer within {self._deadline_s} s"
            raise UnavailableError(message) from error
        except (RedisError, OSError) as error:
            message = f"Redis: {error}"
            raise UnavailableError(message) from error

    def _heard(self, server_us: int, *, at_s: float) -> None:
        """Take an answer's time for the server's, unless one is known by which the server is further on.

        An answer is read late when this process is busy, so of several the one that was late by least is best.
        """
        self.last_answer_us = server_us
        behind_us = self._server_us(at_s, now_s=at_s) - server_us
        if not 0 < behind_us < _LATEST_ANSWER_US:
            self._known_us, self._known_at_s = server_us, at_s

    def _server_us(self, at_s: float, *, now_s: float) -> int:
        """Return the server's time at a moment of the event loop's, or a little less; 0 when there is no telling."""
        if now_s - self._known_at_s > _ESTIMATE_HOLDS_S:
            return 0
        return self._known_us + int((at_s - self._known_at_s) * bucket.SECOND_US)


@dataclass(frozen=True, slots=True)
class _Script:
    source: bytes
    sha: str

    @classmethod
    def of(cls, name: str) -> "_Script":
        folder = resources.files("modelfence.adapters")
        source = (folder / "redis_buckets.lua").read_bytes() + (folder / name).read_bytes()
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())

    async def run(self, connection: AbstractConnection, keys: Sequence[str], arguments: Sequence[int]) -> Sequence[int]:
        rest: tuple[str | int, ...] = (len(keys), *keys, *arguments)
        try:
            answer = await ask(connection, "EVALSHA", self.sha, *rest)
        except NoScriptError:  # the server is new to it, so nothing has run
            answer = await ask(connection, "EVAL", self.source, *rest)
        return cast("Sequence[int]", answer)


_TAKE = _Script.of("redis_take.lua")
_SETTLE = _Script.of("redis_settle.lua")


def _balance(charge: Charge, full_at_us: int, now_us: int) -> Balance:
    return Balance(charge, bucket.left_us(full_at_us, now_us=now_us, burst_us=charge.rate.burst_us))
