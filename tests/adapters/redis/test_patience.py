"""Patience with an answer from outside: it ends in time, and not through a delay of this process's own."""

import asyncio
import time

import pytest

from modelfence.adapters.redis.patience import Patience, Turns


async def promised(patience: Patience, *, held_up_s: float = 0) -> tuple[float, float]:
    """Return until when a block was said to last by a process that was held up so long, and when it ended."""
    loop, promised_s = asyncio.get_running_loop(), 0.0
    try:
        with patience:
            time.sleep(held_up_s)  # noqa: ASYNC251 - it is held up
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            promised_s = patience.promise()
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    return promised_s, loop.time()


async def test_it_ends_when_no_answer_comes():
    with pytest.raises(TimeoutError), Patience(Turns(0.01)):
        await asyncio.Event().wait()


async def test_it_does_not_end_a_block_that_is_done_in_time():
    with Patience(Turns(30)):
        await asyncio.sleep(0)


async def test_it_lasts_as_long_as_it_promised_and_no_longer():
    loop = asyncio.get_running_loop()
    promised_s, ended_s = await promised(Patience(Turns(0.1)))
    assert promised_s == pytest.approx(loop.time(), abs=1)
    assert ended_s > promised_s - 1e-3


async def test_what_has_passed_is_promised_no_longer():
    with Patience(Turns(1.0)) as patience:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0.25)  # one turn of five has passed, however slow this machine is
        assert patience.promise() - loop.time() <= 0.8 + 1e-6


async def test_a_process_that_is_held_up_waits_on():
    with Patience(Turns(0.05)) as patience:
        time.sleep(0.1)  # noqa: ASYNC251 - it is held up
        await asyncio.sleep(0)
        assert patience.promise() > asyncio.get_running_loop().time()


async def test_it_promises_a_process_that_is_held_up_time_enough_to_ask_and_keeps_the_promise():
    begun_s = time.monotonic()
    promised_s, ended_s = await promised(Patience(Turns(0.01)), held_up_s=0.1)
    assert promised_s > begun_s + 0.1 + 0.3
    assert ended_s > promised_s - 1e-3


async def test_what_was_found_out_in_one_block_serves_the_next_but_not_without_bound():
    loop = asyncio.get_running_loop()
    with Patience(Turns(0.01), held_up_s=0.1) as patience:
        assert patience.promise() >= loop.time() + 0.3
    with Patience(Turns(0.01), held_up_s=3_600) as patience:
        assert patience.promise() <= loop.time() + 5


async def test_who_asks_again_and_again_is_ended_all_the_same():
    async def ask_on() -> None:
        with Patience(Turns(0.01), held_up_s=0.01) as patience:
            while True:
                patience.promise()
                await asyncio.sleep(0.001)

    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            await ask_on()
