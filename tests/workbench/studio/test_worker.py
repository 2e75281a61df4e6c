"""A thread for what takes long, and those who no longer wait for it."""

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from modelfence.workbench.studio.worker import Worker

WITHIN_S = 10.0


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test")
    yield worker
    worker.stop()


async def test_what_is_returned_and_raised_arrives(worker):
    assert await worker.do(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await worker.do(lambda: 1 / 0)
    assert await worker.do(lambda: 8) == 8


async def test_one_is_told_when_nobody_waits_and_another_is_not_even_begun(worker):
    begun, looks, ended = threading.Event(), threading.Event(), threading.Event()
    seen: list[object] = []

    def long(is_left: Callable[[], bool]) -> None:
        begun.set()
        assert looks.wait(WITHIN_S)
        seen.append(is_left())

    first = asyncio.create_task(worker.do_for_page(long))
    second = asyncio.create_task(worker.do(lambda: seen.append("begun")))
    await asyncio.to_thread(begun.wait, WITHIN_S)
    for task in (first, second):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    looks.set()
    await worker.do(ended.set)
    assert seen == [True]
