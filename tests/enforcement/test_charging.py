"""A call's charges from its admission to its settlement: steps, leases, and a store that comes and goes."""

import asyncio

import pytest
from tests.enforcement.outside import CUSTOMERS, Store, call, throttled

from modelfence.core.call import Reading, Usage
from modelfence.core.decision import Effect
from modelfence.enforcement.fence import Patience
from modelfence.enforcement.ports import UnavailableError

STREAM = Reading("chat", "gpt-4o", stream=True, input_tokens=25)
SECOND_US = 1_000_000


def budget(amount: int, **keys: object) -> str:
    """Return a policy with a bucket of that many tokens; hardly any flow back, for the time of a test."""
    return throttled(
        CUSTOMERS, **{"unit": "output_tokens", "rate": f"{-(-amount // 300)} per day", "burst": amount} | keys
    )


async def left(fence) -> int:
    """Return what the bucket holds, asking with a call that uses nothing."""
    judged = await fence.judge(call(id="asking", reading=Reading("chat", output_tokens=0)))
    await fence.settle(judged, None, status=None)
    return units(judged)


def units(judged) -> int:
    balance = judged.taken.balances[0]
    return round(balance.charge.rate.units(balance.left_us))


async def test_a_stream_pays_a_step_when_the_last_one_is_used_up(fence, watcher):
    made = fence(budget(10_000))
    judged = await made.judge(call(reading=STREAM))
    assert await made.extend(judged, 256)
    assert await left(made) == 10_000 - 256
    assert await made.extend(judged, 257)
    assert await left(made) == 10_000 - 513
    assert await made.extend(judged, 700)  # more came at once than a step
    assert await left(made) == 10_000 - 956
    await made.settle(judged, Usage(25, 720), status=200)
    assert await left(made) == 10_000 - 720
    assert watcher.cuts == []


async def test_a_stream_ends_when_the_bucket_has_nothing_left_and_owes_what_passed(fence, watcher):
    made = fence(budget(600))
    judged = await made.judge(call(reading=STREAM))
    assert await made.extend(judged, 260)
    assert await left(made) == 600 - 516
    assert await made.extend(judged, 520)  # less than a step is left, and taken
    assert await left(made) == 0
    assert await made.extend(judged, 600)
    assert not await made.extend(judged, 601)
    assert watcher.cuts == ["t"]
    await made.settle(judged, Usage(0, 580, estimated=True), status=200)
    assert await left(made) == 600 - 580


async def test_a_scrap_of_a_step_is_not_worth_asking_for(fence, watcher):
    made = fence(budget(540))
    judged = await made.judge(call(reading=STREAM))
    assert await made.extend(judged, 257)
    assert not await made.extend(judged, 514)
    assert await left(made) == 540 - 513  # the refused step took nothing
    assert watcher.cuts == ["t"]


async def test_parallel_streams_are_served_the_budget_and_no_more(fence):
    made = fence(budget(5_000))
    judged = [await made.judge(call(id=f"c{n}", reading=STREAM)) for n in range(64)]
    streams = {one.call.id: 0 for one in judged if one.decision.admitted}
    assert len(streams) == 5_000 // 256
    served = 0
    while streams:
        for one in judged:
            if one.call.id not in streams:
                continue
            if await made.extend(one, streams[one.call.id] + 1):
                streams[one.call.id] += 1
            else:
                served += streams.pop(one.call.id)
    assert 5_000 - 256 < served <= 5_000


@pytest.mark.parametrize(
    ("keys", "covered"),
    [({"burst": 10}, 10), ({"burst": 1_000, "cost": "20.0"}, 50), ({"burst": 100, "unit": "total_tokens"}, 75)],
)
async def test_a_burst_below_a_step_is_all_that_passes_unpaid(fence, keys, covered):
    made = fence(budget(1_000, **keys))
    judged = await made.judge(call(reading=STREAM))
    assert await made.extend(judged, covered)
    assert not await made.extend(judged, covered + 1)


