"""Differential: random traffic through a model made of `core.bucket`, the memory store and Redis has one answer.

Redis keeps its own time, so the other two are given the time that was in its answer.
"""

import math
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelfence.adapters.memory_buckets import MemoryBuckets
from modelfence.adapters.redis_buckets import RedisBuckets
from modelfence.core import bucket
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Adjustment, Balance, Charge, Refused, Taken

RATES = {
    "slow": Rate(1, PERIODS_US["day"], 3),
    "odd": Rate(7, PERIODS_US["minute"], 5.5),
    "brisk": Rate(1_000, PERIODS_US["second"], 4),
    "fast": Rate(100_000, PERIODS_US["second"], 60),
    "fastest": Rate(3_000_000, PERIODS_US["second"], 1_000),
    "vast": Rate(200_000, PERIODS_US["day"], 10**15),
}

charges = st.builds(
    lambda throttle, key, amount, shadow: Charge(throttle, key, RATES[throttle], amount, shadow=shadow),
    throttle=st.sampled_from(sorted(RATES)),
    key=st.sampled_from(["acme", "a}{b"]),
    amount=st.sampled_from([0, 0.1, 1, 1, 1, 2, 2.75, 50, 1e12]),
    shadow=st.booleans(),
)
adjustments = st.builds(
    Adjustment,
    charge=charges,
    owed_us=st.one_of(
        st.integers(-2_000, 2_000), st.integers(-(10**11), 10**11), st.integers(-bucket.MOST_US, bucket.MOST_US)
    ),
)
calls = st.one_of(
    st.lists(charges, min_size=1, max_size=5), st.lists(charges, min_size=3, max_size=9), st.lists(adjustments)
)


@dataclass
class Model:
    """The pure functions of the core, and a dict."""

    full_at_us: dict[str, int] = field(default_factory=dict)

    def take(self, charges: list[Charge], now_us: int) -> Taken:
        after = dict(self.full_at_us)
        refused: dict[bool, list[Refused]] = {False: [], True: []}
        for charge in sorted(charges, key=lambda charge: charge.shadow):
            if charge.shadow and refused[False]:
                continue
            after[charge.bucket], wait_us = bucket.take(
                after.get(charge.bucket, 0), now_us=now_us, cost_us=charge.cost_us, burst_us=charge.rate.burst_us
            )
            if wait_us:
                refused[charge.shadow].append(Refused(charge, wait_us))
        if not refused[False]:
            self.full_at_us = after
        return Taken(
            tuple(refused[False]), tuple(refused[True]), tuple(self.balance(charge, now_us) for charge in charges)
        )

    def balance(self, charge: Charge, now_us: int) -> Balance:
        full_at_us = self.full_at_us.get(charge.bucket, 0)
        return Balance(charge, bucket.left_us(full_at_us, now_us=now_us, burst_us=charge.rate.burst_us))

    def settle(self, adjustments: list[Adjustment], now_us: int) -> None:
        for one in adjustments:
            name = one.charge.bucket
            before_us = self.full_at_us.get(name, 0)
            self.full_at_us[name] = bucket.settle(before_us, now_us=now_us, owed_us=one.owed_us)


def assert_redis_holds(client, prefix: str, model: Model) -> None:
    """Every state is there to the digit, and stays until its bucket is full, and seconds longer at most."""
    for name, full_at_us in model.full_at_us.items():
        key = f"{prefix}:bucket:{name}"
        look = client.pipeline(transaction=False).time().get(key).pttl(key).time()
        asked, state, lifetime_ms, answered = look.execute()
        asked_us, answered_us = (second * 1_000_000 + microsecond for second, microsecond in (asked, answered))
        assert state == str(full_at_us) or (state is None and full_at_us <= answered_us)
        if lifetime_ms > 0:
            assert lifetime_ms >= math.floor((full_at_us - answered_us) / 1000)
            # A busy machine may hold the server back between its two looks at the clock.
            assert lifetime_ms <= math.ceil((full_at_us - asked_us) / 1000) + 5_000


@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(traffic=st.lists(calls, min_size=5, max_size=40))
async def test_model_memory_and_redis_answer_alike(redis_server, traffic):
    prefix = f"alike-{uuid.uuid4()}"
    async with AsyncExitStack() as ending:
        redis, model = RedisBuckets(redis_server.url, prefix=prefix, deadline_s=10), Model()
        ending.push_async_callback(redis.close)
        memory = MemoryBuckets(lambda: redis.last_answer_us)
        for call in traffic:
            if call and isinstance(call[0], Charge):
                answer = await redis.take(call)
                assert model.take(call, redis.last_answer_us) == answer
                assert await memory.take(call) == answer
            else:
                await redis.settle(call)
                model.settle(call, redis.last_answer_us)
                await memory.settle(call)
    with redis_server.client() as client:
        assert_redis_holds(client, prefix, model)
