"""The harness behind `make bench` measures what it says: this holds it to that, on loopback and within seconds."""

import asyncio
import os
import time

import pytest
from bench.proxy.load import (
    BadAnswerError,
    Callers,
    _OnSchedule,
    ask_on_schedule,
    ask_once,
    ask_without_pause,
    read_streams,
)
from bench.proxy.measures import measure
from bench.proxy.messages import WHOLE, Questions, Reader
from bench.proxy.processes import NotMeasurableError, cores, on
from bench.proxy.report import page
from bench.proxy.results import Latency, Measured, Pace, Plan, Result
from bench.proxy.running import all_running
from bench.proxy.subjects import BARE, DIRECT, FENCE, Site, Subject, ours, policy_text, write_settings
from bench.proxy.upstream import Upstream

from modelfence.policy.compile import compile_text
from modelfence.settings_reading import load

needs_two_cores = pytest.mark.skipif(
    len(os.sched_getaffinity(0)) < 2, reason="a subject and its callers need a core each"
)


class Told:
    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.ends = 0

    def head(self, head):
        self.heads.append(head)
        self.bodies.append(b"")

    def piece(self, piece):
        self.bodies[-1] += piece

    def end(self):
        self.ends += 1


class Refuses(asyncio.Protocol):
    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._transport.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1\r\n\r\n.")


class AnswersAllAtOnce(asyncio.Protocol):
    """Answers nobody until so many have asked."""

    def __init__(self, waiting, asked) -> None:
        self._waiting, self._asked = waiting, asked

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        self._waiting.append(self._transport)
        if len(self._waiting) == self._asked:
            for transport in self._waiting:
                transport.write(WHOLE)


@pytest.fixture
async def upstream():
    upstream = Upstream()
    await upstream.start()
    yield upstream
    upstream.stop()


@pytest.fixture
async def serve():
    servers = []

    async def start(protocol):
        server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        servers.append(server)
        return server.sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def callers(upstream):
    return Callers(upstream.port, Questions(), upstream)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_messages_are_read_however_they_arrive(size):
    told = Told()
    reader = Reader(told)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n2\r\nef\r\n0\r\n\r\n"
    empty = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    arriving = chunked + empty + WHOLE
    for at in range(0, len(arriving), size):
        reader.feed(arriving[at : at + size])
    assert told.ends == 3
    assert told.bodies == [b"abcdef", b"", WHOLE.partition(b"\r\n\r\n")[2]]


async def test_callers_without_pause_are_counted_by_their_answers(callers):
    done = await ask_without_pause(callers, connections=2, seconds=60, most=50)
    assert 50 <= done.count <= 51
    assert done.rate > 0


async def test_a_bad_answer_is_no_measurement(serve, upstream):
    callers = Callers(await serve(Refuses), Questions(), upstream)
    with pytest.raises(BadAnswerError, match="503"):
        await ask_without_pause(callers, connections=1, seconds=60)
    with pytest.raises(BadAnswerError, match="503"):
        await ask_once(callers)


async def test_requests_on_schedule_are_sent_though_none_is_answered_and_count_from_when_they_were_due(serve, upstream):
    waiting: list[asyncio.Transport] = []
    port = await serve(lambda: AnswersAllAtOnce(waiting, 10))
    seen = await ask_on_schedule(Callers(port, Questions(), upstream), rate=100, seconds=0.1)
    assert seen.failed == 0
    assert len(seen.whole) == 10
    assert max(seen.whole) >= 0.09, "the first waited for the tenth"


async def test_latency_counts_from_when_a_request_was_due_though_it_could_not_be_sent_then(callers):
    on_schedule = _OnSchedule(callers, events=3)
    on_schedule.ask(time.perf_counter() - 1)
    seen = await on_schedule.result()
    assert min(*seen.whole, *seen.first) >= 1


async def test_bad_answers_on_schedule_are_counted_apart(serve, upstream):
    seen = await ask_on_schedule(Callers(await serve(Refuses), Questions(), upstream), rate=100, seconds=0.05)
    assert (seen.failed, seen.whole) == (5, [])


async def test_a_stream_goes_in_step_with_its_reader(callers, upstream):
    assert (await ask_once(callers, events=5)).events == 5 + 2, "its end is an event, and so is `[DONE]`"
    assert upstream.streams == {}
    done = await read_streams(callers, streams=3, seconds=0.05)
    assert done.count > 3
    assert upstream.streams == {}