async def test_a_step_is_no_more_than_a_full_bucket_holds(fence, clock):
    made = fence(throttled(CUSTOMERS, unit="output_tokens", rate="10 per second", burst=10))
    judged = await made.judge(call(reading=STREAM))
    for passed in range(1, 200):
        clock.now_us += SECOND_US // 10
        assert await made.extend(judged, passed)
    assert not await made.extend(judged, 260)  # 60 came at once, of which ten can be paid


async def test_input_beyond_the_burst_is_owed_at_once(fence):
    made = fence(budget(1_000, unit="total_tokens"))
    judged = await made.judge(call(reading=Reading("chat", stream=True, input_tokens=5_000)))
    assert judged.decision.admitted
    assert await left(made) == -4_000
    await made.settle(judged, Usage(4_500, 100), status=200)
    assert await left(made) == -3_600


async def test_input_beyond_the_burst_is_owed_in_the_end_if_the_store_is_away(fence, clock):
    class TakesOnly(Store):
        async def settle(self, adjustments):
            self.away = len(adjustments) == 1 and adjustments[0].hold.lease == ""
            return await super().settle(adjustments)

    made = fence(budget(1_000, unit="total_tokens"), buckets=TakesOnly(clock))
    judged = await made.judge(call(reading=Reading("chat", stream=True, input_tokens=5_000)))
    await made.settle(judged, Usage(4_500, 100), status=200)
    assert await left(made) == -3_600


@pytest.mark.parametrize("choices", [1, 4])
async def test_each_choice_of_a_plain_call_may_be_as_long_as_expected(fence, choices):
    made = fence(budget(10_000))
    judged = await made.judge(call(reading=Reading("chat", choices=choices)))
    assert judged.reservation.charges[0].amount == 1_024 * choices
    await made.settle(judged, Usage(25, 2_000 * choices), status=200)
    assert (await made.judge(call(reading=Reading("chat")))).reservation.charges[0].amount == 2_000


@pytest.mark.parametrize(("limit", "reserved"), [(100, 100), (300, 300), (256, 256)])
async def test_a_stream_never_reserves_more_than_the_limit_it_names(fence, limit, reserved):
    made = fence(budget(reserved + 10))
    judged = await made.judge(call(reading=Reading("chat", stream=True, output_tokens=limit)))
    assert await made.extend(judged, min(limit, 257))
    assert await made.extend(judged, limit + 20)  # an estimate that is a little too high cuts nobody
    assert await left(made) == 10


async def test_an_upstream_that_knows_no_limit_is_paid_in_steps_all_the_same(fence, watcher):
    made = fence(budget(1_000))
    judged = await made.judge(call(reading=Reading("chat", stream=True, output_tokens=100)))
    assert await made.extend(judged, 200)
    assert await left(made) == 1_000 - 456
    assert not await made.extend(judged, 1_001)
    assert watcher.cuts == ["t"]


@pytest.mark.parametrize(
    "keys", [{"unit": "requests"}, {"unit": "input_tokens"}, {"cost": "0"}, {"cost": "request.tools"}]
)
async def test_what_does_not_count_the_answer_cuts_no_stream(fence, keys):
    made = fence(budget(1_000, **keys))
    judged = await made.judge(call(reading=Reading("chat", stream=True, tools=None, input_tokens=25)))
    assert await made.extend(judged, 100_000)


async def test_a_shadow_throttle_cuts_no_stream(fence, watcher):
    made = fence(budget(300, mode="shadow"))
    judged = await made.judge(call(reading=STREAM))
    for passed in (257, 514, 771):
        assert await made.extend(judged, passed)
    await made.settle(judged, Usage(25, 800), status=200)
    assert watcher.cuts == []
    assert (await made.judge(call(reading=STREAM))).decision.would is Effect.THROTTLE  # it owes all the same


async def test_the_step_is_weighed_as_the_first_one_was(fence):
    made = fence(budget(10_000, cost="2.0"))
    judged = await made.judge(call(reading=STREAM))
    await made.extend(judged, 257)
    assert await left(made) == 10_000 - 1026
    await made.settle(judged, Usage(25, 300), status=200)
    assert await left(made) == 10_000 - 600


