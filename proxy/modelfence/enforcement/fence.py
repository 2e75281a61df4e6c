"""The loop: gather facts, decide, charge, observe; and settle when the answer has ended.

Doubt and faults never open the fence: a fact that can't be had in time is unknown, and a throttle whose store does not
answer does what the policy says (refuse, unless told otherwise). Nothing here catches a bug: the front that calls
`judge` turns any other exception into a refusal.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from modelfence.core.account import Account
from modelfence.core.bucket import Rate
from modelfence.core.call import Call, CredentialState, Usage
from modelfence.core.charge import Adjustment, Charge, Demand, OnStoreFailure, Taken
from modelfence.core.decision import Decision, Effect, charged, decide
from modelfence.core.dialect import Refusal
from modelfence.core.policy import Policy
from modelfence.enforcement.gather import demand_of, gather, tier_of
from modelfence.enforcement.ports import (
    AccountDirectory,
    BucketStore,
    GeoDatabase,
    Judged,
    Observer,
    Settled,
    UnavailableError,
)

MAX_JITTER_US = 2_000_000
STORE_RETRY_AFTER_US = 1_000_000
_WORDS = {
    Effect.DENY: "This request is not allowed by the policy of this service.",
    Effect.THROTTLE: "Too many requests: the rate limit of this service is reached.",
    Effect.ERROR: "The service can't check this request right now; try again shortly.",
}
_NO_ACCOUNT = "The API key is missing, malformed or not known to this service."


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the loop waits for others, in seconds, and what it reserves for answers not yet seen, in tokens."""

    directory_s: float = 0.05
    step_tokens: int = 256
    assumed_tokens: int = 1024


