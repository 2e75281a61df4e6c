"""The folder through which workers hand files to each other."""

import fcntl
import os
import tempfile

import pytest

from modelfence.settings import CannotStartError
from modelfence.workers.handing_on import own_folder


def test_the_folder_is_locked_against_those_who_remove_what_is_old_and_gone_in_the_end():
    with own_folder() as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        (folder / "counts.db").touch()
    assert not folder.exists()


def test_without_a_place_for_it_the_fence_does_not_start_and_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(CannotStartError, match="there is no temporary folder to write to"), own_folder():
        pass