async def test_what_a_worker_held_comes_back_when_its_lease_runs_out(fence, clock):
    store = Store(clock)
    dead, other = fence(budget(1_000), buckets=store), fence(budget(1_000), buckets=store)
    judged = await dead.judge(call(reading=STREAM))
    await dead.extend(judged, 257)
    assert await left(other) == 1_000 - 513
    clock.now_us += 30 * SECOND_US
    assert await left(other) == 1_000 - 256  # the first step was used up; only the second comes back
    await dead.settle(judged, Usage(25, 300), status=200)  # it was only slow
    assert await left(other) == 1_000 - 300


async def test_leases_of_calls_under_way_are_renewed(fence, clock):
    store = Store(clock)
    made = fence(budget(1_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    for _ in range(10):
        clock.now_us += 20 * SECOND_US
        await made.charging.renew()
        assert await left(made) < 1_000 - 250
    await made.settle(judged, None, status=502)
    store.renewed.clear()
    await made.charging.renew()
    assert store.renewed == []


async def test_a_call_that_nobody_will_settle_is_not_renewed_for_ever(fence, watcher, clock):
    store = Store(clock)
    made = fence(budget(1_000), buckets=store)
    await made.judge(call(reading=STREAM))
    watcher.seen.clear()  # nobody knows of the call any more
    await made.charging.renew()
    assert store.renewed == []


@pytest.mark.parametrize("lost", [False, True])
async def test_a_settlement_is_made_once_whether_or_not_the_store_heard_it(fence, watcher, lost, clock):
    store = Store(clock)
    made = fence(budget(1_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away, store.loses_answers = not lost, lost
    await made.settle(judged, Usage(25, 100), status=200)
    assert watcher.failures == [("t", "late")]
    assert len(watcher.ended) == 1
    await made.charging.settle_late()
    store.away = store.loses_answers = False
    clock.now_us += 20 * SECOND_US
    await made.charging.renew()  # what is still to be settled is still held
    clock.now_us += 20 * SECOND_US
    await made.charging.settle_late()
    assert await left(made) == 900
    clock.now_us += 60 * SECOND_US
    assert await left(made) == 900


@pytest.mark.parametrize("ran", [False, True])
@pytest.mark.parametrize("settled", [False, True])
async def test_a_lost_answer_to_a_step_and_another_to_the_settlement_charge_once(fence, clock, ran, settled):
    """Whether the store did what it was asked and lost its answer, or never heard of it, nobody can tell."""

    class Doubtful(Store):
        doubts = None

        async def _answer(self, running):
            if self.doubts is None:
                return await running
            if self.doubts:
                await running
            else:
                running.close()
            raise UnavailableError

    store = Doubtful(clock)
    made = fence(budget(2_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.doubts = ran
    assert await made.extend(judged, 257)
    store.doubts = settled
    await made.settle(judged, Usage(25, 400), status=200)
    store.doubts = None
    await made.charging.settle_late()
    assert await left(made) == 1_600
    clock.now_us += 60 * SECOND_US
    assert await left(made) == 1_600


@pytest.mark.parametrize("ran", [False, True])
async def test_a_step_after_a_lost_one_pays_for_both_once(fence, clock, ran):
    store = Store(clock)
    made = fence(budget(3_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.loses_answers, store.away = ran, not ran
    assert await made.extend(judged, 257)
    store.loses_answers = store.away = False
    assert await made.extend(judged, 514)
    assert await left(made) == 3_000 - 770
    await made.settle(judged, Usage(25, 600), status=200)
    assert await left(made) == 2_400


async def test_a_settlement_whose_waiting_is_cancelled_is_made_later(fence, clock):
    class Slow(Store):
        hangs = True

        async def settle(self, adjustments):
            if self.hangs:
                await asyncio.Event().wait()
            return await super().settle(adjustments)

    store = Slow(clock)
    made = fence(budget(1_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    for waits in (made.settle(judged, Usage(25, 100), status=200), made.charging.settle_late()):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await waits
    store.hangs = False
    await made.charging.settle_late()
    assert await left(made) == 900


@pytest.mark.parametrize("ran", [False, True])
async def test_a_step_whose_waiting_is_cancelled_is_charged_once(fence, clock, ran):
    """As when a client leaves a session while its answer pays for more."""

    class Slow(Store):
        hangs = False

        async def take(self, charges, *, lease=None, after=()):
            if self.hangs and not ran:
                await asyncio.Event().wait()
            taken = await super().take(charges, lease=lease, after=after)
            if self.hangs:
                await asyncio.Event().wait()
            return taken

    store = Slow(clock)
    made = fence(budget(2_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.hangs = True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await made.extend(judged, 257)
    store.hangs = False
    await made.settle(judged, Usage(25, 400), status=101)
    assert await left(made) == 1_600
    clock.now_us += 60 * SECOND_US
    assert await left(made) == 1_600


async def test_a_settlement_that_never_left_is_made_in_full_however_late(fence, clock):
    store = Store(clock)
    made = fence(budget(1_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    await made.settle(judged, Usage(25, 100), status=200)
    clock.now_us += 100 * SECOND_US
    store.away = False
    assert await left(made) == 1_000
    await made.charging.settle_late()
    assert await left(made) == 900


async def test_settlements_given_up_are_told(fence, watcher, clock, monkeypatch):
    monkeypatch.setattr("modelfence.enforcement.charging.MAX_LATE_SETTLEMENTS", 1)
    store = Store(clock)
    made = fence(budget(1_000), buckets=store)
    judged = [await made.judge(call(id=f"c{n}", reading=STREAM)) for n in range(2)]
    store.away = True
    for one in judged:
        await made.settle(one, Usage(25, 100), status=200)
    assert watcher.failures == [("t", "late"), ("t", "unsettled"), ("t", "late")]
    await made.close()
    assert watcher.failures[3:] == [("t", "unsettled")]


@pytest.mark.parametrize("lost", [False, True])
async def test_a_stream_whose_step_got_no_answer_is_charged_once(fence, clock, lost):
    store = Store(clock)
    made = fence(budget(2_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away, store.loses_answers = not lost, lost
    assert await made.extend(judged, 257)
    store.away = store.loses_answers = False
    assert await made.extend(judged, 514)
    await made.settle(judged, Usage(25, 600), status=200)
    clock.now_us += 60 * SECOND_US
    assert await left(made) == 1_400


async def test_a_store_that_is_away_lets_a_stream_pass_one_step_and_then_ends_it(fence, watcher, clock):
    store = Store(clock)
    made = fence(budget(10_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    assert await made.extend(judged, 257)
    assert await made.extend(judged, 513)
    assert not await made.extend(judged, 514)
    assert watcher.failures == [("t", "deny"), ("t", "deny")]
    assert watcher.cuts == ["t"]


async def test_a_stream_that_passed_a_step_unpaid_pays_it_with_the_next(fence, clock):
    store = Store(clock)
    made = fence(budget(10_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    for passed in (257, 771):
        store.away = True
        assert await made.extend(judged, passed)
        store.away = False
        assert await made.extend(judged, passed + 257)
        assert await left(made) == 10_000 - passed - 513


async def test_a_throttle_that_allows_without_a_store_lets_streams_go_on_and_charges_them_in_the_end(fence, clock):
    store = Store(clock)
    made = fence(budget(1_000, on_store_failure="allow"), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    for passed in range(257, 2_000, 257):
        assert await made.extend(judged, passed)
    store.away = False
    await made.settle(judged, Usage(25, 2_000), status=200)
    assert (await made.judge(call(reading=STREAM))).decision.effect is Effect.THROTTLE


async def test_a_throttle_that_falls_back_on_the_worker_gives_streams_its_share(fence, watcher, clock):
    store = Store(clock)
    made = fence(budget(4_000, on_store_failure="local"), buckets=store, workers=4)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    passed = [passed for passed in range(257, 4_000, 257) if await made.extend(judged, passed)]
    assert len(passed) == 1_000 // 257
    assert watcher.cuts[0] == "t"


async def test_the_workers_share_ends_a_long_stream_when_it_is_used_up(fence, clock):
    store = Store(clock)
    made = fence(budget(1_000, on_store_failure="local"), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    passed = 0
    while await made.extend(judged, passed):
        passed += 1
        assert passed < 2_000
    assert 1_000 <= passed <= 256 + 1_000


async def test_a_throttle_that_allows_without_a_store_does_not_ask_it_for_every_token(fence, watcher, clock):
    store = Store(clock)
    made = fence(budget(300, on_store_failure="allow"), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    for passed in range(2_560):
        assert await made.extend(judged, passed)
    assert len(watcher.failures) == 9  # a step each


async def test_a_settlement_that_can_never_be_made_is_given_up(fence, watcher, clock):
    store = Store(clock)
    made = fence(budget(1_000), buckets=store)
    judged = await made.judge(call(reading=STREAM))
    store.away = True
    await made.settle(judged, Usage(25, 100), status=200)
    clock.now_us += 3_599 * SECOND_US
    await made.charging.settle_late()
    clock.now_us += SECOND_US
    await made.charging.settle_late()
    assert watcher.failures == [("t", "late"), ("t", "unsettled")]
    await made.close()
    assert len(watcher.failures) == 2


async def test_a_store_that_fails_is_complained_of_now_and_then(fence, clock, caplog):
    store = Store(clock, away=True)
    made = fence(budget(1_000), buckets=store)
    for seconds in (0, 5, 5, 5):
        clock.now_us += seconds * SECOND_US
        await made.judge(call(reading=STREAM))
    assert [record.message for record in caplog.records] == ["the store failed: not there"] * 2


async def test_the_loop_keeps_leases_and_late_settlements_by_itself(fence, clock):
    store = Store(clock)
    made = fence(budget(1_000), buckets=store, patience=Patience(lease_s=1))
    judged = await made.judge(call(reading=STREAM))
    waiting = await made.judge(call(id="c2", reading=STREAM))
    store.away = True
    await made.settle(judged, Usage(25, 100), status=200)
    store.away = False
    keeping = asyncio.create_task(made.keep())
    try:
        async with asyncio.timeout(10):
            await store.was_renewed.wait()
    finally:
        keeping.cancel()
    assert store.renewed == waiting.reservation.holds
    assert await left(made) == 1_000 - 100 - 256


async def test_a_plain_call_without_a_limit_reserves_what_its_account_was_answered_before(fence):
    made = fence(budget(100_000))
    unlimited = Reading("chat", "gpt-4o", input_tokens=25)
    reserved = []
    for used in (400, 400, 3_000, 20):
        before = await left(made)
        judged = await made.judge(call(reading=unlimited))
        reserved.append(before - units(judged))
        await made.settle(judged, Usage(25, used), status=200)
    assert reserved == [1024, 946, 878, 3_000]  # down by an eighth of the difference, up at once
    other = await made.judge(call(reading=Reading("completion", input_tokens=25)))
    assert await left(made) == 100_000 - 3_820 - 1_024
    await made.settle(other, None, status=200)


async def test_nothing_is_learned_from_streams_from_limits_or_from_estimates(fence):
    made = fence(budget(100_000))
    for reading in (STREAM, Reading("chat", output_tokens=5_000)):
        judged = await made.judge(call(reading=reading))
        await made.settle(judged, Usage(25, 5_000), status=200)
    judged = await made.judge(call(reading=Reading("chat")))
    assert judged.reservation.charges[0].amount == 1_024
    await made.settle(judged, Usage(25, 5_000, estimated=True), status=200)
    assert (await made.judge(call(reading=Reading("chat")))).reservation.charges[0].amount == 1_024
