"""The files of a configuration: read once, handed on, and seen to change."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfence.source_files import MAX_BYTES, Files, SourceFiles, stamp


def test_a_file_is_read_once_and_remembered(tmp_path):
    path, files = tmp_path / "a.yaml", SourceFiles()
    path.write_text("first")
    assert files.text(path) == b"first"
    path.write_text("second")
    assert files.text(path) == b"first"
    assert SourceFiles().text(path) == b"second"


def test_who_is_handed_the_files_needs_none_on_the_disk(tmp_path):
    path, files = tmp_path / "a.yaml", SourceFiles()
    path.write_text("first")
    files.text(path)
    path.unlink()
    assert pickle.loads(pickle.dumps(files)).text(path) == b"first"


def test_a_file_that_is_not_there_is_looked_at_again_when_it_is(tmp_path):
    files = SourceFiles()
    with pytest.raises(FileNotFoundError):
        files.text(tmp_path / "later.yaml")
    assert files.again() is files
    (tmp_path / "later.yaml").write_text("here")
    assert files.again() is not files
    assert files.again().text(tmp_path / "later.yaml") == b"here"


def test_a_file_of_more_than_64_mb_is_refused(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ValueError, match="larger than 64 MB"):
        SourceFiles().text(tmp_path / "a")


def test_a_change_is_seen_through_a_symbolic_link(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "policy.yaml").write_text("same")
    (tmp_path / "current").symlink_to("old")
    files = SourceFiles()
    files.text(tmp_path / "current" / "policy.yaml")
    assert files.again() is files
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(tmp_path / "current")
    assert files.again() is not files
    read = files.again()
    read.text(tmp_path / "current" / "policy.yaml")
    assert read.hold_what(files)  # though they hold the same


def until_another_tick(path: Path, change: Callable[[], object]) -> None:
    """Change a file until its clock, which is coarse, tells it from how it was."""
    before = path.stat().st_ctime_ns
    while path.stat().st_ctime_ns == before:
        change()


def test_a_file_that_the_fence_may_read_at_last_has_changed(tmp_path):
    path, files = tmp_path / "a.yaml", SourceFiles()
    path.write_text("unreadable")
    path.chmod(0)
    files.stamps[path] = stamp(path)  # all that is known of it
    until_another_tick(path, lambda: path.chmod(0o600))
    assert files.again() is not files


def test_a_file_whose_time_was_set_back_has_changed(tmp_path):
    path, files = tmp_path / "a.yaml", SourceFiles()
    path.write_text("first")
    before = path.stat()
    files.text(path)

    def change() -> None:
        path.write_text("other")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    until_another_tick(path, change)
    assert files.again() is not files


def test_a_database_is_copied_so_that_nobody_can_write_over_what_is_mapped(tmp_path):
    path, folder = tmp_path / "country.mmdb", tmp_path / "copies"
    folder.mkdir()
    path.write_bytes(b"first")
    files = SourceFiles(folder)
    copy = files.database(path)
    path.write_bytes(b"second, in place")
    assert copy.read_bytes() == b"first"
    assert copy.parent == folder
    assert files.database(path) == copy
    later = files.again().database(path)
    assert later.read_bytes() == b"second, in place"
    assert {copy, later} == set(folder.iterdir())


def test_a_copy_is_named_after_what_it_holds_though_the_file_is_written_over_meanwhile(tmp_path, monkeypatch):
    path, folder = tmp_path / "country.mmdb", tmp_path / "copies"
    folder.mkdir()
    path.write_bytes(b"first")
    copyfile = shutil.copyfile

    def copied_late(source, target):
        path.write_bytes(b"half of the sec")
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", copied_late)
    SourceFiles(folder).database(path)
    monkeypatch.undo()
    path.write_bytes(b"first")
    assert SourceFiles(folder).database(path).read_bytes() == b"first"


def test_a_copy_that_can_not_be_made_leaves_nothing(tmp_path, monkeypatch):
    path, folder = tmp_path / "country.mmdb", tmp_path / "copies"
    folder.mkdir()
    path.write_bytes(b"first")

    def full(_source, target):
        target.write_bytes(b"fir")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        SourceFiles(folder).database(path)
    assert list(folder.iterdir()) == []


def test_a_database_that_comes_back_is_not_copied_again(tmp_path):
    path, folder = tmp_path / "country.mmdb", tmp_path / "copies"
    folder.mkdir()
    path.write_bytes(b"first")
    copy = SourceFiles(folder).database(path)
    made = copy.stat().st_ino
    assert SourceFiles(folder).database(path).stat().st_ino == made


def test_without_a_folder_the_database_itself_is_mapped(tmp_path):
    (tmp_path / "a.mmdb").write_bytes(b"first")
    assert SourceFiles().database(tmp_path / "a.mmdb") == tmp_path / "a.mmdb"


def test_only_what_has_changed_is_read_again(tmp_path):
    policy, accounts = tmp_path / "policy.yaml", tmp_path / "accounts.yaml"
    files = Files.on_disk()
    for part, path in ((files.policy, policy), (files.accounts, accounts)):
        path.write_text("first")
        part.text(path)
    accounts.write_text("other")
    again = files.again()
    assert again.policy is files.policy
    assert again.geo is files.geo
    assert again.accounts.text(accounts) == b"other"
    assert set(files.stamps) == {policy, accounts}


def test_a_change_that_leaves_the_size_is_seen(tmp_path):
    path, files = tmp_path / "a", SourceFiles()
    path.write_text("abc")
    os.utime(path, ns=(0, 0))
    files.text(path)
    path.write_text("xyz")
    assert files.again() is not files
