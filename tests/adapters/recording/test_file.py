"""A file of lines: who may read it, where it goes when it is full, and what a full disk leaves of it."""

import os
import re
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from modelfence.adapters.recording.file import RecordingFile

LARGE = 1 << 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.jsonl"


@pytest.fixture
def opened(path):
    """Opens the file, and closes it at the end."""
    files = []

    def open_(*, max_bytes: int = LARGE, keep: int = 2, write=os.write) -> RecordingFile:
        files.append(RecordingFile(path, max_bytes=max_bytes, keep=keep, write=write))
        return files[-1]

    yield open_
    for file in files:
        file.close()


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond that size: what is written beyond it fails, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_lines_go_on_in_a_new_file_when_somebody_else_has_set_theirs_aside(opened, path):
    file = opened()
    file.append(b"one\n")
    path.rename(path.with_name("calls.jsonl-20261101"))
    file.append(b"two\n")
    assert path.read_bytes() == b"two\n"


def test_nobody_else_can_read_a_file_that_is_made(opened, path):
    before = os.umask(0)
    try:
        file = opened(max_bytes=4)
        file.append(b"one\n")
        file.append(b"two\n")
    finally:
        os.umask(before)
    assert mode(path) == mode(path.with_name("calls.jsonl.1")) == 0o600


def test_a_restart_adds_lines_and_ends_the_one_a_crash_left_unfinished(opened, path):
    first = opened()
    first.append(b"one\n")
    first.close()
    with path.open("ab") as crashed:
        crashed.write(b'{"ts": 1')
    again = opened()
    again.append(b"two\n")
    again.append(b"three\n")
    assert path.read_bytes() == b'one\n{"ts": 1\ntwo\nthree\n'


def test_a_full_file_is_set_aside_and_the_oldest_deleted(opened, path):
    file = opened(max_bytes=8, keep=2)
    for line in (b"one\n", b"two\n", b"three\n", b"four\n", b"five\n"):
        file.append(line)
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == {
        "calls.jsonl": b"five\n",
        "calls.jsonl.1": b"four\n",
        "calls.jsonl.2": b"three\n",
    }


def test_a_file_that_was_set_aside_is_left_to_others(opened, path):
    file = opened(max_bytes=4)
    file.append(b"one\n")
    file.append(b"two\n")
    RecordingFile(path.with_name("calls.jsonl.1"), max_bytes=4, keep=1).close()  # which is refused while another has it


def test_a_line_longer_than_a_file_has_one_to_itself(opened, path):
    file = opened(max_bytes=8, keep=5)
    lines = [b"a long line\n", b"one\n", b"another long line\n", b"two\n"]
    for line in lines:
        file.append(line)
    assert [one.read_bytes() for one in sorted(path.parent.iterdir())] == lines[::-1]


def test_what_was_written_before_a_restart_counts_towards_the_size(opened, path):
    path.touch(0o600)
    path.write_bytes(b"before\n")
    opened(max_bytes=8).append(b"one\n")
    assert path.read_bytes() == b"one\n"


def test_a_file_that_was_moved_away_is_begun_anew_when_it_would_be_full(opened, path):
    file = opened(max_bytes=8)
    file.append(b"one\n")
    path.rename(path.with_name("moved"))
    file.append(b"two\n")
    file.append(b"three\n")
    assert path.read_bytes() == b"three\n"


def a_link(path):
    path.with_name("elsewhere").touch(0o600)
    path.symlink_to("elsewhere")


def a_pipe(path):
    os.mkfifo(path, 0o600)


def a_readable_file(path):
    path.touch()
    path.chmod(0o644)


def a_groups_file(path):
    path.touch()
    path.chmod(0o620)


