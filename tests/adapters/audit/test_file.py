"""The files of a chain: what a crash, a restart, a full disk and a full file leave of it, by what `verify` says."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from tests.adapters.recording.test_file import room_for

from modelfence.adapters.audit.file import AuditFile, BrokenChainError
from modelfence.adapters.audit.reading import verified
from modelfence.audit.chain import Seals
from modelfence.audit.files import ChainFiles, read_head
from modelfence.audit.findings import Kind

KEY = Seals(b"a key of thirty-two bytes or more")
FIELDS = [b'"n":%d' % n for n in range(100)]
LINE_BYTES = 184
"""Of each but the first: 10 lines of one digit."""


class Log:
    """One chain in a folder, opened as often as one likes."""

    def __init__(self, folder) -> None:
        self.files = ChainFiles.of(folder / "audit.jsonl", 0)
        self.now_s = 1000.0
        self.open_ones: list[AuditFile] = []

    def open(self, seals=KEY, **options) -> AuditFile:
        options = {"max_bytes": 1 << 20, "max_age_s": 3600, "clock_s": lambda: self.now_s, **options}
        file = AuditFile(self.files, seals, **options)
        self.open_ones.append(file)
        return file

    def close(self) -> None:
        while self.open_ones:
            self.open_ones.pop().close()

    def write(self, *numbers: int, **options) -> None:
        """Write these lines, each by itself, and close the files."""
        file = self.open(**options)
        for n in numbers:
            assert file.write([FIELDS[n]]) == 1
        self.close()

    def verify(self, seals=KEY):
        (found,) = verified([self.files.folder], seals)
        return found.verified

    def names(self) -> list[str]:
        return sorted(path.name for path in self.files.folder.iterdir())

    def numbers(self) -> list[int]:
        """Return what was written, in order, over all files."""
        paths = [*self.files.all_set_aside(), self.files.current]
        return [json.loads(line)["n"] for path in paths for line in path.read_bytes().splitlines()]


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path)
    yield log
    log.close()


def test_a_chain_goes_on_over_restarts(log):
    log.write(0, 1)
    log.write()
    log.write(2)
    assert log.numbers() == [0, 1, 2]
    assert (log.verify().breaks, log.verify().lines) == ([], 3)
    assert log.names() == ["audit.w0.head", "audit.w0.jsonl"]


def test_a_full_file_is_set_aside_under_the_number_of_its_first_line_and_the_chain_goes_on(log):
    log.write(*range(7), max_bytes=3 * LINE_BYTES + 100)
    assert log.names() == [
        "audit.w0.000000000001.jsonl",
        "audit.w0.000000000004.jsonl",
        "audit.w0.head",
        "audit.w0.jsonl",
    ]
    assert log.numbers() == list(range(7))
    assert (log.verify().breaks, log.verify().lines) == ([], 7)
    assert all(path.stat().st_size <= 3 * LINE_BYTES + 100 for path in log.files.all_set_aside())


def test_a_batch_is_written_as_far_as_it_fits(log):
    file = log.open(max_bytes=3 * LINE_BYTES + 100)
    waiting = FIELDS[:8]
    counts = []
    while waiting:
        counts.append(file.write(waiting))
        del waiting[: counts[-1]]
    log.close()
    assert counts == [3, 3, 2]
    assert log.verify().breaks == []


def test_a_line_longer_than_a_file_has_one_to_itself(log):
    log.write(0, 1, 2, max_bytes=1)
    assert log.numbers() == [0, 1, 2]
    assert len(log.files.all_set_aside()) == 2


def test_an_old_file_is_set_aside_when_the_next_line_comes_also_after_a_restart(log):
    log.write(0)
    log.now_s += 3599
    log.write(1)
    log.now_s += 1
    log.write(2)
    log.write(3)
    assert log.names()[0] == "audit.w0.000000000001.jsonl"
    assert len(log.files.all_set_aside()) == 1
    assert log.numbers() == [0, 1, 2, 3]


def test_a_file_is_old_also_by_a_clock_that_was_set_back(log):
    log.now_s = 5e9
    log.write(0)
    log.now_s = 1000.0
    log.write(1)
    assert log.files.set_aside(1).exists()


def take_away(log):
    log.files.current.unlink()


def move_away(log):
    log.files.current.rename(log.files.folder / "audit.w0.jsonl.1")


@pytest.mark.parametrize("harm", [take_away, move_away])
def test_lines_go_on_in_a_new_file_when_theirs_is_taken_away(log, harm, caplog):
    file = log.open(max_bytes=3 * LINE_BYTES + 100)
    file.write(FIELDS[:2])
    harm(log)
    for n in range(2, 7):
        assert file.write([FIELDS[n]]) == 1
    log.close()
    assert log.numbers() == list(range(2, 7))
    assert log.files.set_aside(3).exists()
    assert log.verify().breaks == []
    assert log.verify().notes == ("it is looked at from line 3 of the chain on: older ones are not here",)
    assert len([one for one in caplog.messages if "was taken away, and lines from 1 to 2 with it" in one]) == 1


def test_lines_go_on_in_a_file_that_was_put_in_the_place_of_theirs_and_verify_sees_what_it_is(log):
    file = log.open(max_bytes=4 * LINE_BYTES)
    file.write(FIELDS[:3])
    edited = log.files.folder / "edited"
    edited.touch(0o600)
    edited.write_bytes(log.files.current.read_bytes().replace(b'"n":1', b'"n":7'))
    edited.rename(log.files.current)
    for n in range(3, 6):
        file.write([FIELDS[n]])
    log.close()
    assert log.numbers() == [0, 7, 2, 3, 4, 5]
    assert log.files.set_aside(1).exists()
    assert [(one.kind, one.seq) for one in log.verify().breaks] == [(Kind.CHANGED, 2)]


@pytest.mark.parametrize("left_of_the_third", [0, 17])
def test_a_file_whose_end_was_cut_off_is_gone_on_with_and_no_line_after_it_is_harmed(log, left_of_the_third, caplog):
    file = log.open()
    file.write(FIELDS[:3])
    third = log.files.current.read_bytes().splitlines(keepends=True)[2]
    os.truncate(log.files.current, log.files.current.stat().st_size - len(third) + left_of_the_third)
    file.write(FIELDS[3:4])
    file.write(FIELDS[4:5])
    log.close()
    assert log.numbers() == [0, 1, 3, 4]
    assert [(one.kind, one.seq, one.last_seq) for one in log.verify().breaks] == [(Kind.REMOVED, 3, 3)]
    assert len([one for one in caplog.messages if "was cut off" in one]) == 1


@pytest.mark.parametrize(
    "harm", [Path.unlink, lambda head: head.rename(head.with_suffix(".old"))], ids=["removed", "renamed"]
)
def test_a_note_that_was_taken_away_is_made_anew(log, harm, caplog):
    file = log.open()
    file.write(FIELDS[:1])
    harm(log.files.head)
    file.write(FIELDS[1:3])
    log.close()
    assert (log.verify().breaks, log.verify().notes) == ([], ())
    os.truncate(log.files.current, 0)
    assert [(one.kind, one.seq, one.last_seq) for one in log.verify().breaks] == [(Kind.REMOVED, 1, 3)]
    assert "was taken away, and is made anew" in caplog.text


def test_nothing_is_written_to_what_others_may_read_in_the_place_of_the_file(log):
    file = log.open()
    file.write(FIELDS[:1])
    log.files.current.unlink()
    log.files.current.touch(0o644)
    with pytest.raises(PermissionError, match="its mode is 0644"):
        file.write(FIELDS[1:2])
    log.files.current.chmod(0o600)
    assert file.write(FIELDS[1:2]) == 1


def test_how_old_a_file_is_is_known_also_when_its_note_is_behind(log):
    log.write(0)
    note = log.files.head.read_bytes()
    log.write(1)
    log.files.head.write_bytes(note)
    log.now_s += 3600
    log.write(2)
    assert log.files.set_aside(1).exists()


def test_what_is_set_aside_and_what_is_left_at_the_end_is_on_the_disk(log, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino))
    log.write(0, 1, max_bytes=1)
    assert synced == [log.files.set_aside(1).stat().st_ino, log.files.current.stat().st_ino]


def test_the_oldest_files_are_deleted_where_only_some_are_kept_and_verify_says_so(log, caplog):
    caplog.set_level(logging.INFO)
    log.write(*range(6), max_bytes=1, keep=2)
    assert log.numbers() == [3, 4, 5]
    assert log.verify().breaks == []
    assert log.verify().notes == ("it is looked at from line 4 of the chain on: older ones are not here",)
    assert len([one for one in caplog.messages if "was deleted: `audit.keep` is 2" in one]) == 3


def test_a_crash_at_any_byte_of_a_line_leaves_a_chain_that_is_whole_and_goes_on(log, tmp_path):
    log.write(0, 1)
    before, head = log.files.current.read_bytes(), log.files.head.read_bytes()
    log.write(2)
    line = log.files.current.read_bytes()[len(before) :]
    for written in range(len(line) + 1):
        folder = tmp_path / str(written)
        folder.mkdir()
        crashed = Log(folder)
        for path, content in ((crashed.files.current, before + line[:written]), (crashed.files.head, head)):
            path.write_bytes(content)
            path.chmod(0o600)
        left = crashed.verify()
        assert left.breaks == []
        assert (left.lines, len(left.notes)) == ((3, 0) if written == len(line) else (2, written > 0))
        crashed.write(3)
        assert crashed.numbers() == [0, 1, *([2] if written == len(line) else []), 3]
        assert (crashed.verify().breaks, crashed.verify().notes) == ([], ())
        shutil.rmtree(folder)


def test_a_crash_in_the_first_line_leaves_nothing(log):
    log.write()
    log.files.current.write_bytes(b'{"seq":1,"pr')
    assert log.verify().breaks == []
    log.write(0)
    assert log.verify().breaks == []


@pytest.mark.parametrize("at", ["renamed", "begun"])
def test_a_crash_while_a_file_is_set_aside_loses_nothing(log, at):
    log.write(0, 1)
    log.files.current.rename(log.files.set_aside(1))
    if at == "begun":
        log.files.current.touch(0o600)
    assert log.verify().breaks == []
    log.write(2)
    assert log.numbers() == [0, 1, 2]
    assert log.verify().breaks == []


def test_files_that_were_shipped_and_removed_are_not_missed_by_the_writer(log):
    log.write(*range(4), max_bytes=1)
    for path in log.files.all_set_aside():
        path.unlink()
    log.files.current.rename(log.files.set_aside(4))
    log.files.set_aside(4).unlink()
    log.write(4)
    assert json.loads(log.files.current.read_bytes())["seq"] == 5
    assert log.verify().breaks == []


def test_lines_removed_while_the_fence_was_down_stay_missing(log, caplog):
    log.write(0, 1, 2)
    lines = log.files.current.read_bytes().splitlines(keepends=True)
    log.files.current.write_bytes(lines[0])
    log.write(3)
    assert "ends with line 1, and had 3: lines are missing" in caplog.text
    (removed,) = log.verify().breaks
    assert (removed.kind, removed.seq, removed.last_seq) == (Kind.REMOVED, 2, 3)


def test_the_newest_lines_of_a_chain_can_not_be_removed_unseen(log):
    log.write(0, 1, 2)
    lines = log.files.current.read_bytes().splitlines(keepends=True)
    log.files.current.write_bytes(b"".join(lines[:2]))
    assert [(one.kind, one.seq) for one in log.verify().breaks] == [(Kind.REMOVED, 3)]


def test_without_its_note_a_chain_goes_on_from_its_last_line(log):
    log.write(0, 1)
    log.files.head.unlink()
    assert log.verify().notes == ("there is no audit.w0.head: whether the newest lines were removed can't be seen",)
    log.write(2)
    log.files.head.write_bytes(b"{}")
    log.write(3)
    assert log.verify().breaks == []
    assert read_head(log.files.head.read_bytes()).seq == 4


@pytest.mark.parametrize("seals", [Seals(), Seals(b"another key")])
def test_a_chain_is_not_gone_on_with_under_another_key(log, seals):
    log.write(0)
    with pytest.raises(
        BrokenChainError, match=r"made with another `audit.key_file`; to begin a new chain move audit.w0"
    ):
        log.open(seals=seals)
    log.write(1)  # which shows that nobody holds it


def test_a_chain_whose_last_line_was_changed_is_not_gone_on_with(log):
    log.write(0)
    log.files.current.write_bytes(log.files.current.read_bytes().replace(b'"n":0', b'"n":1'))
    with pytest.raises(BrokenChainError):
        log.open()


def test_two_do_not_write_to_one_chain(log):
    log.open()
    with pytest.raises(BlockingIOError, match="another process writes to it"):
        log.open()


def test_what_others_may_change_is_not_written_to(log):
    log.write(0)
    log.files.current.chmod(0o640)
    with pytest.raises(PermissionError, match="0640"):
        log.open()


def test_nobody_else_can_read_what_is_made(log):
    before = os.umask(0)
    try:
        log.write(0, 1, max_bytes=1)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in log.files.folder.iterdir()} == {0o600}


def test_lines_for_which_the_disk_has_no_room_leave_nothing_behind_and_are_written_later(log):
    file = log.open()
    file.write(FIELDS[:2])
    with room_for(3 * LINE_BYTES):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                file.write(FIELDS[2:4])
        assert log.verify().lines == 2
    file.write(FIELDS[2:4])
    log.close()
    assert log.numbers() == [0, 1, 2, 3]
    assert log.verify().breaks == []


def test_what_could_not_be_taken_back_is_removed_before_the_next_line(log, monkeypatch):
    def refuse(*_: int) -> None:
        raise OSError

    file = log.open()
    file.write(FIELDS[:1])
    with room_for(LINE_BYTES), monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", refuse)
        for _ in range(2):
            with pytest.raises(OSError):
                file.write(FIELDS[1:2])
    file.write(FIELDS[1:2])
    log.close()
    assert log.numbers() == [0, 1]
    assert log.verify().breaks == []


def test_a_file_that_can_not_be_set_aside_is_tried_again(log):
    file = log.open(max_bytes=1)
    file.write(FIELDS[:1])
    log.files.set_aside(1).touch()
    for _ in range(2):
        with pytest.raises(FileExistsError):
            file.write(FIELDS[1:2])
    log.files.set_aside(1).unlink()
    file.write(FIELDS[1:2])
    log.close()
    assert log.numbers() == [0, 1]
    assert log.verify().breaks == []


def test_a_note_that_can_not_be_written_is_complained_of_and_no_line_is_lost(log, monkeypatch, caplog):
    file = log.open()
    with monkeypatch.context() as patched:

        def fail(*_: object) -> int:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "pwrite", fail)
        assert file.write(FIELDS[:1]) == 1
    assert "audit.w0.head can't be written: No space left on device" in caplog.text
    log.close()
    assert log.verify().breaks == []
    log.write(1)
    assert log.numbers() == [0, 1]
