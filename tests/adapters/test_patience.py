"""Patience with an answer from outside: it ends in time, and not through a delay of this process's own."""

import asyncio
import time

import pytest

from modelfence.adapters.patience import Patience


async def test_it_ends_when_no_answer_comes():
    with pytest.raises(TimeoutError):
        async with Patience(0.01):
            await asyncio.Event().wait()


async def test_it_does_not_end_a_block_that_is_done_in_time():
    async with Patience(30):
        await asyncio.sleep(0)


async def test_what_has_passed_is_no_longer_left():
    async with Patience(1.0) as patience:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert patience.lasts_until_s >= begun + 0.99
        await asyncio.sleep(0.25)  # one turn of five has passed, however slow this machine is
        assert patience.lasts_until_s - loop.time() <= 0.8 + 1e-6


async def test_a_process_that_is_held_up_waits_on():
    async with Patience(0.05) as patience:
        time.sleep(0.1)  # noqa: ASYNC251 - it is held up
        await asyncio.sleep(0)
        assert patience.lasts_until_s > asyncio.get_running_loop().time()
