"""Recording judged calls: what a line holds, what it never holds, and that nobody waits for the file."""

import asyncio
import json
import logging
import os
import queue
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.enforcement.outside import NOON_US, call

from modelfence.adapters.recording.file import RecordingFile
from modelfence.adapters.recording.order import ArrivalOrder
from modelfence.adapters.recording.recorder import Outcome, Recorder
from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import Call, Credential, CredentialState, Usage
from modelfence.core.charge import Taken
from modelfence.core.decision import Decision, Effect
from modelfence.core.dialect import Request
from modelfence.core.extraction import Caller, Extraction, Fingerprint
from modelfence.core.strict_json import parse
from modelfence.dialects.openai.api import OpenAI
from modelfence.enforcement.ports import Judged, Settled
from modelfence.enforcement.reservation import Reservation
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.recording.lines import Line, line_of, read_line

WITHIN_S = 10
KEY = "sk-a-key-of-acme"
BLANK = Fingerprint()
MARKED = Fingerprint(system=(1, 2), last=(3,), item=4, history=5, phrases=("judge_rubric",))


def at_once() -> ArrivalOrder:
    """Lines that wait for the end of their call only."""
    return ArrivalOrder(grace_s=0)


class Recording:
    """A recorder on a file, which is told of calls and closed before it is read."""

    def __init__(self, path: Path, *, max_bytes: int = 1 << 30, write=os.write, **options: Any) -> None:
        self.path = path
        self.outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        file = RecordingFile(path, max_bytes=max_bytes, keep=5, write=write)
        self.recorder = Recorder(file, **{"prompts": False, "count": self.outcomes.put, **options})
        self.recorder.start()

    def refuse(self, of: Call, fingerprint: Fingerprint = BLANK) -> None:
        self.recorder.judged(judged(of, Effect.DENY, fingerprint))

    def admit(self, of: Call, fingerprint: Fingerprint = BLANK) -> None:
        self.recorder.judged(judged(of, Effect.ALLOW, fingerprint))

    def end(self, of: Call, usage: Usage | None = None, status: int | None = 200) -> None:
        self.recorder.settled(Settled(judged(of, Effect.ALLOW), usage, status))

    def next_outcome(self) -> Outcome:
        return self.outcomes.get(timeout=WITHIN_S)

    def counted(self) -> list[Outcome]:
        return [self.outcomes.get_nowait() for _ in range(self.outcomes.qsize())]

    async def text(self) -> bytes:
        await self.recorder.stop()
        return self.path.read_bytes()

    async def lines(self) -> list[Line]:
        return [read_line(line) for line in (await self.text()).splitlines()]


def judged(of: Call, effect: Effect, fingerprint: Fingerprint = BLANK) -> Judged:
    return Judged(
        call=of,
        decision=Decision(effect),
        found=UNKNOWN,
        country=None,
        tier="none",
        taken=Taken(),
        reservation=Reservation(of.id),
        caller=Caller("acme", "none", is_verified=False, country=""),
        extraction=Extraction(fingerprint=fingerprint),
        took_us=0,
        decided_us=0,
    )


def nth(n: int, **changes) -> Call:
    """Return a call that arrived so many seconds after noon."""
    return call(KEY, id=f"c{n}", at_us=NOON_US + n * 1_000_000, **changes)


