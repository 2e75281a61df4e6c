"""What a process does when it is sent a signal.

Why not the event loop's own `add_signal_handler`: it notes each signal in a pipe, and when a storm of them has filled
that, Python waits for a lock that the interrupted code may hold, for ever. And it gives signals back when the loop is
closed, which end by default a process that was about to end well.
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress


def when_sent(number: signal.Signals, call: Callable[[], object]) -> None:
    """Have the running loop call this when such a signal comes, once for many at once; and nothing when it is closed.

    From the main thread only.
    """
    loop = asyncio.get_running_loop()

    def sent(*_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(call)

    signal.signal(number, sent)
