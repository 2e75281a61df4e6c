"""The folder through which workers hand files to each other."""

import fcntl
import os
import tempfile

import pytest

from modelfence.settings import CannotStartError
from modelfence.source_files import Files
from modelfence.workers.handing_on import Handed, hand_on, own_folder, taken, tidy


def test_the_folder_is_locked_against_those_who_remove_what_is_old_and_gone_in_the_end():
    with own_folder() as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
        (folder / "counts.db").touch()
    assert not folder.exists()


def test_certificates_are_handed_on_with_their_key_which_is_in_no_file(tmp_path):
    read, cert = Files(), tmp_path / "cert.pem"
    cert.write_text("a private key")
    read.tls.text(cert)
    with own_folder() as folder:
        handed = hand_on(read, folder)
        assert b"a private key" not in handed.path.read_bytes()
        assert handed.certificates not in repr(handed)
        assert taken(Handed.of(handed.as_text())) == read


def test_what_nobody_opens_again_is_removed_half_made_copies_of_the_killed_as_well(tmp_path):
    database = tmp_path / "country.database"
    with own_folder() as folder:
        database.write_bytes(b"an older database")
        before = hand_on(older := Files.on_disk(folder), folder)
        older.geo.database(database)
        database.write_bytes(b"a database")
        read = Files.on_disk(folder)
        copy = read.geo.database(database)
        handed = hand_on(read, folder)
        (folder / "country.database.4711.unfinished").write_bytes(b"a data")
        (folder / "counts.db").touch()
        tidy(folder, handed)
        assert set(folder.iterdir()) == {copy, handed.path, folder / "counts.db"}
        assert not before.path.exists()


def test_without_a_place_for_it_the_fence_does_not_start_and_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(CannotStartError, match="there is no temporary folder to write to"), own_folder():
        pass