def order_of(lines: list[Line]) -> list[int]:
    return [(line.at_us - NOON_US) // 1_000_000 for line in lines]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.jsonl"


@pytest.fixture
def recording(path):
    return Recording(path)


class Stuck:
    """A disk that takes a write and does not return from it until it is let go."""

    def __init__(self) -> None:
        self.is_writing = threading.Event()
        self.goes_on = threading.Event()

    def __call__(self, file: int, data: memoryview) -> int:
        self.is_writing.set()
        assert self.goes_on.wait(WITHIN_S)
        return os.write(file, data)


@pytest.fixture
def stuck():
    disk = Stuck()
    yield disk
    disk.goes_on.set()


async def test_a_refused_call_is_a_line_with_what_was_read_in_it(recording):
    refused = nth(1)
    recording.refuse(refused, MARKED)
    (line,) = await recording.lines()
    assert line == Line(
        at_us=refused.at_us,
        client_ip="8.8.8.8",
        method="POST",
        path="/v1/chat/completions",
        credential=Credential.of(KEY),
        bytes=100,
        provider="openai",
        reading=refused.reading,
        fingerprint=MARKED,
    )
    assert recording.counted() == [Outcome.WRITTEN]


async def test_an_admitted_call_is_written_when_it_has_ended_with_what_it_used(recording):
    recording.admit(nth(1))
    recording.end(nth(1), Usage(812, 143, cached_tokens=7, reasoning_tokens=9, estimated=True))
    recording.admit(nth(2))
    recording.end(nth(2), None, None)
    recording.admit(nth(3))
    recording.end(nth(3), None, 500)
    served, unserved, failed = await recording.lines()
    assert (served.usage, served.status) == (Usage(812, 143, cached_tokens=7, reasoning_tokens=9, estimated=True), 200)
    assert (unserved.usage, unserved.status, unserved.was_served) == (None, None, False)
    assert (failed.usage, failed.status, failed.was_served) == (None, 500, False)


async def test_a_call_that_has_not_ended_when_the_fence_stops_is_written_as_one_of_unknown_usage(recording):
    recording.admit(nth(1))
    (line,) = await recording.lines()
    assert (line.usage, line.was_served) == (None, True)


@pytest.mark.parametrize("state", [CredentialState.MISSING, CredentialState.MALFORMED])
async def test_a_credential_that_is_none_is_told_apart(recording, state):
    recording.refuse(nth(1, credential=Credential(state)))
    (line,) = await recording.lines()
    assert line.credential == Credential(state)


async def test_lines_are_in_the_order_of_arrival_although_calls_end_in_another(recording):
    for n in (1, 3, 2, 5, 4):
        recording.admit(nth(n))
    recording.refuse(nth(6))
    for n in (5, 2, 4, 1, 3):
        recording.end(nth(n), Usage(n, n))
    lines = await recording.lines()
    assert order_of(lines) == [1, 2, 3, 4, 5, 6]
    assert [line.usage and line.usage.input_tokens for line in lines] == [1, 2, 3, 4, 5, None]


async def test_a_line_is_written_as_soon_as_no_earlier_one_can_come(path):
    now_s = 0.0
    recording = Recording(path, clock_s=lambda: now_s)
    recording.refuse(nth(1))
    now_s = 10.0
    recording.refuse(nth(2))  # which wakes the thread
    assert recording.next_outcome() is Outcome.WRITTEN
    assert order_of([read_line(path.read_bytes())]) == [1]
    assert order_of(await recording.lines()) == [1, 2]


async def test_it_wakes_by_itself_when_a_line_is_due(path):
    recording = Recording(path, order=ArrivalOrder(grace_s=0.01))
    recording.refuse(nth(1))
    assert recording.next_outcome() is Outcome.WRITTEN
    await recording.recorder.stop()


async def test_a_clock_that_is_set_back_does_not_put_lines_out_of_order(path):
    recording = Recording(path, order=at_once())
    recording.refuse(nth(5))
    assert recording.next_outcome() is Outcome.WRITTEN
    recording.refuse(nth(2))
    recording.refuse(nth(6))
    assert order_of(await recording.lines()) == [5, 5, 6]


async def test_calls_that_come_faster_than_they_can_be_written_are_dropped_and_counted(path, stuck):
    recording = Recording(path, order=at_once(), write=stuck, waiting_bytes=10_000)
    recording.refuse(nth(1))
    assert stuck.is_writing.wait(WITHIN_S)
    for n in (2, 3, 4, 5):
        recording.refuse(nth(n))
    assert recording.counted() == [Outcome.DROPPED, Outcome.DROPPED]
    stuck.goes_on.set()
    assert order_of(await recording.lines()) == [1, 2, 3]
    assert recording.counted() == [Outcome.WRITTEN] * 3


async def test_when_calls_find_no_room_the_ends_of_others_do(path, stuck):
    recording = Recording(path, order=at_once(), write=stuck, waiting_bytes=9_000)
    recording.admit(nth(1))
    recording.refuse(nth(0))
    assert stuck.is_writing.wait(WITHIN_S)
    for n in (2, 3, 4):
        recording.refuse(nth(n))
    recording.end(nth(1), Usage(1, 1))
    assert recording.counted() == [Outcome.DROPPED]
    stuck.goes_on.set()
    lines = await recording.lines()
    assert [(order_of([line]), line.usage) for line in lines] == [
        ([0], None),
        ([1], Usage(1, 1)),
        ([2], None),
        ([3], None),
    ]


async def test_what_waits_is_bounded_whatever_ends(path, stuck):
    recording = Recording(path, order=at_once(), write=stuck, waiting_bytes=5_000)
    recording.refuse(nth(0))
    assert stuck.is_writing.wait(WITHIN_S)
    for n in range(10_000):
        recording.end(nth(n))
    assert recording.recorder._queue.qsize() <= 20
    stuck.goes_on.set()
    await recording.recorder.stop()


async def test_a_call_larger_than_all_room_is_written_when_nothing_else_waits(path, stuck):
    recording = Recording(path, order=at_once(), write=stuck, waiting_bytes=10_000)
    recording.refuse(nth(1, bytes=1_000_000))
    assert stuck.is_writing.wait(WITHIN_S)
    recording.refuse(nth(2))
    recording.refuse(nth(3, bytes=1_000_000))
    stuck.goes_on.set()
    assert order_of(await recording.lines()) == [1, 2]


async def test_a_full_disk_loses_lines_and_is_logged_once_in_a_while(path, caplog):
    now_s, is_full = 0.0, True

    def write(file: int, data: memoryview) -> int:
        with Path("/dev/full").open("wb", buffering=0) as full:
            return os.write(full.fileno() if is_full else file, data)

    recording = Recording(path, order=at_once(), write=write, clock_s=lambda: now_s)
    for n in (1, 2):
        recording.refuse(nth(n))
        assert recording.next_outcome() is Outcome.FAILED
    now_s = 10.0
    recording.refuse(nth(3))
    assert recording.next_outcome() is Outcome.FAILED
    is_full = False
    recording.refuse(nth(4))
    assert order_of(await recording.lines()) == [4]
    assert [record.getMessage() for record in caplog.records] == [
        "calls can't be recorded: No space left on device"
    ] * 2


async def test_a_call_that_can_not_be_written_down_costs_its_own_line_and_no_word_of_it_is_logged(path, caplog):
    recording = Recording(path, prompts=True, order=at_once())
    recording.refuse(nth(1, body={"a prompt", "of no JSON"}))
    recording.refuse(nth(2))
    assert order_of(await recording.lines()) == [2]
    assert recording.counted() == [Outcome.FAILED, Outcome.WRITTEN]
    assert [record.getMessage() for record in caplog.records] == ["calls can't be recorded: TypeError"]


async def test_files_are_set_aside_by_size_and_are_one_recording_together(path):
    size = len(line_of(nth(1), None, prompts=False))
    recording = Recording(path, max_bytes=2 * size + 9)
    for n in range(1, 7):
        recording.refuse(nth(n))
    await recording.recorder.stop()
    files = sorted(path.parent.iterdir(), reverse=True)
    assert [file.name for file in files] == ["calls.jsonl.2", "calls.jsonl.1", "calls.jsonl"]
    assert {file.stat().st_size for file in files} == {2 * size}
    lines = [read_line(line) for file in files for line in file.read_bytes().splitlines()]
    assert order_of(lines) == [1, 2, 3, 4, 5, 6]


async def test_a_disk_that_hangs_does_not_keep_the_fence_from_stopping(path, stuck, caplog):
    recording = Recording(path, order=at_once(), write=stuck)
    recording.refuse(nth(1))
    assert stuck.is_writing.wait(WITHIN_S)
    await recording.recorder.stop(deadline_s=0.01)
    assert "could not be written within 0.01 s" in caplog.text
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "recorder")
    stuck.goes_on.set()
    await recording.recorder.stop()


