"""Differential: random sightings through the memory store and a real Redis have one answer.

Few accounts share few templates and now and then one of each other's phrases; time goes on by minutes or by days; and
the bounds are so small that all of them are reached.
"""

import uuid
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelfence.adapters.memory.evidence import MemoryEvidence
from modelfence.adapters.redis.evidence import RedisEvidence
from modelfence.core.extraction import Fingerprint
from modelfence.extraction.evidence import DAY_S, HOUR_S, Bounds, Sighting

WIDE = Bounds()
TIGHT = Bounds(accounts=9, shingles=70, cohorts=3, worn=30, expires_s=4 * DAY_S)
TIGHTEST = Bounds(accounts=5, shingles=24, cohorts=1, worn=1, expires_s=DAY_S)
SEVERAL_SHARDS = Bounds(accounts=20, shingles=200, cohorts=2, expires_s=7 * DAY_S)
CALLS = 250
COUNTRIES = ["", "US", "NO", "é", "\udcff", *(f"C{number}" for number in range(40))]


class Traffic:
    """Sightings made up by chance, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        some = self.random = Random(seed)  # noqa: S311 - it makes up traffic, no secrets
        self.now_s = some.choice([0, 20_000 * DAY_S - 5, 1_772_409_606])
        self.words = [some.getrandbits(48) for _ in range(some.choice([20, 60, 300]))]
        self.templates = [self.template() for _ in range(some.randint(1, 6))]
        self.renewed = some.choice([0, 0.02, 0.1])
        """So often one of the templates is replaced."""
        self.accounts = [f"account-{number}" for number in range(some.choice([6, 8, 16]))]
        self.steps_s = some.choice([[0, 1], [0, 1, 60], [0, 60, HOUR_S], [0] * 20 + [DAY_S, -60], [HOUR_S, 3 * DAY_S]])
        self.controls = [f"payer {number}" for number in range(some.choice([2, 40, 400]))]
        self.items = [some.getrandbits(48) for _ in range(some.choice([1, 5, 200]))]

    def template(self) -> tuple[int, ...]:
        return tuple(self.random.sample(self.words, self.random.randint(3, 6)))

    def sighting(self) -> Sighting:
        some = self.random
        self.now_s = max(0, self.now_s + some.choice(self.steps_s))
        if some.random() < self.renewed:
            self.templates[some.randrange(len(self.templates))] = self.template()
        return Sighting(
            at_s=self.now_s,
            caller=some.choice(self.accounts),
            tier=some.choice(["basic", "verified", "é"]),
            is_verified=some.random() < 0.3,
            country=some.choice(COUNTRIES),
            fingerprint=Fingerprint(
                system=self.text(0.6),
                earlier=self.text(0.2),
                last=self.text(0.8),
                item=some.choice([0, *self.items]),
                history=some.choice([0, 0, *self.items[:4]]),
                phrases=("generator_phrasing",) if some.random() < 0.2 else (),
            ),
            is_probe=some.random() < 0.1,
            control=tuple(some.choices(self.controls, k=some.randint(0, 3))),
        )

    def text(self, often: float) -> tuple[int, ...]:
        some = self.random
        if some.random() > often:
            return ()
        of_template = some.choice(self.templates) if some.random() < 0.8 else ()
        others = some.sample(self.words, some.randint(0, 4))
        return tuple({*of_template, *others, some.getrandbits(48)})


async def go_through(redis: RedisEvidence, bounds: Bounds, seed: int, calls: int = CALLS) -> None:
    memory, traffic = MemoryEvidence(bounds), Traffic(seed)
    names = [""]
    for number in range(calls):
        sighting = traffic.sighting()
        seen = await memory.see(sighting)
        assert await redis.see(sighting) == seen, f"call {number}"
        names = [*names[-3:], *seen.matched]
        if traffic.random.random() < 0.3:
            answer = (
                traffic.random.choice(traffic.accounts),
                traffic.random.choice(names),
                traffic.random.randint(0, 900),
            )
            await memory.answered(*answer)
            await redis.answered(*answer)
    assert await redis.cohorts() == await memory.cohorts()


@pytest.mark.parametrize("bounds", [WIDE, TIGHT, TIGHTEST, SEVERAL_SHARDS], ids=["wide", "tight", "tightest", "shards"])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
async def test_memory_and_redis_answer_alike(redis_server, bounds, seed):
    redis = RedisEvidence(redis_server.url, prefix=f"alike-{uuid.uuid4()}", deadline_s=10, bounds=bounds)
    try:
        await go_through(redis, bounds, seed)
    finally:
        await redis.close()
