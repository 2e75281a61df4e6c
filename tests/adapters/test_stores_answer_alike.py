"""Differential: random traffic through a model made of `core.bucket`, the memory store and Redis has one answer.

Redis keeps its own time, so the other two are given the time that was in its answer; hours pass in between by stepping
its keys.
"""

import uuid
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot
from tests.adapters.bucket_model import Model, assert_holds, step

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.adapters.redis.buckets import RedisBuckets
from modelfence.core import bucket
from modelfence.core.bucket import PERIODS_US, SECOND_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit

RATES = {
    "slow": Rate(1, PERIODS_US["day"], 3),
    "odd": Rate(7, PERIODS_US["minute"], 5.5),
    "brisk": Rate(1_000, PERIODS_US["second"], 4),
    "fast": Rate(100_000, PERIODS_US["second"], 60),
    "fastest": Rate(3_000_000, PERIODS_US["second"], 1_000),
    "vast": Rate(200_000, PERIODS_US["day"], 10**15),
}
UNITS = {"slow-tokens": "slow", "odd-tokens": "odd", "fast-tokens": "fast", "vast-tokens": "vast"}
KEYS = ["acme", "a}{b"]
LEASES_US = [2_000, 10 * SECOND_US, PERIODS_US["hour"]]
STEPS_MS = [1, 20, 4_000, 11_000, 1_800_000, 10 * 3_600_000, 5 * 86_400_000]


def charge(throttle: str, key: str, amount: float, *, shadow: bool = False) -> Charge:
    rate = UNITS.get(throttle, throttle)
    unit = Unit.REQUESTS if rate == throttle else Unit.OUTPUT_TOKENS
    return Charge(throttle, key, RATES[rate], amount, unit, shadow=shadow)


@dataclass(frozen=True)
class Take:
    charges: list[Charge]
    leased: bool
    after: list[tuple[int, int, int]]
    """Which of the holds so far, and what is owed for it when it is there, and when it isn't."""


@dataclass(frozen=True)
class Settle:
    ends: list[tuple[int, int, int]]
    others: list[Adjustment]


@dataclass(frozen=True)
class Renew:
    holds: list[int]


@dataclass(frozen=True)
class Step:
    by_ms: int


keys = st.sampled_from(KEYS)
amounts = st.sampled_from([0, 0.1, 1, 1, 1, 2, 2.75, 50, 1e12])
charges = st.builds(charge, st.sampled_from([*RATES, *UNITS, *UNITS, *UNITS]), keys, amounts, shadow=st.booleans())
owed = st.one_of(
    st.just(0),
    st.integers(-2_000, 2_000),
    st.integers(-(10**11), 10**11),
    st.integers(-bucket.MOST_US, bucket.MOST_US),
)
others = st.builds(lambda one, a, b: Adjustment(Hold(one, "none", 7), a, b), charges, owed, owed)
numbers = st.integers(0, 30)
ends = st.lists(st.tuples(numbers, owed, owed), max_size=3, unique_by=lambda end: end[0])
takes = st.builds(Take, st.lists(charges, max_size=6), st.booleans(), ends)
traffic = st.lists(
    st.one_of(
        takes,
        takes,
        st.builds(Settle, ends, st.lists(others, max_size=3)),
        st.builds(Renew, st.lists(numbers, min_size=1, max_size=4)),
        st.builds(Step, st.sampled_from(STEPS_MS)),
    ),
    min_size=5,
    max_size=40,
)
slow_and_fast = st.lists(
    st.one_of(
        st.builds(
            Take,
            st.lists(
                st.builds(charge, st.sampled_from(["slow", "fast", "slow-tokens", "fast-tokens"]), keys, amounts),
                min_size=1,
                max_size=4,
            ),
            st.booleans(),
            ends,
        ),
        st.builds(Settle, ends, st.just([])),
        st.builds(Step, st.integers(1, 8 * 3_600_000)),
        st.builds(Step, st.integers(1, 2)),
    ),
    min_size=20,
    max_size=60,
)