async def test_the_file_is_left_to_others_when_it_has_stopped(recording, path):
    recording.refuse(nth(1))
    await recording.recorder.stop()
    RecordingFile(path, max_bytes=1, keep=1).close()  # which is refused while another has it


async def test_nothing_is_kept_before_it_has_started(path, caplog):
    caplog.set_level(logging.DEBUG)
    recorder = Recorder(RecordingFile(path, max_bytes=1, keep=1), prompts=False, count=lambda _: None)
    recorder.judged(judged(nth(1), Effect.ALLOW))
    recorder.settled(Settled(judged(nth(1), Effect.ALLOW), None, 200))
    assert recorder._queue.empty()
    await recorder.stop()
    RecordingFile(path, max_bytes=1, keep=1).close()  # which it would not let happen if it still had the file


async def test_a_body_is_kept_as_it_came_on_one_line(path):
    recording = Recording(path, prompts=True)
    body = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "à \u2028 \n"}]}, indent=2, ensure_ascii=False
    )
    crlf = body.replace("\n", "\r\n").encode()
    recording.refuse(nth(1, body=crlf, bytes=len(crlf)), MARKED)
    (line,) = [read_line(line) for line in (await recording.text()).removesuffix(b"\n").split(b"\n")]
    assert parse(line.body) == json.loads(body)
    assert (line.bytes, line.reading, line.fingerprint) == (len(crlf), None, None)


