"""Four workers that share a directory in Redis, under load: who is shut out of it is let in by none of them."""

import asyncio
import http.client
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.workers.conftest import BODY, HEADERS, KEY, WITHIN_S, Fence, until

from modelfence.adapters.redis.accounts_writer import RedisAccountsWriter
from modelfence.core.account import Account, Entry, Key
from modelfence.core.account_keys import revoking, with_digits, with_status
from modelfence.core.call import key_digest

LIVE_WITHIN_S = 2.0
CALLERS = 6
IN_A_ROW = 12
"""So many calls of each caller in a row: one of them came to each worker."""
ACME = Entry(Account("acme", "active", "basic", country="US"), (Key(key_digest(KEY)),))


class Asking(threading.Thread):
    """Calls again and again, each time on a connection of its own, and notes when each call began and how it ended."""

    def __init__(self, fence: Fence) -> None:
        super().__init__()
        self._fence = fence
        self._told_to_stop = threading.Event()
        self.answers: list[tuple[float, int]] = []

    def run(self) -> None:
        while not self._told_to_stop.is_set():
            began_s = time.monotonic()
            connection = http.client.HTTPConnection(self._fence.customers.netloc, timeout=WITHIN_S)
            connection.request("POST", "/v1/chat/completions", BODY, HEADERS)
            answer = connection.getresponse()
            answer.read()
            connection.close()
            self.answers.append((began_s, answer.status))

    def stop(self) -> None:
        self._told_to_stop.set()
        self.join(WITHIN_S)


@contextmanager
def asking(fence: Fence) -> Iterator[Sequence[Asking]]:
    callers = [Asking(fence) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        yield callers
    finally:
        for caller in callers:
            caller.stop()


def all_get(status: int, callers: Sequence[Asking], *, since_s: float) -> float:
    """Wait until everyone gets this answer alone, and return how long after `since_s` the last call began that did not.

    What each caller got before `since_s` does not count.
    """

    def steady(caller: Asking) -> bool:
        last = caller.answers[-IN_A_ROW:]
        return len(last) == IN_A_ROW and all(began_s >= since_s and got == status for began_s, got in last)

    until(lambda: all(steady(caller) for caller in callers), f"nothing but {status}")
    others = [began_s for caller in callers for began_s, got in caller.answers if got != status]
    return max((began_s - since_s for began_s in others), default=0.0)


@pytest.fixture
def accounts(settings, redis_server, tmp_path) -> Callable[[Callable[[RedisAccountsWriter], Awaitable[Any]]], float]:
    """Changes the accounts in Redis, and returns when that was done."""
    (tmp_path / "policy.yaml").write_text(
        'version: 1\naccess:\n  - {id: customers, allow: kyc.status == "active" && kyc.tier > 0}\n'
    )
    # Nobody is held off for calling with what has been revoked, and nobody refused because the machine is busy.
    settings["limits"] |= {"bad_credentials_per_minute": 0, "directory_ms": 2000}
    settings |= {"workers": 4, "accounts": redis_server.url}

    async def changed(change: Callable[[RedisAccountsWriter], Awaitable[Any]]) -> None:
        writer = RedisAccountsWriter(redis_server.url, prefix=settings["store_prefix"], deadline_s=WITHIN_S)
        await change(writer)
        await writer.close()

    def change(how: Callable[[RedisAccountsWriter], Awaitable[Any]]) -> float:
        asyncio.run(changed(how))
        return time.monotonic()

    return change


def test_who_is_shut_out_is_let_in_by_no_worker_two_seconds_later(start_fence, settings, accounts):
    accounts(lambda writer: writer.put([ACME]))
    fence = start_fence(settings)
    moved = Entry(replace(ACME.account, id="other", status="closed"), ACME.keys)
    with asking(fence) as callers:
        all_get(200, callers, since_s=0.0)
        for shut_out, status in (
            (lambda writer: writer.update("acme", with_status("suspended")), 403),
            (lambda writer: writer.update("acme", revoking(with_digits(ACME.keys[0].digest))), 401),
            (lambda writer: writer.remove(["acme"]), 401),
            (lambda writer: writer.put([moved]), 403),
        ):
            late_s = all_get(status, callers, since_s=accounts(shut_out))
            assert late_s < LIVE_WITHIN_S
            all_get(200, callers, since_s=accounts(lambda writer: writer.put([ACME])))
