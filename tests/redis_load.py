"""Steady calls to Redis servers, for tests: each adds one to a counter, and what came of it is kept."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

from redis.exceptions import RedisError, ResponseError

from modelfence.adapters.redis.patience import Patience, Turns
from modelfence.adapters.redis.servers import NotSentError, RedisServers

WITHIN_S = 20


async def eventually(holds: Callable[[], object], *, within_s: float = WITHIN_S) -> None:
    """Return when it holds; what else is under way goes on."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - it holds by what others do
            await asyncio.sleep(0.005)


class Load:
    """Calls from its beginning to its end, by some callers to each key."""

    def __init__(self, servers: RedisServers, keys: Sequence[str], *, deadline_s: float, callers: int = 4) -> None:
        self._servers = servers
        self._keys = keys
        self._turns = Turns(deadline_s)
        self._callers = callers
        self._is_over = False
        self.served: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        """Calls that may have added one, or not."""
        self.failed: Counter[str] = Counter()
        """Calls that surely added nothing, by what was said."""

    async def __aenter__(self) -> Self:
        self._calling = [asyncio.create_task(self._call(key)) for key in self._keys for _ in range(self._callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._calling)

    async def serves(self, *, within_s: float = WITHIN_S) -> None:
        """Return when a call to each key has succeeded that began after now, or nearly so."""
        before = self.served.copy()
        await eventually(
            lambda: all(self.served[key] > before[key] + self._callers for key in self._keys), within_s=within_s
        )

    async def _call(self, key: str) -> None:
        while not self._is_over:
            try:
                with Patience(self._turns):
                    await self._servers.ask(key, "INCR", key)
            except (NotSentError, ResponseError) as error:
                self.failed[str(error)] += 1
            except (TimeoutError, RedisError):
                self.unknown[key] += 1
            else:
                self.served[key] += 1
            await asyncio.sleep(0.002)  # a caller's own work
