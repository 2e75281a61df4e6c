"""Files are seen to change once they have come to rest."""

from pathlib import Path

import pytest

from modelfence.workers.watch import Watch

POLICY, ACCOUNTS = Path("policy.yaml"), Path("accounts.yaml")


@pytest.fixture
def disk():
    return {POLICY: (1, 100, 7), ACCOUNTS: (1, 200, 8)}


@pytest.fixture
def watch(disk):
    watch = Watch(disk.get)
    watch.expect(dict(disk))
    return watch


def test_files_that_stay_as_they_are_have_not_changed(watch):
    assert [watch.has_changed() for _ in range(3)] == [False, False, False]


def test_a_file_that_is_being_written_is_waited_for(watch, disk):
    watch.has_changed()
    seen = []
    for size in (10, 50, 90, 90, 90):
        disk[POLICY] = (2, size, 7)
        seen.append(watch.has_changed())
    assert seen == [False, False, False, True, True]


def test_a_file_that_is_being_written_holds_up_no_other(watch, disk):
    watch.has_changed()
    disk[POLICY], disk[ACCOUNTS] = (2, 10, 7), (2, 10, 8)
    assert not watch.has_changed()
    disk[ACCOUNTS] = (2, 20, 8)
    assert (watch.has_changed(), watch.restless) == (True, [ACCOUNTS])
    watch.expect({**disk, ACCOUNTS: (1, 200, 8)})
    assert (watch.has_changed(), watch.restless) == (True, [])


def test_what_was_read_again_has_not_changed_since(watch, disk):
    disk[POLICY] = (2, 90, 7)
    assert [watch.has_changed(), watch.has_changed()] == [False, True]
    watch.expect(dict(disk))
    assert [watch.has_changed(), watch.has_changed()] == [False, False]


def test_a_file_that_changed_between_being_looked_at_and_being_read_is_seen(watch, disk):
    before = {**disk, POLICY: (2, 90, 7)}
    disk[POLICY] = (3, 91, 7)
    watch.expect(before)
    assert [watch.has_changed(), watch.has_changed()] == [False, True]


def test_a_file_that_goes_and_one_that_comes_are_changes(watch, disk):
    watch.expect({**disk, Path("later.yaml"): None})
    assert [watch.has_changed(), watch.has_changed()] == [False, False]
    disk[Path("later.yaml")] = (5, 5, 5)
    assert [watch.has_changed(), watch.has_changed()] == [False, True]
    watch.expect(dict(disk))
    del disk[ACCOUNTS]
    assert [watch.has_changed(), watch.has_changed()] == [False, True]


def test_a_change_that_is_taken_back_is_none(watch, disk):
    before = disk[POLICY]
    disk[POLICY] = (2, 90, 7)
    watch.has_changed()
    disk[POLICY] = before
    assert [watch.has_changed(), watch.has_changed()] == [False, False]
