"""Token buckets in Redis servers (6.2 or later), shared by every worker: one script and one round trip a call.

A bucket is the key `PREFIX:bucket:{KEY}:THROTTLE` (see `Charge.bucket`), holding the microsecond at which it is full
again, and expires then. What is held of it under leases stands in the sorted set `PREFIX:lease:{KEY}:THROTTLE`: each
entry names the lease and the amount, its score is the microsecond at which it lapses. The servers must not evict keys
(`maxmemory-policy noeviction`): an evicted bucket is full. Time is the server's.

In a Redis Cluster the charges of a call may fall into several slots. Each slot's are then a script of their own, all
are sent at once, and when one refuses or does not answer the others give back what they took. That too may be lost:
what is held comes back with its lease then, a request stays charged. Charges with the same key share a slot.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol

from modelfence.adapters.redis.patience import Patience, Turns
from modelfence.adapters.redis.requests import Answer, Request, Taking, bucket_key, by_slot, list_key
from modelfence.adapters.redis.scripts import RedisScripts, within
from modelfence.adapters.redis.servers import Circuit, RedisServers
from modelfence.core import bucket
from modelfence.core.charge import Adjustment, Balance, Charge, Hold, Lease, Taken, Unit
from modelfence.enforcement.ports import UnavailableError

_TRIED = Charge("(ready)", "", bucket.Rate(1, bucket.SECOND_US, 1), unit=Unit.OUTPUT_TOKENS, shadow=True)
"""In a bucket that no policy can name."""


class Scripts(Protocol):
    """Runs scripts, by the time of its own choice."""

    @property
    def last_answer_us(self) -> int:
        """Return that time, as it was in the last answer."""
        ...

    async def run(self, name: str, keys: Sequence[str], arguments: Sequence[int | str]) -> tuple[int, Sequence[int]]:
        """Return the time and the rest of the script's answer. Raises UnavailableError."""
        ...


