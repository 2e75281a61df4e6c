"""Fakes for what stands outside of the fence: accounts, places, a store and a watcher, each failing on demand."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import key_digest
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Taken
from modelfence.core.decision import Effect
from modelfence.enforcement.ports import Judged, Location, Passing, Settled

WITHIN_S = 5
KEY = "sk-acme"


class Accounts:
    """One active account. `hangs` makes it never answer, `fails` raise what it is given."""

    hangs = False
    fails: Exception | None = None

    async def find(self, digest: str, at_us: int) -> Found:
        if self.fails:
            raise self.fails
        if self.hangs:
            await asyncio.Event().wait()
        return Found(Check.VALID, Account("acme", "active", "basic")) if digest == key_digest(KEY) else UNKNOWN

    async def get(self, account_id: str) -> Account | None:
        return None


class Geo:
    country_built_s = 0

    def locate(self, ip: str) -> Location:
        return Location("NO", "EU")


class Buckets:
    """Buckets in memory that remember what was settled. `fails` is raised by both ways in; `hangs` stops `take`.

    `settle_hangs` stops `settle`, until `released`.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._buckets = MemoryBuckets(clock)
        self.adjustments: list[Adjustment] = []
        self.fails: Exception | None = None
        self.settle_fails: Exception | None = None
        self.hangs = self.settle_hangs = False
        self.waiting = 0
        """How many calls came in while it hung; they go on once `released`."""
        self.released = asyncio.Event()
        self.turns = 0
        """How many turns of the loop each of them lets pass, as a store over the network would."""

    async def take(
        self, charges: Sequence[Charge], *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        if self.fails:
            raise self.fails
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.hangs:
            self.waiting += 1
            await self.released.wait()
        return await self._buckets.take(charges, lease=lease, after=after)

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        if self.settle_fails:
            raise self.settle_fails
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.settle_hangs:
            await self.released.wait()
        self.adjustments += adjustments
        await self._buckets.settle(adjustments)

    async def renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        await self._buckets.renew(holds, lasts_us)


@dataclass
class Watcher:
    """An observer that remembers."""

    calls: list[Judged] = field(default_factory=list)
    settlements: list[Settled] = field(default_factory=list)
    refusals: list[Effect] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)
    limits_met: list[str] = field(default_factory=list)
    failures: int = 0
    began: int = 0
    passings: list[Passing] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    fails: Exception | None = None

    def judged(self, judged: Judged) -> None:
        self.calls.append(judged)

    def settled(self, settled: Settled) -> None:
        self.settlements.append(settled)
        self.changed.set()

    def unjudged(self, provider: str, operation: str, effect: Effect) -> None:
        self.refusals.append(effect)

    def store_failed(self, throttle: str, outcome: str) -> None: ...

    def stream_cut(self, throttle: str) -> None:
        self.cuts.append(throttle)

    def store_answered(self, took_us: int) -> None: ...

    def answer_began(self) -> None:
        self.began += 1
        if self.fails:
            raise self.fails

    def passed(self, provider: str, passing: Passing) -> None:
        self.passings.append(passing)

    def connection_cut(self, reason: str) -> None:
        self.limits_met.append(reason)
        self.changed.set()

    def hook_failed(self) -> None:
        self.failures += 1
        self.changed.set()

    @property
    def admitted(self) -> int:
        return sum(judged.decision.admitted for judged in self.calls)

    async def settlement(self, nth: int = 1) -> Settled:
        """Wait until so many calls have been settled; return that one."""
        async with asyncio.timeout(WITHIN_S):
            while len(self.settlements) < nth:
                self.changed.clear()
                await self.changed.wait()
        return self.settlements[nth - 1]