def asking(prompt: str, *, prompts: bool) -> tuple[Call, Fingerprint]:
    """Return a call that says a prompt in every place where a body has room for one."""
    body = json.dumps(
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": prompt},
                {"role": "user", "content": [{"type": "text", "text": prompt}]},
                {"role": "assistant", "content": prompt},
                {"role": "user", "content": prompt},
            ],
            "tools": [{"type": "function", "function": {"name": prompt, "description": prompt}}],
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"properties": {prompt: {}}}}},
            "stop": [prompt],
            "user": prompt,
            "metadata": {"about": prompt},
            prompt: prompt,
        }
    ).encode()
    headers = [("authorization", f"Bearer {KEY}"), ("x-about", prompt)]
    request = Request("POST", "/v1/chat/completions", headers, body, parse(body))
    reading = OpenAI().read(request)
    asked = nth(1, reading=reading, credential=OpenAI().credential(headers), bytes=len(body))
    return (replace(asked, body=body) if prompts else asked), Fingerprints().of(reading.prompt)


def recorded(of: Call, fingerprint: Fingerprint, *, prompts: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder) / "calls.jsonl", prompts=prompts)
        recording.admit(of, fingerprint)
        recording.end(of, Usage(1, 1))
        text: str = asyncio.run(recording.text()).decode()
        return text


def pieces(prompt: str, length: int = 12) -> set[str]:
    """Return every piece of that length, as it would stand in JSON."""
    found = {prompt[at : at + length] for at in range(len(prompt) - length + 1)}
    return (
        found | {json.dumps(one)[1:-1] for one in found} | {json.dumps(one, ensure_ascii=False)[1:-1] for one in found}
    )


WORDS = ("please", "rewrite", "the", "given", "instruction", "into", "a", "harder", "version")
anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=12, max_size=300)
sentences = st.lists(st.sampled_from(WORDS), min_size=12).map(" ".join)
prompts = anything | sentences


@given(prompts)
def test_no_piece_of_a_prompt_and_no_key_is_in_a_recording_without_prompts(prompt):
    text = recorded(*asking(prompt, prompts=False), prompts=False)
    assert not [piece for piece in pieces(prompt) if piece in text]
    assert KEY not in text
    assert Credential.of(KEY).digest in text


@given(prompts)
def test_a_recording_with_prompts_holds_them_and_still_no_key(prompt):
    text = recorded(*asking(prompt, prompts=True), prompts=True)
    assert json.loads(text)["body"]["messages"][0]["content"] == prompt
    assert KEY not in text


TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhY21lIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Found(Check.VALID, Account("acme", "active", "basic")), replace(Credential.of("sk"), account="acme")),
        (UNKNOWN, Credential.of("sk")),
        (Found(Check.EXPIRED, Account("acme", "active", "basic")), Credential.of("sk")),
        (Found(Check.MALFORMED), Credential(CredentialState.MALFORMED)),
    ],
)
@pytest.mark.parametrize("prompts", [True, False])
async def test_of_a_token_it_is_written_whose_it_was_and_nothing_of_itself(path, found, expected, prompts):
    recording = Recording(path, prompts=prompts)
    with_token = call(TOKEN)
    recording.recorder.judged(replace(judged(with_token, Effect.DENY), found=found))
    text = await recording.text()
    written = read_line(text.splitlines()[0]).credential
    digest = with_token.credential.digest if expected.digest else ""
    assert written == replace(expected, digest=digest)
    assert not any(part.encode() in text for part in TOKEN.split("."))