class RedisBuckets:
    """A `BucketStore` on the server or servers of `url`.

    `deadline_s` bounds each call, including the wait for one of the `connections`. `scripts` makes what runs the
    scripts, from the servers: by the servers' time, unless for a replay.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "modelfence",
        deadline_s: float = 0.05,
        connections: int = 4,
        scripts: Callable[[RedisServers], Scripts] | None = None,
    ) -> None:
        self._servers = RedisServers(url, connections=connections, deadline_s=deadline_s)
        self._scripts = scripts(self._servers) if scripts else RedisScripts(self._servers, deadline_s=deadline_s)
        self._prefix = prefix
        self._deadline_s = deadline_s
        self._turns = Turns(deadline_s)

    @property
    def last_answer_us(self) -> int:
        """Return the time in the last answer."""
        return self._scripts.last_answer_us

    @property
    def circuit(self) -> Circuit:
        """Return the circuit breaker."""
        return self._servers.circuit

    async def take(
        self, charges: Sequence[Charge], *, lease: Lease | None = None, after: Sequence[Adjustment] = ()
    ) -> Taken:
        """Take all enforced charges or none, then each shadow charge that fits.

        When an enforced charge is refused nothing is taken, no shadow charge is tried, and the adjustments `after`
        which the charges are taken are not made either. Raises UnavailableError.
        """
        requests = self._by_slot(after, charges, lease)
        if len(requests) == 1:
            return _taken(charges, [await self._ask(requests[0])])
        return await self._take_from_several(charges, requests)

    async def settle(self, adjustments: Sequence[Adjustment]) -> None:
        """End holds: charge what is still owed, even into debt, and give back what was not used.

        Raises UnavailableError: the settlement, or what of it is in some of several slots, may then have been made.
        """
        await _all([self._ask(request) for request in self._by_slot(adjustments)])

    async def renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        """Let the leases of those holds that are still there run from now on. Raises UnavailableError."""
        slots = by_slot((self._slot(hold.charge), hold) for hold in holds if hold.charge.is_reserved)
        await _all([self._renew(some, lasts_us) for some in slots.values()])

    async def reset(self, charges: Sequence[Charge]) -> None:
        """Fill the buckets of these charges, and forget what is held of them. Raises UnavailableError."""
        slots = by_slot((self._slot(charge), charge) for charge in charges)
        await _all([self._delete(some) for some in slots.values()])

    async def ready(self) -> bool:
        """Say whether what calls need can be done: a charge taken and settled."""
        hold = Hold(_TRIED, "ready", _TRIED.cost_us)
        try:
            await self.take([_TRIED], lease=Lease("ready", bucket.SECOND_US))
            await self.settle([Adjustment(hold, -hold.held_us, 0)])
        except UnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()

    async def _take_from_several(self, charges: Sequence[Charge], requests: Sequence[Request]) -> Taken:
        answers = await asyncio.gather(*(_outcome(self._ask(request)) for request in requests))
        failed = [answer for answer in answers if isinstance(answer, UnavailableError)]
        answered = [answer for answer in answers if isinstance(answer, Answer)]
        if not failed and not any(answer.is_refused for answer in answered):
            return _taken(charges, answered)
        took = [answer for answer in answered if not answer.is_refused]
        undone = await asyncio.gather(*(_outcome(self._ask(answer.undoing())) for answer in took))
        if failed:
            raise _worst([*failed, *(one for one in undone if isinstance(one, UnavailableError))])
        return _taken(charges, answered, [one for one in undone if isinstance(one, Answer)])

    async def _ask(self, request: Request) -> Answer:
        now_us, numbers = await self._scripts.run("take.lua", request.keys(self._prefix), request.arguments())
        try:
            return request.answer(now_us, numbers)
        except ValueError as error:
            raise UnavailableError(f"Redis: {error}") from error

    async def _renew(self, holds: Sequence[Hold], lasts_us: int) -> None:
        keys = [list_key(self._prefix, hold.charge) for hold in holds]
        await self._scripts.run("renew.lua", keys, (lasts_us, *(hold.entry for hold in holds)))

    async def _delete(self, charges: Sequence[Charge]) -> None:
        keys = [key for one in charges for key in (bucket_key(self._prefix, one), list_key(self._prefix, one))]
        await self._send(keys[0], "DEL", *keys)

    async def _send(self, key: str, *command: str | int) -> None:
        async def sent() -> None:
            with Patience(self._turns):
                await self._servers.ask(key, *command)

        await within(self._deadline_s, sent())

    def _by_slot(
        self, after: Sequence[Adjustment], charges: Iterable[Charge] = (), lease: Lease | None = None
    ) -> Sequence[Request]:
        """Return what is asked of each slot."""
        in_order = sorted(charges, key=lambda charge: charge.shadow)
        adjustments = by_slot((self._slot(one.hold.charge), one) for one in after)
        takings = by_slot((self._slot(charge), Taking.of(charge, lease)) for charge in in_order)
        slots = dict.fromkeys((*adjustments, *takings))
        return [Request(adjustments.get(slot, ()), takings.get(slot, ()), lease) for slot in slots]

    def _slot(self, charge: Charge) -> int:
        return self._servers.slot(bucket_key(self._prefix, charge))


def _taken(charges: Sequence[Charge], answers: Sequence[Answer], undone: Sequence[Answer] = ()) -> Taken:
    """Return the answer to a call from those of its slots, and from those to giving back."""
    left_us: dict[str, int] = {}
    for answer in (*answers, *undone):
        left_us.update(answer.left_us())
    not_taken = [one for answer in answers for one in answer.refused]
    if len(answers) > 1:
        not_taken.sort(key=lambda one: charges.index(one.charge))
    refused = tuple(one for one in not_taken if not one.charge.shadow)
    return Taken(
        refused=refused,
        shadow_refused=() if refused else tuple(not_taken),
        balances=tuple(Balance(charge, left_us[charge.bucket]) for charge in charges),
    )


async def _outcome[Result](asked: Coroutine[Any, Any, Result]) -> Result | UnavailableError:
    try:
        return await asked
    except UnavailableError as error:
        return error


async def _all(asked: Sequence[Coroutine[Any, Any, object]]) -> None:
    """Do all of these at once. Raises UnavailableError when some could not be done."""
    if len(asked) == 1:  # as it is without a cluster: no task has to be made for it
        await asked[0]
        return
    outcomes = await asyncio.gather(*(_outcome(one) for one in asked))
    failed = [one for one in outcomes if isinstance(one, UnavailableError)]
    if failed:
        raise _worst(failed, done=len(outcomes) - len(failed))


def _worst(failed: Sequence[UnavailableError], *, done: int = 0) -> UnavailableError:
    return UnavailableError(str(failed[0]), may_have_run=done > 0 or any(one.may_have_run for one in failed))
