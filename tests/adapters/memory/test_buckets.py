import pytest

from modelfence.adapters.memory.buckets import MemoryBuckets
from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import Adjustment, Charge, Hold, Lease, Unit
from modelfence.enforcement.ports import UnavailableError

A_SECOND = Rate(1, PERIODS_US["second"], 1)


class Clock:
    """A clock that stands until it is told otherwise."""

    now_us = 1_772_409_606_562_000

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock():
    return Clock()


def charge(key: str, rate: Rate = A_SECOND) -> Charge:
    return Charge("calls", key, rate)


def owes(charge: Charge, owed_us: int) -> Adjustment:
    return Adjustment(Hold(charge, "none", 0), owed_us, owed_us)


async def test_a_call_is_admitted_exactly_when_its_wait_is_over(clock):
    buckets = MemoryBuckets(clock)
    await buckets.take([charge("acme")])
    wait_us = (await buckets.take([charge("acme")])).refused[0].wait_us
    clock.now_us += wait_us - 1
    assert [refused.wait_us for refused in (await buckets.take([charge("acme")])).refused] == [1]
    clock.now_us += 1
    assert (await buckets.take([charge("acme")])).allowed


async def test_a_full_table_refuses_new_buckets_and_serves_those_it_has(clock):
    buckets = MemoryBuckets(clock, max_buckets=2)
    await buckets.take([charge("one")])
    await buckets.take([charge("two")])
    with pytest.raises(UnavailableError, match="all 2 buckets are in use") as full:
        await buckets.take([charge("three")])
    assert not full.value.may_have_run
    with pytest.raises(UnavailableError):
        await buckets.settle([owes(charge("three"), 1)])
    assert not (await buckets.take([charge("one")])).allowed


async def test_a_call_for_which_there_is_no_room_takes_nothing(clock):
    buckets = MemoryBuckets(clock, max_buckets=2)
    two_a_second = Rate(2, PERIODS_US["second"], 2)
    await buckets.take([charge("one", two_a_second)])
    with pytest.raises(UnavailableError):
        await buckets.take([charge("one", two_a_second), charge("two"), charge("three")])
    assert (await buckets.take([charge("one", two_a_second), charge("two")])).allowed


async def test_full_buckets_make_room(clock):
    buckets = MemoryBuckets(clock, max_buckets=100)
    for second in range(10):
        for key in range(100):
            assert (await buckets.take([charge(f"{second}-{key}")])).allowed
        clock.now_us += PERIODS_US["second"]


async def test_buckets_in_use_are_not_dropped_with_the_full_ones(clock):
    buckets = MemoryBuckets(clock, max_buckets=100)
    slow = Rate(1, PERIODS_US["day"], 1)
    for key in range(50):
        await buckets.take([charge(f"slow-{key}", slow)])
    for second in range(20):
        clock.now_us += PERIODS_US["second"]
        for key in range(50):
            assert (await buckets.take([charge(f"{second}-{key}")])).allowed
    assert not any([(await buckets.take([charge(f"slow-{key}", slow)])).allowed for key in range(50)])


async def test_a_bucket_dropped_and_charged_in_the_same_call_is_kept(clock):
    buckets = MemoryBuckets(clock, max_buckets=1)
    for _ in range(3):
        assert (await buckets.take([charge("acme")])).allowed
        assert not (await buckets.take([charge("acme")])).allowed
        clock.now_us += PERIODS_US["second"]


async def test_a_full_bucket_is_kept_while_something_is_held_of_it(clock):
    buckets = MemoryBuckets(clock, max_buckets=2)
    held = Charge("tokens", "acme", A_SECOND, 1, Unit.OUTPUT_TOKENS)
    hold = Hold(held, "call", held.cost_us)
    await buckets.take([held], lease=Lease("call", PERIODS_US["day"]))
    clock.now_us += PERIODS_US["hour"]
    for key in range(10):
        await buckets.take([charge(f"other-{key}")])
        clock.now_us += PERIODS_US["second"]
    await buckets.settle([Adjustment(hold, PERIODS_US["second"] // 2, PERIODS_US["day"])])
    assert (await buckets.take([held])).refused[0].wait_us == PERIODS_US["second"] // 2


async def test_what_ends_may_be_of_other_buckets_than_what_is_taken(clock):
    buckets = MemoryBuckets(clock)
    held = Charge("tokens", "acme", A_SECOND, 1, Unit.OUTPUT_TOKENS)
    after = [Adjustment(Hold(held, "call", held.cost_us), 0, held.cost_us)]
    assert (await buckets.take([charge("other")], after=after)).allowed
    assert not (await buckets.take([held])).allowed
