"""Deadlines that share a timer end what they are for, when it is time, and nothing else."""

import asyncio
import gc
import time

import pytest

from modelfence.enforcement.deadlines import Alarms, Deadlines


async def waiting(deadlines: Deadlines) -> str:
    try:
        with deadlines.next():
            await asyncio.Event().wait()
    except TimeoutError:
        return "too late"
    return "never"


async def test_what_takes_too_long_ends_with_a_timeout():
    assert await waiting(Deadlines(0.01)) == "too late"


async def test_what_is_done_in_time_ends_as_it_does():
    deadlines = Deadlines(0.02)
    with deadlines.next():
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)  # past the deadline, which was for the block alone
    with pytest.raises(ZeroDivisionError), deadlines.next():
        _ = 1 / 0


async def test_each_of_many_runs_from_its_own_beginning():
    deadlines, loop = Deadlines(0.1), asyncio.get_running_loop()
    began_s, ended_s = [], []

    async def one():
        began_s.append(loop.time())
        assert await waiting(deadlines) == "too late"
        ended_s.append(loop.time())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(5):
            tasks.create_task(one())
            await asyncio.sleep(0.01)
    assert all(end - begin >= 0.1 - 1e-3 for begin, end in zip(began_s, ended_s, strict=True))
    assert ended_s == sorted(ended_s)


async def test_it_runs_again_after_nothing_has_been_waited_for_in_a_while():
    deadlines = Deadlines(0.01)
    for _ in range(3):
        assert await waiting(deadlines) == "too late"
        await asyncio.sleep(0.03)


async def test_who_is_cancelled_for_another_reason_is_cancelled():
    task = asyncio.create_task(waiting(Deadlines(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_who_is_cancelled_as_the_deadline_passes_is_cancelled():
    task = asyncio.create_task(waiting(Deadlines(0.01)))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.01, task.cancel)
    time.sleep(0.02)  # noqa: ASYNC251 - so that both are due in one turn, the deadline first
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_inner_of_two_deadlines_ends_its_own_block_alone():
    short, long = Deadlines(0.01), Deadlines(30)
    with long.next():
        assert await waiting(short) == "too late"
        await asyncio.sleep(0)


async def test_the_outer_of_two_deadlines_ends_both_blocks():
    short, long = Deadlines(0.01), Deadlines(30)
    with pytest.raises(TimeoutError), short.next():
        await waiting(long)


async def test_an_alarm_that_is_set_as_others_ring_rings_in_turn_and_one_that_was_dropped_never():
    alarms, over = Alarms(0.01), asyncio.Event()
    rung: list[str] = []

    def first() -> None:
        rung.append("first")
        alarms.set(again)

    def again() -> None:
        rung.append("again")
        over.set()

    dropped = alarms.set(lambda: rung.append("dropped"))
    alarms.set(first)
    alarms.set(lambda: rung.append("second"))
    alarms.drop(dropped)
    async with asyncio.timeout(10):
        await over.wait()
    assert rung == ["first", "second", "again"]


async def test_an_alarm_rings_in_time_after_the_clock_was_set_back(monkeypatch):
    alarms, loop, over = Alarms(0.01), asyncio.get_running_loop(), asyncio.Event()
    alarms.drop(alarms.set(over.set))
    time_s = loop.time
    monkeypatch.setattr(loop, "time", lambda: time_s() - 3_600)
    alarms.set(over.set)
    async with asyncio.timeout(10):
        await over.wait()


def test_a_deadline_passes_in_another_event_loop_than_the_first_as_well():
    deadlines = Deadlines(0.05)

    async def done_at_once() -> None:
        with deadlines.next():
            pass

    async def too_late() -> str:
        async with asyncio.timeout(10):
            return await waiting(deadlines)

    asyncio.run(done_at_once())
    assert asyncio.run(too_late()) == "too late"


async def test_a_thousand_blocks_need_one_timer_and_leave_nothing_to_be_collected(monkeypatch):
    deadlines, loop = Deadlines(30), asyncio.get_running_loop()
    timers = [loop.call_later(0, int)]
    timers[0].cancel()
    monkeypatch.setattr(loop, "call_at", lambda *_: _noted(timers))
    gc.collect()
    for _ in range(1_000):
        with deadlines.next():
            pass
    assert len(timers) == 2
    assert gc.collect() < 100


def _noted(timers: list[asyncio.TimerHandle]) -> asyncio.TimerHandle:
    timers.append(timers[0])
    return timers[0]
