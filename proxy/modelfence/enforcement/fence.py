"""The loop: gather facts, decide, charge, observe; and settle when the answer has ended.

Doubt and faults never open the fence: a fact that can't be had in time is unknown, and a throttle whose store does not
answer does what the policy says (refuse, unless told otherwise). Nothing here catches a bug: the front that calls
`judge` turns any other exception into a refusal.

Where there is a candidate, two policies are asked from the same facts, and one of them acts: see `watching`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelfence.core.account import Account, Check, Found, both
from modelfence.core.call import Call, CredentialState, Usage
from modelfence.core.charge import Charge, Demand, Taken
from modelfence.core.decision import Decision, Effect, charged, decide
from modelfence.core.dialect import Refusal
from modelfence.core.extraction import Extraction
from modelfence.core.facts import Facts
from modelfence.core.policy import Policy
from modelfence.enforcement.charging import Admission, Charging
from modelfence.enforcement.deadlines import Deadlines
from modelfence.enforcement.expected_usage import ExpectedUsage
from modelfence.enforcement.finding import find
from modelfence.enforcement.gather import as_read_by, caller_of, demand_of, gather, tier_of
from modelfence.enforcement.in_force import InForce
from modelfence.enforcement.ports import (
    AccountDirectory,
    BucketStore,
    Detector,
    Judged,
    Observer,
    Settled,
    TokenVerifier,
    UnavailableError,
)
from modelfence.enforcement.probing import Probing
from modelfence.enforcement.reservation import Reservation
from modelfence.enforcement.watching import Watched, Watching

MAX_JITTER_US = 2_000_000
_WORDS = {
    Effect.DENY: "This request is not allowed by the policy of this service.",
    Effect.THROTTLE: "Too many requests: the rate limit of this service is reached.",
    Effect.ERROR: "The service can't check this request right now; try again shortly.",
}
_WITHOUT = {CredentialState.MISSING: Found(Check.MISSING), CredentialState.MALFORMED: Found(Check.MALFORMED)}
_UNCHECKED, _UNASKED = Found(Check.UNCHECKED), Found(Check.UNASKED)
_NOT_VALID = frozenset((Check.MALFORMED, Check.UNKNOWN, Check.EXPIRED, Check.REVOKED, Check.MISMATCHED))
_NOT_BOTH = "The API key and the client certificate do not belong to the same account."
_NO_ACCOUNT = "The API key is missing, malformed or not known to this service."
_TOO_MANY = "Too many requests from this network came without a valid API key; try again later."


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the loop waits for others, in seconds, and what it reserves for answers not yet seen, in tokens."""

    directory_s: float | None = 0.05
    """None waits for as long as it takes."""
    lease_s: float = 30.0
    step_tokens: int = 256
    assumed_tokens: int = 1024