@dataclass
class Trial:
    """The same asked of all three."""

    redis: RedisBuckets
    lasts_us: int
    several_servers: bool = False
    """Each has a time of its own, so a call to several has no answer to compare: it is cut down to its first key."""
    model: Model = field(default_factory=Model)
    stepped_us: int = 0
    holds: list[Hold] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = MemoryBuckets(self.now_us)

    def now_us(self) -> int:
        return self.redis.last_answer_us + self.stepped_us

    async def do(self, one: Take | Settle | Renew) -> None:
        match one:
            case Take(charges, leased, after):
                charges = self.of_one_server(charges, charges)
                lease = Lease(f"lease-{len(self.holds)}-{uuid.uuid4()}", self.lasts_us) if leased else None
                ending = self.ending(after)
                key_of = [*charges, *(end.hold.charge for end in ending)]
                await self.take(charges, lease, self.of_one_server(ending, key_of))
            case Settle(ends, others):
                adjustments = [*self.ending(ends), *others]
                adjustments = self.of_one_server(adjustments, [one.hold.charge for one in adjustments])
                await self.redis.settle(adjustments)
                self.model.settle(adjustments, self.now_us())
                await self.memory.settle(adjustments)
            case Renew(numbers):
                holds = [self.holds[number % len(self.holds)] for number in numbers if self.holds]
                await self.redis.renew(holds, self.lasts_us)
                self.model.renew(holds, self.lasts_us, self.now_us())
                await self.memory.renew(holds, self.lasts_us)

    async def take(self, charges: list[Charge], lease: Lease | None, after: list[Adjustment]) -> None:
        taken = await self.redis.take(charges, lease=lease, after=after)
        assert self.model.take(charges, self.now_us(), lease=lease, after=after) == taken
        assert await self.memory.take(charges, lease=lease, after=after) == taken
        if lease and taken.allowed:
            self.holds += [Hold(one, lease.id, one.cost_us) for one in charges if one.is_reserved]

    def ending(self, ends: list[tuple[int, int, int]]) -> list[Adjustment]:
        numbered = {number % len(self.holds): owed for number, *owed in ends} if self.holds else {}
        return [Adjustment(self.holds[number], *owed) for number, owed in numbered.items()]

    def of_one_server[Item: (Charge, Adjustment)](self, items: list[Item], charges: list[Charge]) -> list[Item]:
        """Return those of the key of the first charge."""
        if not self.several_servers:
            return items
        keys = [one.key if isinstance(one, Charge) else one.hold.charge.key for one in items]
        return [one for one, key in zip(items, keys, strict=True) if key == charges[0].key]


async def go_through(servers, url: str, traffic, lasts_us: int, *, owned_by=lambda _: None) -> None:
    prefix = f"alike-{uuid.uuid4()}"
    redis = RedisBuckets(url, prefix=prefix, deadline_s=10)
    trial = Trial(redis, lasts_us, several_servers=len(servers) > 1)
    try:
        for one in traffic:
            if isinstance(one, Step):
                for server in servers:
                    step(server, prefix, one.by_ms)
                trial.stepped_us += one.by_ms * 1_000
            else:
                await trial.do(one)
        for key in KEYS:
            await trial.take([charge(throttle, key, 0, shadow=True) for throttle in [*RATES, *UNITS]], None, [])
    finally:
        await redis.close()
    names = trial.model.full_at_us.keys() | trial.model.held.keys()
    for server in servers:
        with server.client() as client:
            assert_holds(client, prefix, trial.model, filter(owned_by(server), names), stepped_us=trial.stepped_us)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(traffic=traffic, lasts_us=st.sampled_from(LEASES_US))
async def test_model_memory_and_redis_answer_alike(redis_server, traffic, lasts_us):
    await go_through([redis_server], redis_server.url, traffic, lasts_us)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traffic=traffic, lasts_us=st.sampled_from(LEASES_US))
async def test_model_memory_and_a_redis_cluster_answer_alike(redis_cluster, traffic, lasts_us):
    def owned_by(server):
        return lambda name: redis_cluster.owner(key_slot(name.encode())) is server

    await go_through(redis_cluster.masters, redis_cluster.url, traffic, lasts_us, owned_by=owned_by)


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(traffic=slow_and_fast)
async def test_a_unit_a_day_and_a_hundred_thousand_a_second_are_kept_through_hours(redis_server, traffic):
    await go_through([redis_server], redis_server.url, traffic, PERIODS_US["hour"])
