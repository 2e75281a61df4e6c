"""Keeping the audit log: which calls have a line when, and that nobody waits and nothing is lost unseen."""

import json
import logging
import os
import queue
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.audit.calls import DENIED, GEO_BUILT_S, SECRET, judged, nth, settled

from modelfence.adapters.audit.file import AuditFile
from modelfence.adapters.audit.log import AuditLog, Outcome
from modelfence.adapters.audit.reading import verified
from modelfence.audit.chain import Seals
from modelfence.audit.files import ChainFiles
from modelfence.audit.lines import Lines

WITHIN_S = 10


class Disk:
    """A disk that can be full, or hang."""

    def __init__(self) -> None:
        self.is_full = False
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.is_writing = threading.Event()

    def __call__(self, file: int, data: memoryview) -> int:
        self.is_writing.set()
        assert self.goes_on.wait(WITHIN_S)
        if self.is_full:
            raise OSError(28, "No space left on device")
        return os.write(file, data)


class Kept:
    """A log that is told of calls."""

    def __init__(self, folder: Path, *, max_bytes: int = 1 << 30, **options: Any) -> None:
        self.folder = folder
        self.disk = Disk()
        self.outcomes: queue.SimpleQueue[tuple[Outcome, int]] = queue.SimpleQueue()
        files = ChainFiles.of(folder / "audit.jsonl", 0)
        self.path = files.current
        file = AuditFile(files, Seals(), max_bytes=max_bytes, max_age_s=3600, write=self.disk)
        self.log = AuditLog(
            file,
            Lines(),
            geo_built_s=lambda: GEO_BUILT_S,
            count=lambda outcome, lines: self.outcomes.put((outcome, lines)),
            **{"retry_s": 0.01, **options},
        )
        self.log.start()
        assert {self.outcomes.get_nowait() for _ in Outcome} == {(outcome, 0) for outcome in Outcome}

    def refuse(self, n: int) -> None:
        self.log.judged(judged(nth(n), DENIED))

    def admit(self, n: int) -> None:
        self.log.judged(judged(nth(n)))

    def end(self, n: int) -> None:
        self.log.settled(settled(nth(n)))

    def next_outcome(self) -> tuple[Outcome, int]:
        return self.outcomes.get(timeout=WITHIN_S)

    def wait_for(self, outcome: Outcome) -> int:
        """Wait until lines have become that, and return how many."""
        while True:
            found, lines = self.next_outcome()
            if found is outcome:
                return lines

    def counted(self, outcome: Outcome) -> int:
        found = [self.outcomes.get_nowait() for _ in range(self.outcomes.qsize())]
        return sum(lines for one, lines in found if one is outcome)

    def lines(self) -> list[dict[str, Any]]:
        (chain,) = verified([self.folder], Seals())
        assert (chain.verified.breaks, chain.verified.notes) == ([], ())
        return [json.loads(line) for path in chain.chain.files for line in path.read_bytes().splitlines()]

    def ids(self) -> list[str]:
        return [line["id"] for line in self.lines()]


@pytest.fixture
async def keep(tmp_path):
    opened: list[Kept] = []

    def start(**options: Any) -> Kept:
        opened.append(Kept(tmp_path, **options))
        return opened[-1]

    yield start
    for kept in opened:
        kept.disk.is_full = False
        kept.disk.goes_on.set()
        await kept.log.stop()


async def test_a_refused_call_has_its_line_at_once_and_an_admitted_one_when_it_has_ended(keep):
    kept = keep()
    kept.admit(1)
    kept.refuse(2)
    assert kept.next_outcome() == (Outcome.WRITTEN, 1)
    assert kept.ids() == ["c2"]
    kept.end(1)
    assert kept.next_outcome() == (Outcome.WRITTEN, 1)
    assert [(line["id"], line["settled"]) for line in kept.lines()] == [("c2", None), ("c1", True)]


async def test_calls_under_way_when_the_fence_stops_have_lines_without_their_ends(keep):
    kept = keep()
    kept.admit(1)
    await kept.log.stop()
    assert [(line["id"], line["settled"]) for line in kept.lines()] == [("c1", False)]


async def test_the_oldest_of_too_many_calls_under_way_has_a_line_without_its_end_and_no_second_one(keep):
    kept = keep(under_way=2)
    for n in (1, 2, 3):
        kept.admit(n)
    for n in (1, 2, 3):
        kept.end(n)
    await kept.log.stop()
    assert [(line["id"], line["settled"]) for line in kept.lines()] == [("c1", False), ("c2", True), ("c3", True)]