async def test_an_event_leaves_when_the_one_before_has_arrived(upstream):
    deaf = Callers(upstream.port, Questions(), Upstream())  # whose word does not come to the upstream
    client = await deaf.connect()
    answer = client.ask(deaf.questions.streamed("s", 5), lambda *_: None, stream="s")
    await ask_once(Callers(upstream.port, Questions(), upstream), events=5)
    assert answer.events == 1
    upstream.arrived("s", 1)
    await ask_once(Callers(upstream.port, Questions(), upstream), events=5)
    assert answer.events == 2
    client.close()


@pytest.mark.parametrize("rules", [10, 20, 100])
def test_the_policies_have_as_many_rules_as_they_say(rules):
    compiled = compile_text(policy_text(rules))
    assert compiled.problems == ()
    assert len(compiled.policy.rules()) == rules


def test_the_settings_are_some_that_the_fence_takes(tmp_path):
    config = write_settings(Site(tmp_path, 1, 2, "redis://127.0.0.1:3", 4), rules=20, store="memory")
    settings, problems = load(config, {}, {})
    assert problems == ()
    assert settings.listen.port == 1


@needs_two_cores
def test_a_single_core_is_not_enough():
    with on({min(os.sched_getaffinity(0))}), pytest.raises(NotMeasurableError, match="a core each"):
        cores()


@needs_two_cores
async def test_a_subject_that_does_not_start_is_named_with_what_it_said():
    broken = Subject("broken", "", lambda _: ["sh", "-c", "echo no such luck; exit 3"])
    with pytest.raises(NotMeasurableError, match="broken does not listen\nno such luck"):
        async with all_running([broken]):
            pass


@needs_two_cores
async def test_all_is_measured_of_the_fence_and_of_mitmproxy_alone():
    plan = Plan(
        warm_up_s=0.2, rounds=1, seconds=0.5, connections=2, streams=2, rates=(20,), scheduled_rounds=1, scheduled_s=0.2,
        idle_connections=2, open_streams=2, hour=10,
    )  # fmt: skip
    result = await measure([one for one in ours() if one.name in {DIRECT, BARE, FENCE}], plan)
    for one in result.measured[1:]:
        assert len(one.requests) == len(one.events) == len(one.first_token) == 1
        assert one.on_schedule[20][0].failed == 0
        assert one.rss_after_bytes > 10_000_000
        assert one.hour >= 10
    fence = result.measured[-1]
    assert 0 < fence.requests[0].redis_us < fence.requests[0].cpu_us
    assert DIRECT in page(result, "this test")


def test_the_page_says_how_far_the_aims_are_reached():
    def measured(subject, requests, events, p50_ms):
        def paces(rate):
            return [Pace(one, 500, 0.1, 125) for one in (rate - 1, rate, rate + 9)]

        latency = [Latency(p50_ms, 2 * p50_ms, 0)]
        return Measured(subject, paces(requests), paces(events), {100: latency}, latency, 1e3, 2e3, 10**8, 500, 10**8)

    subjects = {subject.name: subject for subject in ours()}
    litellm = Subject("LiteLLM 1", "a peer", lambda _: [])
    rows = [
        measured(subjects[DIRECT], 9000, 9000, 0.1),
        measured(subjects[BARE], 1000, 8000, 0.8),
        measured(subjects[FENCE], 800, 6000, 1.3),
        measured(litellm, 100, 500, 9.0),
    ]
    written = page(Result(Plan(rates=(100,)), rows, idle=0.001, loads=(0.1, 1.5)), "this test")
    assert "| requests/s, of mitmproxy embedded | 0.75 | 0.80 |" in written
    assert "| events/s, of mitmproxy embedded | 0.90 | 0.75 |" in written
    assert "| p50 over mitmproxy embedded at 100/s | < 1 ms | 0.50 ms |" in written
    assert "| requests/s, times those of LiteLLM | 8 | 8.0 |" in written
    assert "| requests/s, times those of Portkey | > 1 | - |" in written
    assert f"| {FENCE} | 800 (799 to 809) | 0.80 | 500 (500 to 500) | 10% |" in written
    assert f"For each request of `{FENCE}` Redis takes 125 µs of a core." in written
    assert "when 4.0 workers have" in written
    assert f"| {FENCE} | 1.20 | 2.40 | 1.20 | 2.40 |" in written