class Fence:
    """A policy over its ports. All methods are for one event loop."""

    def __init__(  # noqa: PLR0913 - the ports of the loop, by keyword
        self,
        in_force: InForce,
        *,
        buckets: BucketStore,
        local_buckets: BucketStore,
        detector: Detector,
        observers: Sequence[Observer],
        clock_us: Callable[[], int],
        jitter: Callable[[], float],
        evidence_is_kept: Callable[[], bool] = lambda: True,
        tokens: TokenVerifier | None = None,
        probing: Probing | None = None,
        workers: int = 1,
        patience: Patience = Patience(),
    ) -> None:
        """`local_buckets` serve throttles that fall back on this process; `jitter` gives 0 to 1, evenly.

        Nobody is let in while `evidence_is_kept` says that no evidence of it would be.

        Without `tokens` there are no tokens, only API keys. Without `probing` no network is held off.

        `clock_us` measures how long things take, in microseconds: it should never step. The time of a call is its own.
        """
        self.in_force = in_force
        """May be exchanged at any time: for the calls that come after that."""
        self._detector = detector
        self._observers = observers
        self._clock_us = clock_us
        self._jitter = jitter
        self._evidence_is_kept = evidence_is_kept
        self._tokens = tokens
        self._probing = probing or Probing(0)
        self._patience = patience
        self._directory_deadlines = None if patience.directory_s is None else Deadlines(patience.directory_s)
        self._watching = Watching(clock_us)
        self._expected = ExpectedUsage(patience.assumed_tokens, least_tokens=patience.step_tokens)
        self.charging = Charging(
            store=buckets,
            local=local_buckets,
            observers=observers,
            clock_us=clock_us,
            workers=workers,
            lease_s=patience.lease_s,
            step_tokens=patience.step_tokens,
        )

    async def judge(self, call: Call) -> Judged:
        """Decide about a call and take its charges."""
        started_us = self._clock_us()
        wait_us = self._wait_us(call, started_us)
        judged = self._held_off(call, wait_us) if wait_us else await self._judged(call, started_us)
        for observer in self._observers:
            observer.judged(judged)
        return judged

    async def _judged(self, call: Call, started_us: int) -> Judged:
        in_force = self.in_force
        found = await self._find(call, in_force.accounts)
        account = found.account
        acting, watching = in_force.sides(account)
        policy = acting.policy
        location = in_force.geo.locate(call.client_ip)
        caller = caller_of(call, account, location, policy) if acting.may_let_in(account) else None
        extraction = await self._detector.look(call, caller)
        facts = gather(call, account, location, policy, extraction=extraction, geo_built_s=in_force.geo.country_built_s)
        expected = self._expected.of(_name(account), call.reading.operation)
        demand = demand_of(call, step_tokens=self._patience.step_tokens, expected_tokens=expected)
        deciding_us = self._clock_us()
        decision = self._answerable(decide(policy, facts, demand), found.check)
        decided_us = self._clock_us() - deciding_us
        watched = None
        if watching is not None:
            watched = self._look_beside(watching.policy, call, found, facts=facts, demand=demand)
        watching_charges = watched.charges if watched else ()
        if decision.admitted and (decision.charges or watching_charges):
            admission = await self.charging.admit(call, decision, demand, watching_charges)
        else:
            admission = await self._refused(call, decision, watching_charges)
        decision = charged(admission.decision, admission.taken, policy)
        self._note(call, found.check, decision)
        return Judged(
            call=call,
            decision=decision,
            found=found,
            country=location.country,
            tier=tier_of(call, account, policy),
            taken=admission.taken,
            reservation=admission.reservation,
            caller=caller,
            extraction=extraction,
            took_us=self._clock_us() - started_us,
            decided_us=decided_us,
            watched=None if watched is None else self._watching.after(watched, admission.watched),
            candidate_acted=acting is not in_force.live,
        )

    def _answerable(self, decision: Decision, check: Check) -> Decision:
        """Return the decision, unless the fence can't answer for it, whatever the policy says."""
        if check is Check.UNCHECKED and not decision.admitted:
            # Not the caller's fault: with the directory it might have been let in.
            return replace(decision, effect=Effect.ERROR, message=None)
        if check is Check.MISMATCHED:
            # Whatever the policy says of strangers: one of the two is stolen, or somebody is mistaken.
            return replace(decision, effect=Effect.DENY, rules=(), charges=(), message=_NOT_BOTH, help_url=None)
        if decision.admitted and not self._evidence_is_kept():
            return replace(decision, effect=Effect.ERROR, rules=(), charges=())
        return decision

    def _look_beside(self, policy: Policy, call: Call, found: Found, *, facts: Facts, demand: Demand) -> Watched:
        """Ask the policy that only watches, from the facts that were gathered for the other."""

        def decided() -> Decision:
            read = as_read_by(policy, facts, call, found.account)
            return self._answerable(decide(policy, read, demand), found.check)

        return self._watching.look(policy, decided)

    async def _refused(self, call: Call, decision: Decision, watching: Sequence[Charge]) -> Admission:
        """Return what comes of a call that is refused, or takes nothing: the policy that only watches may charge it."""
        taken = await self.charging.watch(watching) if watching else Taken()
        return Admission(decision, Taken(), Reservation(call.id), taken)

    def _wait_us(self, call: Call, now_us: int) -> int:
        """Return for how long no credential of the call's network is looked at; 0 for a call that has none."""
        if call.credential.state is CredentialState.MISSING:
            return 0
        return self._probing.wait_us(call.client_ip, call.credential.digest, now_us)

    def _held_off(self, call: Call, wait_us: int) -> Judged:
        """Refuse a call for those that came before it from its network; no rule is asked."""
        policy, geo = self.in_force.policy, self.in_force.geo
        return Judged(
            call=call,
            decision=Decision(Effect.THROTTLE, policy.hash, retry_after_us=wait_us, message=_TOO_MANY),
            found=_UNASKED,
            country=geo.locate(call.client_ip).country,
            tier=tier_of(call, None, policy),
            taken=Taken(),
            reservation=Reservation(call.id),
            caller=None,
            extraction=Extraction(),
            took_us=0,
            decided_us=0,
        )

    def _note(self, call: Call, check: Check, decision: Decision) -> None:
        """Remember what came of a credential. One that the policy lets in all the same is no failure."""
        if check is Check.VALID:
            self._probing.succeeded(call.credential.digest)
        elif check in _NOT_VALID and decision.effect is Effect.DENY:
            self._probing.failed(call.client_ip, call.credential.digest, self._clock_us())

    async def extend(self, judged: Judged, output_tokens: int) -> bool:
        """Pay for the next step of a stream that passed so many tokens; say False when it has to end."""
        throttle = await self.charging.extend(judged.reservation, output_tokens)
        if throttle is None:
            return True
        for observer in self._observers:
            observer.stream_cut(throttle)
        return False

    async def settle(self, judged: Judged, usage: Usage | None, *, status: int | None) -> None:
        """Settle the reservations of an admitted call that has ended; nothing was served when `usage` is None."""
        if usage is not None and usage.estimated:
            usage = replace(usage, input_tokens=usage.input_tokens or judged.call.reading.least_input_tokens)
        if usage is not None:
            self._learn(judged, usage)
        await self.charging.settle(judged.reservation, usage.demand() if usage else Demand())
        if usage is not None and judged.caller is not None:
            await self._detector.answered(judged.caller, judged.extraction, usage)
        settled = Settled(judged, usage, status)
        for observer in self._observers:
            observer.settled(settled)

    async def keep(self) -> None:
        """Renew the leases of calls under way and make settlements that could not be made, until cancelled."""
        await self.charging.keep()

    async def close(self) -> None:
        """Try once more to make what settlements are left, and count those that can't be made."""
        await self.charging.settle_late()
        self.charging.lose_late()

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

    async def _find(self, call: Call, accounts: AccountDirectory) -> Found:
        """Return what is known of the credential, which may be two."""
        credential = call.credential
        without = _WITHOUT.get(credential.state)
        if without is not None:
            return without
        at_us, beside = call.at_us, credential.certificate
        key = self._in_time(find(credential, at_us, accounts=accounts, tokens=self._tokens))
        if not beside:
            return await key
        return both(*await asyncio.gather(key, self._in_time(accounts.find(beside, at_us))))

    async def _in_time(self, finding: Coroutine[Any, Any, Found]) -> Found:
        try:
            if self._directory_deadlines is None:
                return await finding
            with self._directory_deadlines.next():
                return await finding
        except (UnavailableError, TimeoutError):
            return _UNCHECKED

    def _learn(self, judged: Judged, usage: Usage) -> None:
        """Remember how long the answer to a plain call without a limit was."""
        reading = judged.call.reading
        if not usage.estimated and not reading.stream and reading.output_tokens is None:
            tokens = usage.output_tokens // max(1, reading.choices or 1)
            self._expected.learn(_name(judged.account), reading.operation, tokens)


def _name(account: Account | None) -> str:
    return account.id if account else ""


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