async def test_nothing_of_a_prompt_waits_in_memory_and_none_is_written(keep):
    kept = keep()
    kept.disk.goes_on.clear()
    kept.refuse(1)
    kept.refuse(2)
    assert all(SECRET.encode() not in line for line in kept.log._waiting)
    kept.disk.goes_on.set()
    await kept.log.stop()
    assert SECRET not in kept.path.read_text()


async def test_while_the_disk_is_full_lines_wait_and_are_tried_again(keep, caplog):
    caplog.set_level(logging.WARNING)
    kept = keep()
    kept.disk.is_full = True
    assert kept.log.is_kept
    kept.refuse(1)
    kept.wait_for(Outcome.FAILED)
    kept.wait_for(Outcome.FAILED)
    assert not kept.log.is_kept
    kept.refuse(2)
    kept.disk.is_full = False
    kept.wait_for(Outcome.WRITTEN)
    await kept.log.stop()
    assert kept.log.is_kept
    assert kept.ids() == ["c1", "c2"]
    assert caplog.messages == [
        "the audit log can't be written: No space left on device",
        "the audit log can be written again",
    ]


async def test_a_line_for_which_there_is_no_room_is_counted_as_lost(keep, caplog):
    kept = keep(waiting_bytes=4_000)
    kept.disk.goes_on.clear()
    for n in range(10):
        kept.refuse(n)
    lost = kept.counted(Outcome.LOST)
    kept.disk.goes_on.set()
    await kept.log.stop()
    assert len(kept.ids()) == 10 - lost
    assert 0 < lost < 10
    assert "there is no room for more lines in memory" in caplog.text


async def test_calls_that_were_let_in_have_room_where_refused_ones_have_none(keep):
    kept = keep(waiting_bytes=6_000)
    kept.admit(100)
    kept.disk.goes_on.clear()
    for n in range(10):
        kept.refuse(n)
    assert kept.counted(Outcome.LOST) > 0
    kept.end(100)
    assert kept.counted(Outcome.LOST) == 0
    kept.disk.goes_on.set()
    await kept.log.stop()
    assert "c100" in kept.ids()


async def test_a_disk_that_hangs_is_noticed_before_the_room_is_used_up(keep):
    kept = keep(waiting_bytes=100_000)
    kept.disk.goes_on.clear()
    for n in range(200):
        kept.admit(n)
    kept.end(0)
    assert kept.disk.is_writing.wait(WITHIN_S)
    assert kept.log.is_kept
    n = 0
    while kept.log.is_kept:
        n += 1
        kept.end(n)
    assert kept.counted(Outcome.LOST) == 0
    kept.disk.goes_on.set()
    await kept.log.stop()
    assert kept.log.is_kept


async def test_what_can_not_be_written_when_the_fence_stops_is_counted_as_lost(keep, caplog):
    kept = keep()
    kept.disk.is_full = True
    for n in range(3):
        kept.refuse(n)
    kept.wait_for(Outcome.FAILED)
    await kept.log.stop(deadline_s=0.01)
    assert kept.counted(Outcome.LOST) == 3
    assert "3 lines of the audit log could not be written within 0.01 s, and are lost" in caplog.text


async def test_a_disk_that_hangs_does_not_keep_the_fence_from_stopping(keep):
    kept = keep()
    kept.disk.goes_on.clear()
    kept.refuse(1)
    assert kept.disk.is_writing.wait(WITHIN_S)
    await kept.log.stop(deadline_s=0.01)
    assert kept.counted(Outcome.LOST) == 1


async def test_lines_that_come_together_are_written_together(keep):
    kept = keep()
    for n in range(1000):
        kept.refuse(n)
    await kept.log.stop()
    assert kept.counted(Outcome.WRITTEN) == 1000
    assert kept.ids() == [f"c{n}" for n in range(1000)]


async def test_lines_that_do_not_fit_a_file_go_to_the_next(keep):
    kept = keep(max_bytes=10_000)
    for n in range(100):
        kept.refuse(n)
    await kept.log.stop()
    assert kept.ids() == [f"c{n}" for n in range(100)]
    assert kept.counted(Outcome.WRITTEN) == 100


async def test_a_log_that_was_not_started_writes_nothing(tmp_path):
    files = ChainFiles.of(tmp_path / "audit.jsonl", 0)
    file = AuditFile(files, Seals(), max_bytes=1 << 30, max_age_s=3600)
    log = AuditLog(file, Lines(), geo_built_s=dict, count=lambda *_: None)
    log.judged(judged(nth(1), DENIED))
    assert log.is_kept
    await log.stop()
    assert files.current.read_bytes() == b""
