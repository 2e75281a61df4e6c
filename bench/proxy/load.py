"""Callers: those who ask again when answered, those who ask on schedule, and those who only stay.

Rule: on schedule means on schedule. A request that is due is sent whatever became of those before, on a connection
of its own if need be, and its latency counts from when it was due. So a subject that stalls is charged for all who
would have called meanwhile, not for the one who waits.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from bench.proxy.client import Answer, Client, connect
from bench.proxy.messages import Questions
from bench.proxy.upstream import Upstream

ANSWER_WITHIN_S = 20.0
"""After the last request; what is not answered by then is not going to be."""
CONNECTIONS_AT_MOST = 512
"""Of callers on schedule. Beyond them a request waits for a connection, and its latency grows by that."""
SPIN_S = 0.002
"""So long before a request is due the loop is polled instead of slept in: its timers are late by up to 1 ms."""
EVENTS_OF_LONG_STREAM = 100_000


class BadAnswerError(Exception):
    """A subject did not do what it is measured at."""


@dataclass(frozen=True, slots=True)
class Callers:
    """Who call one subject."""

    port: int
    questions: Questions
    upstream: Upstream

    async def connect(self) -> Client:
        return await connect(self.port, self.upstream.arrived)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done in how long."""

    count: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds from when each request was due, and how many got no good answer."""

    first: list[float]
    """To the first byte of its body."""
    whole: list[float]
    failed: int


async def ask_without_pause(callers: Callers, *, connections: int, seconds: float, most: int | None = None) -> Done:
    """Ask on each connection as soon as the last answer is there, for so long, or until so many were asked.

    Raises BadAnswerError.
    """
    until = time.perf_counter() + seconds
    done = asyncio.Event()
    answers, open_connections = 0, connections
    bad: list[Answer] = []

    def ended(client: Client, answer: Answer) -> None:
        nonlocal answers, open_connections
        answers += 1
        if not answer.is_good:
            bad.append(answer)
        if not bad and time.perf_counter() < until and (most is None or answers < most):
            client.ask(callers.questions.plain(), ended)
            return
        client.close()
        open_connections -= 1
        if not open_connections:
            done.set()

    began = time.perf_counter()
    for client in [await callers.connect() for _ in range(connections)]:
        client.ask(callers.questions.plain(), ended)
    await _in_time(done.wait(), seconds)
    if bad:
        raise BadAnswerError(f"{len(bad)} answers were not good, the first of status {bad[0].status}")
    return Done(answers, time.perf_counter() - began)


async def read_streams(callers: Callers, *, streams: int, seconds: float) -> Done:
    """Read so many streams at once for so long; count their events. Raises BadAnswerError."""
    async with open_streams(callers, streams) as answers:
        began, before = time.perf_counter(), sum(answer.events for answer in answers)
        await asyncio.sleep(seconds)
        return Done(sum(answer.events for answer in answers) - before, time.perf_counter() - began)


async def ask_on_schedule(callers: Callers, *, rate: float, seconds: float, events: int = 0) -> Latencies:
    """Ask at that rate for so long: for streams of so many events, or for answers in one piece when 0."""
    on_schedule = _OnSchedule(callers, events)
    start = time.perf_counter() + SPIN_S
    for due in (start + n / rate for n in range(round(rate * seconds))):
        await _until(due)
        on_schedule.ask(due)
    return await on_schedule.result()


class _OnSchedule:
    """Sends each request when it is told to, and keeps what came of it."""

    def __init__(self, callers: Callers, events: int) -> None:
        self._callers = callers
        self._events = events
        self._free: list[Client] = []
        self._waiting: deque[float] = deque()
        self._asked: list[tuple[float, Answer]] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._told = 0
        self._over = 0
        self._all_told = False
        self._all_over = asyncio.Event()

    def ask(self, due: float) -> None:
        self._told += 1
        while self._free:
            client = self._free.pop()
            if client.is_open:
                self._send(client, due)
                return
            self._connections -= 1
        if self._connections < CONNECTIONS_AT_MOST:
            self._connections += 1
            task = asyncio.create_task(self._ask_on_another(due))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._waiting.append(due)

    async def result(self) -> Latencies:
        """Wait for what is still to come, within a deadline."""
        self._all_told = True
        self._tell_when_over()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._all_over.wait(), ANSWER_WITHIN_S)
        for client in self._free:
            client.close()
        good = [(due, answer) for due, answer in self._asked if answer.is_good]
        first = [answer.first_at - due for due, answer in good if answer.first_at is not None]
        whole = [answer.ended_at - due for due, answer in good if answer.ended_at is not None]
        return Latencies(first, whole, failed=self._told - len(good))

    async def _ask_on_another(self, due: float) -> None:
        self._send(await self._callers.connect(), due)

    def _send(self, client: Client, due: float) -> None:
        questions, name = self._callers.questions, f"on-schedule-{self._told}-{len(self._asked)}"
        request = questions.streamed(name, self._events) if self._events else questions.plain()
        self._asked.append((due, client.ask(request, self._ended, stream=name if self._events else "")))

    def _tell_when_over(self) -> None:
        if self._all_told and self._over == self._told:
            self._all_over.set()

    def _ended(self, client: Client, _answer: Answer) -> None:
        self._over += 1
        self._tell_when_over()
        if self._waiting and client.is_open:
            self._send(client, self._waiting.popleft())
        else:
            self._free.append(client)


@asynccontextmanager
async def idle_connections(callers: Callers, count: int) -> AsyncIterator[None]:
    """Keep so many connections open, each of which was answered once. Raises BadAnswerError."""
    clients = []
    try:
        for _ in range(count):
            client = await callers.connect()
            clients.append(client)
            await _ask_once(client, callers.questions.plain())
        yield
    finally:
        for client in clients:
            client.close()


@asynccontextmanager
async def open_streams(callers: Callers, count: int, *, held: bool = False) -> AsyncIterator[list[Answer]]:
    """Keep so many streams open that have begun; `held` has their events wait. Raises BadAnswerError."""
    upstream, over = callers.upstream, list[Answer]()
    clients, answers, names = [], [], [f"{'held' if held else 'read'}-{n}" for n in range(count)]

    def ended(_client: Client, answer: Answer) -> None:
        over.append(answer)

    try:
        for name in names:
            client = await connect(callers.port, _unheard if held else upstream.arrived)
            clients.append(client)
            request = callers.questions.streamed(name, EVENTS_OF_LONG_STREAM)
            answers.append(client.ask(request, ended, stream=name))
        await _until_true(lambda: bool(over) or all(answer.events for answer in answers))
        if over:
            raise BadAnswerError(f"{len(over)} streams ended at once, the first with status {over[0].status}")
        yield answers
        for name in names:
            upstream.finish(name)
        await _until_true(lambda: len(over) == count)
    finally:
        for client in clients:
            client.close()


def _unheard(_name: str, _events: int) -> None: ...


async def ask_once(callers: Callers, *, events: int = 0) -> Answer:
    """Return the good answer to one request, a stream where it is to have events. Raises BadAnswerError."""
    client = await callers.connect()
    try:
        request = callers.questions.streamed("once", events) if events else callers.questions.plain()
        return await _ask_once(client, request, stream="once" if events else "")
    finally:
        client.close()


async def _ask_once(client: Client, request: bytes, *, stream: str = "") -> Answer:
    over = asyncio.Event()
    answer = client.ask(request, lambda _client, _answer: over.set(), stream=stream)
    await _in_time(over.wait(), 0)
    if not answer.is_good:
        raise BadAnswerError(f"an answer of status {answer.status} that ended at {answer.ended_at}")
    return answer


async def _until(due: float) -> None:
    """Return when it is due, and within some ten microseconds of it."""
    if (left := due - time.perf_counter() - SPIN_S) > 0:
        await asyncio.sleep(left)
    while time.perf_counter() < due:
        os.sched_yield()  # Redis is on this core, and has an answer to give
        await asyncio.sleep(0)


async def _until_true(holds: Callable[[], bool]) -> None:
    give_up = time.perf_counter() + ANSWER_WITHIN_S
    while not holds():
        if time.perf_counter() > give_up:
            raise BadAnswerError(f"no answer within {ANSWER_WITHIN_S:.0f} s")
        await asyncio.sleep(0.01)


async def _in_time(what: Awaitable[object], seconds: float) -> None:
    try:
        await asyncio.wait_for(what, seconds + ANSWER_WITHIN_S)
    except TimeoutError:
        raise BadAnswerError(f"no answer within {ANSWER_WITHIN_S:.0f} s") from None