@pytest.mark.parametrize(
    ("there", "reason"),
    [
        (a_link, "it is a symbolic link"),
        (a_pipe, "it is no regular file"),
        (a_readable_file, "others may read or change it: its mode is 0644, and should be 0600"),
        (a_groups_file, "others may read or change it: its mode is 0620, and should be 0600"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.parent.rmdir(), "its folder does not exist"),
    ],
)
def test_what_can_not_be_written_in_safety_is_not_opened(opened, path, there, reason):
    there(path)
    with pytest.raises(OSError, match=re.escape(reason)):
        opened()


def test_a_file_of_another_user_is_not_opened(opened, path, monkeypatch):
    path.touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(PermissionError) as caught:
        opened()
    assert caught.value.strerror == "it belongs to another user"


def test_a_folder_in_which_no_file_can_be_set_aside_is_found_at_the_start(opened, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs tests may be let in everywhere
    with pytest.raises(PermissionError) as caught:
        opened()
    assert caught.value.strerror == "nothing can be written to its folder"


def test_two_do_not_write_to_one_file(opened):
    opened()
    with pytest.raises(BlockingIOError) as caught:
        opened()
    assert caught.value.strerror == "another process writes to it"


def test_a_line_the_disk_has_no_room_for_leaves_nothing_behind_and_the_next_one_is_tried(opened, path):
    file = opened()
    file.append(b"one\n")
    with room_for(6):
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                file.append(b"two\n")
        assert path.read_bytes() == b"one\n"
    file.append(b"three\n")
    assert path.read_bytes() == b"one\nthree\n"


def test_a_disk_that_is_full_is_an_error_and_nothing_else(opened, path):
    with Path("/dev/full").open("wb", buffering=0) as full:
        file = opened(write=lambda _file, data: os.write(full.fileno(), data))
        with pytest.raises(OSError, match="No space left on device"):
            file.append(b"one\n")
    assert path.read_bytes() == b""


def test_a_line_that_can_not_be_taken_back_is_ended_before_the_next(opened, path, monkeypatch):
    def refuse(*_: int) -> None:
        raise OSError

    file = opened(max_bytes=13)
    file.append(b"one\n")
    with room_for(6), monkeypatch.context() as patched:
        patched.setattr(os, "ftruncate", refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="File too large"):
                file.append(b"two\n")
    file.append(b"three\n")
    file.append(b"\n")
    assert path.with_name("calls.jsonl.1").read_bytes() == b"one\ntw\nthree\n"  # 13 bytes, so nothing more


def test_a_line_left_unfinished_is_ended_before_its_file_is_set_aside(opened, path):
    path.touch(0o600)
    path.write_bytes(b"one\ntw")
    opened(max_bytes=8).append(b"three\n")
    assert path.with_name("calls.jsonl.1").read_bytes() == b"one\ntw\n"
    assert path.read_bytes() == b"three\n"


def test_a_file_that_can_not_be_set_aside_stays_within_its_size_until_it_can(opened, path):
    file = opened(max_bytes=8)
    file.append(b"one\n")
    in_the_way = path.with_name("calls.jsonl.1")
    in_the_way.mkdir()
    path.with_name("calls.jsonl.2").touch()
    with pytest.raises(OSError, match="Not a directory"):
        file.append(b"two and more\n")
    assert path.read_bytes() == b"one\n"
    in_the_way.rmdir()
    file.append(b"three\n")
    assert (path.read_bytes(), in_the_way.read_bytes()) == (b"three\n", b"one\n")


def test_a_rotation_that_fails_at_the_file_itself_moves_no_older_one_twice(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    for name in ("r.jsonl", "r.jsonl.1", "r.jsonl.2"):
        (tmp_path / name).write_bytes(b"old\n")
        (tmp_path / name).chmod(0o600)
    whole = Path.replace

    def fails(self, target):
        if self == path:
            raise OSError
        return whole(self, target)

    file = RecordingFile(path, max_bytes=1, keep=5)

    monkeypatch.setattr(Path, "replace", fails)
    for _ in range(4):
        with suppress(OSError):
            file.append(b"{}\n")
    file.close()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["r.jsonl", "r.jsonl.2", "r.jsonl.3"]
