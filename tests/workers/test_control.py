"""The line between supervisor and worker: questions, answers, and what happens when one of them is missing."""

import asyncio
import ipaddress
import socket
from pathlib import Path

import pytest

from modelfence.core.unavailable import UnavailableError
from modelfence.core.upstream import Upstream
from modelfence.settings import Settings
from modelfence.workers import control
from modelfence.workers.control import Asker, Orders, answer, open_line
from modelfence.workers.handing_on import Handed

WITHIN_S = 10


class Worker:
    """The other end, which answers by a table."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def _echo(self, brought: str | None) -> object:
        return {"brought": brought}

    async def _slow(self, _: str | None) -> object:
        await self.let_go.wait()
        return "at last"

    async def _unable(self, _: str | None) -> object:
        raise UnavailableError("the store is away")

    async def _broken(self, _: str | None) -> object:
        raise RuntimeError("a secret: sk-1")

    def answers(self) -> control.Answers:
        return {"echo": self._echo, "slow": self._slow, "unable": self._unable, "broken": self._broken}


@pytest.fixture
async def worker():
    return Worker()


@pytest.fixture
async def line(worker):
    """An asker, and the task that answers it."""
    own, other = socket.socketpair()
    asker = Asker(*await open_line(own))
    answering = asyncio.create_task(answer(*await open_line(other), worker.answers()))
    yield asker, answering
    await asker.close()
    _done, still = await asyncio.wait([answering], timeout=WITHIN_S)
    assert not still


async def test_a_question_is_answered_with_what_it_brought(line):
    assert await line[0].ask("echo", within_s=WITHIN_S) == {"brought": None}
    assert await line[0].ask("echo", within_s=WITHIN_S, bring="a\nb") == {"brought": "a\nb"}


async def test_a_slow_answer_holds_up_no_other(line, worker):
    slow = asyncio.create_task(line[0].ask("slow", within_s=WITHIN_S))
    assert await line[0].ask("echo", within_s=WITHIN_S) == {"brought": None}
    worker.let_go.set()
    assert await slow == "at last"


async def test_who_does_not_answer_in_time_is_not_waited_for_and_may_still_answer_the_next(line, worker):
    with pytest.raises(UnavailableError, match="did not answer within"):
        await line[0].ask("slow", within_s=0.01)
    worker.let_go.set()
    assert await line[0].ask("echo", within_s=WITHIN_S) == {"brought": None}


@pytest.mark.parametrize(("what", "said"), [("unable", "the store is away"), ("broken", "failed: RuntimeError")])
async def test_why_there_is_no_answer_is_said_and_nothing_of_what_broke(line, what, said):
    with pytest.raises(UnavailableError, match=said) as raised:
        await line[0].ask(what, within_s=WITHIN_S)
    assert "sk-1" not in str(raised.value)


async def test_questions_under_way_and_later_ones_fail_when_the_worker_goes(line):
    slow = asyncio.create_task(line[0].ask("slow", within_s=WITHIN_S))
    await line[0].ask("echo", within_s=WITHIN_S)
    line[1].cancel()
    await asyncio.wait([line[1]])
    with pytest.raises(UnavailableError, match="gone"):
        await slow
    with pytest.raises(UnavailableError, match="gone"):
        await line[0].ask("echo", within_s=WITHIN_S)


async def test_the_worker_sees_the_supervisor_go(worker):
    own, other = socket.socketpair()
    answering = asyncio.create_task(answer(*await open_line(other), worker.answers()))
    own.close()
    async with asyncio.timeout(WITHIN_S):
        await answering


async def test_no_more_questions_wait_than_there_is_room_for(line, monkeypatch, worker):
    monkeypatch.setattr(control, "MOST_WAITING", 2)
    slow = [asyncio.create_task(line[0].ask("slow", within_s=WITHIN_S)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="too much"):
        await line[0].ask("echo", within_s=WITHIN_S)
    worker.let_go.set()
    assert await asyncio.gather(*slow) == ["at last"] * 2


async def test_questions_that_were_given_up_take_no_room(line, monkeypatch, worker):
    monkeypatch.setattr(control, "MOST_WAITING", 2)
    for _ in range(3):
        with pytest.raises(UnavailableError, match="did not answer"):
            await line[0].ask("slow", within_s=0)
    worker.let_go.set()
    assert await line[0].ask("echo", within_s=WITHIN_S) == {"brought": None}


async def test_an_answer_may_be_as_long_as_the_evidence_of_ten_thousand_cohorts(line):
    long = "x" * (5 << 20)
    assert await line[0].ask("echo", within_s=WITHIN_S, bring=long) == {"brought": long}


def test_orders_arrive_as_they_were_given():
    settings = Settings(
        policy=Path("policy.yaml"),
        store="redis://:secret@a",
        trusted_proxies=(ipaddress.ip_network("10.0.0.0/8"),),
        upstreams=(Upstream("up", "openai", "https", "a.test", 443, secret="sk-1"),),
    )
    orders = Orders(settings, 3, Path("/counts"), Handed(Path("/counts/files"), "certificates"))
    assert Orders.unpack(orders.pack()) == orders
