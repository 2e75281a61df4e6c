"""Fakes for the ports of the loop, and calls and policies to try it with."""

import asyncio
from dataclasses import dataclass, field, replace

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import Call, Credential, CredentialState, Reading, Usage
from modelfence.core.charge import Hold
from modelfence.core.decision import Effect
from modelfence.core.extraction import Caller, Extraction
from modelfence.enforcement.ports import Judged, Location, Passing, Settled, UnavailableError

NOON_US = 1_780_000_000_000_000
ACME = Account("acme", "active", "basic")

OPEN = """
version: 1
access:
  - {id: everyone, allow: "true"}
"""
CUSTOMERS = """
version: 1
access:
  - {id: customers, allow: kyc.status == "active"}
"""


class Directory:
    def __init__(self, *accounts: Account, fails: Exception | None = None, hangs: bool = False) -> None:
        self.accounts = {Credential.of(f"sk-{account.id}").digest: account for account in accounts}
        self.fails = fails
        self.hangs = hangs

    async def find(self, digest: str, at_us: int) -> Found:
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails:
            raise self.fails
        account = self.accounts.get(digest)
        return UNKNOWN if account is None else Found(Check.VALID, account)

    async def get(self, account_id: str) -> Account | None:
        found = await self.find(Credential.of(f"sk-{account_id}").digest, NOON_US)
        return found.owner


class Nowhere:
    country_built_s = 0

    def locate(self, ip: str) -> Location:
        return Location("US", "NA") if ip == "8.8.8.8" else Location()


class Unwary:
    """A detector that says of every call what it is told to say."""

    def __init__(self, says: Extraction | None = None) -> None:
        self.says = says or Extraction()
        self.callers = list[Caller | None]()
        self.answers = list[tuple[Caller, Extraction, Usage]]()

    async def look(self, call: Call, caller: Caller | None) -> Extraction:
        self.callers.append(caller)
        return self.says

    async def answered(self, caller: Caller, extraction: Extraction, usage: Usage) -> None:
        self.answers.append((caller, extraction, usage))


class Store:
    """Buckets in memory that can be cut off, or lose their answers after the work is done."""

    def __init__(self, clock, *, away: bool = False) -> None:
        self.buckets = MemoryBuckets(clock)
        self.away = away
        self.loses_answers = False
        self.renewed = list[Hold]()
        self.was_renewed = asyncio.Event()

    async def take(self, charges, *, lease=None, after=()):
        return await self._answer(self.buckets.take(charges, lease=lease, after=after))

    async def settle(self, adjustments):
        return await self._answer(self.buckets.settle(adjustments))

    async def renew(self, holds, lasts_us):
        self.renewed += holds
        self.was_renewed.set()
        return await self._answer(self.buckets.renew(holds, lasts_us))

    async def _answer(self, running):
        if self.away:
            running.close()
            raise UnavailableError("not there", may_have_run=False)
        answer = await running
        if self.loses_answers:
            raise UnavailableError
        return answer


@dataclass
class Watcher:
    seen: list[Judged] = field(default_factory=list)
    ended: list[Settled] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)

    def judged(self, judged: Judged) -> None:
        self.seen.append(judged)

    def settled(self, settled: Settled) -> None:
        self.ended.append(settled)

    def store_failed(self, throttle: str, outcome: str) -> None:
        self.failures.append((throttle, outcome))

    def unjudged(self, provider: str, operation: str, effect: Effect) -> None: ...
    def stream_cut(self, throttle: str) -> None:
        self.cuts.append(throttle)

    def store_answered(self, took_us: int) -> None: ...
    def answer_began(self) -> None: ...
    def passed(self, provider: str, passing: Passing) -> None: ...
    def connection_cut(self, reason: str) -> None: ...
    def hook_failed(self) -> None: ...


@dataclass
class Clock:
    now_us: int = NOON_US

    def __call__(self) -> int:
        return self.now_us


def call(key: str | None = "sk-acme", reading: Reading | None = None, **changes) -> Call:
    given = Call(
        id="c1",
        at_us=NOON_US,
        client_ip="8.8.8.8",
        credential=Credential.of(key) if key else Credential(CredentialState.MISSING),
        provider="openai",
        method="POST",
        path="/v1/chat/completions",
        bytes=100,
        reading=reading or Reading("chat", "gpt-4o", input_tokens=25, output_tokens=100),
    )
    return replace(given, **changes)


def throttled(policy: str, **keys: object) -> str:
    lines = "\n".join(f"    {name}: {value}" for name, value in keys.items())
    return f"{policy}throttle:\n  - id: t\n    key: account.id\n{lines}\n"
