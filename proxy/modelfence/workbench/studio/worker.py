"""A thread for what takes long: meanwhile the page is served, and Ctrl-C is heard.

Why not an executor of the standard library: Python waits for its threads before it ends, and a condition that somebody
has just typed may keep one busy for long. These are left behind.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue


class Worker:
    """Does one thing after the other."""

    def __init__(self, name: str) -> None:
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def do[T](self, call: Callable[[], T]) -> T:
        """Return what a call returns, or raise what it raises. It is not begun for somebody who no longer waits."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                    future.set_exception(error)

        self._waiting.put(work)
        return await asyncio.wrap_future(future)

    async def do_for_page[T](self, call: Callable[[Callable[[], bool]], T]) -> T:
        """As `do`, for what looks now and then whether anybody still waits: it is given what says that nobody does."""
        left = threading.Event()
        try:
            return await self.do(lambda: call(left.is_set))
        finally:
            left.set()

    def stop(self) -> None:
        """Have the thread end when it is done with what it has. Nobody waits for it."""
        self._waiting.put(None)

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()