class Fence:
    """One policy over its ports. All methods are for one event loop."""

    def __init__(  # noqa: PLR0913 - the ports of the loop, by keyword
        self,
        policy: Policy,
        *,
        accounts: AccountDirectory,
        geo: GeoDatabase,
        buckets: BucketStore,
        local_buckets: BucketStore,
        observers: Sequence[Observer],
        clock_us: Callable[[], int],
        jitter: Callable[[], float],
        workers: int = 1,
        patience: Patience = Patience(),
    ) -> None:
        """`local_buckets` serve throttles that fall back on this process; `jitter` gives 0 to 1, evenly.

        `clock_us` measures how long things take, in microseconds: it should never step. The time of a call is its own.
        """
        self.policy = policy
        self._accounts = accounts
        self._geo = geo
        self._buckets = buckets
        self._local_buckets = local_buckets
        self._observers = observers
        self._clock_us = clock_us
        self._jitter = jitter
        self._workers = workers
        self._patience = patience

    async def judge(self, call: Call) -> Judged:
        """Decide about a call and take its charges."""
        started_us = self._clock_us()
        account, directory_failed = await self._account_of(call)
        location = self._geo.locate(call.client_ip)
        facts = gather(call, account, location, self.policy)
        demand = demand_of(call, step_tokens=self._patience.step_tokens, assumed_tokens=self._patience.assumed_tokens)
        deciding_us = self._clock_us()
        decision = decide(self.policy, facts, demand)
        decided_us = self._clock_us() - deciding_us
        if directory_failed and not decision.admitted:
            # Not the caller's fault: with the directory it might have been let in.
            decision = replace(decision, effect=Effect.ERROR, message=None)
        held = _Held(decision, Taken(), ())
        if decision.admitted and decision.charges:
            held = await self._charge(decision)
        judged = Judged(
            call=call,
            decision=held.decision,
            account=account,
            country=location.country,
            tier=tier_of(call, account, self.policy),
            taken=held.taken,
            held=held.charges,
            held_locally=held.locally,
            took_us=self._clock_us() - started_us,
            decided_us=decided_us,
        )
        for observer in self._observers:
            observer.judged(judged)
        return judged

    async def settle(self, judged: Judged, usage: Usage | None, *, status: int | None) -> None:
        """Settle the reservations of an admitted call that has ended; nothing was served when `usage` is None."""
        if usage is not None and usage.estimated:
            usage = replace(usage, input_tokens=usage.input_tokens or judged.call.reading.input_tokens or 0)
        used = usage.demand() if usage else Demand()
        adjustments = [Adjustment(charge, charge.owed_us(used)) for charge in judged.held]
        owed = [adjustment for adjustment in adjustments if adjustment.owed_us]
        if owed:
            store = self._local_buckets if judged.held_locally else self._buckets
            try:
                await store.settle(owed)
            except UnavailableError:
                for adjustment in owed:
                    self._store_failed(adjustment.charge, "unsettled")
        settled = Settled(judged, usage, status)
        for observer in self._observers:
            observer.settled(settled)

    def refusal(self, judged: Judged) -> Refusal:
        """Return what a caller that is not let in is told. The wait is lengthened by up to 10 %, at most 2 s."""
        decision = judged.decision
        retry_after_us = decision.retry_after_us
        if retry_after_us is not None:
            retry_after_us += int(min(MAX_JITTER_US, retry_after_us // 10) * self._jitter())
        longest = judged.taken.longest
        balances = [b for b in judged.taken.balances if longest and b.charge == longest.charge]
        return Refusal(
            effect=decision.effect,
            status=_status(judged),
            message=decision.message or _words(judged),
            call_id=judged.call.id,
            help_url=decision.help_url,
            retry_after_us=retry_after_us,
            balance=balances[0] if balances else None,
        )

    async def _account_of(self, call: Call) -> tuple[Account | None, bool]:
        """Return the account of the credential; and whether the directory failed to answer."""
        if call.credential.state is not CredentialState.PRESENTED:
            return None, False
        try:
            async with asyncio.timeout(self._patience.directory_s):
                return await self._accounts.find(call.credential.digest), False
        except (UnavailableError, TimeoutError):
            return None, True

    async def _charge(self, decision: Decision) -> "_Held":
        started_us = self._clock_us()
        try:
            taken = await self._buckets.take(decision.charges)
        except UnavailableError:
            return await self._charge_without_store(decision)
        for observer in self._observers:
            observer.store_answered(self._clock_us() - started_us)
        return _held(decision, taken, self.policy)

    async def _charge_without_store(self, decision: Decision) -> "_Held":
        """Do for each throttle what its policy says for a store that does not answer."""
        enforced = [charge for charge in decision.charges if not charge.shadow]
        for charge in enforced:
            self._store_failed(charge, charge.on_store_failure)
        if refusing := [c for c in enforced if c.on_store_failure is OnStoreFailure.DENY]:
            failed = replace(
                decision,
                effect=Effect.ERROR,
                rules=tuple(dict.fromkeys(charge.throttle for charge in refusing)),
                retry_after_us=STORE_RETRY_AFTER_US,
            )
            return _Held(failed, Taken(), ())
        local = [self._per_worker(c) for c in enforced if c.on_store_failure is OnStoreFailure.LOCAL]
        try:
            taken = await self._local_buckets.take(local)
        except UnavailableError:
            failed = replace(decision, effect=Effect.ERROR, retry_after_us=STORE_RETRY_AFTER_US)
            return _Held(failed, Taken(), ())
        return replace(_held(decision, taken, self.policy, local), locally=True)

    def _per_worker(self, charge: Charge) -> Charge:
        rate = charge.rate
        share = Rate(rate.amount / self._workers, rate.period_us, rate.burst / self._workers)
        return replace(charge, rate=share)

    def _store_failed(self, charge: Charge, outcome: str) -> None:
        for observer in self._observers:
            observer.store_failed(charge.throttle, outcome)


@dataclass(frozen=True, slots=True)
class _Held:
    """A decision after its charges were asked for, and those of them that are held."""

    decision: Decision
    taken: Taken
    charges: tuple[Charge, ...]
    locally: bool = False


def _held(decision: Decision, taken: Taken, policy: Policy, asked: Sequence[Charge] | None = None) -> _Held:
    asked = decision.charges if asked is None else asked
    refused = {one.charge.throttle for one in taken.shadow_refused}
    charges = tuple(charge for charge in asked if charge.throttle not in refused) if taken.allowed else ()
    return _Held(charged(decision, taken, policy), taken, charges)


def _status(judged: Judged) -> int:
    match judged.decision.effect:
        case Effect.THROTTLE:
            return 429
        case Effect.ERROR:
            return 503
        case _:
            return 403 if judged.account else 401


def _words(judged: Judged) -> str:
    if judged.decision.effect is Effect.DENY and judged.account is None:
        return _NO_ACCOUNT
    return _WORDS[judged.decision.effect]
