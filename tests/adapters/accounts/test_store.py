"""Changing an accounts file as it lies on the disk."""

import fcntl
import os
import stat

import pytest

from modelfence.adapters.accounts.store import AccountsFileStore, NotChangedError
from modelfence.core.account import Entity, Key
from modelfence.core.account_keys import UnclearKeyError, adding, named, revoking, with_status

DIGEST = "sha256:" + "a" * 64
NEW = Key("sha256:" + "e" * 64, name="ci")
TEXT = f"accounts:\n  - id: acme   # first\n    keys: ['{DIGEST}']\n    status: active\n    tier: basic\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "accounts.yaml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


@pytest.fixture
def store(path):
    return AccountsFileStore(path)


async def test_what_is_changed_is_in_the_file_and_nothing_beside_it(store, path):
    assert (await store.get("acme")).keys == (Key(DIGEST),)
    await store.update("acme", adding(NEW, 0))
    assert (await store.get("acme")).keys == (Key(DIGEST), NEW)
    assert path.read_text() == TEXT.replace(f"'{DIGEST}'", f"'{DIGEST}', {{digest: \"{NEW.digest}\", name: ci}}")
    assert list(path.parent.iterdir()) == [path]
    await store.close()


async def test_all_accounts_and_the_companies_behind_them_are_read(store, path):
    path.write_text(TEXT + "  - {id: b, status: closed, tier: basic}\nentities: [{id: h, country: HK}]\n")
    assert [entry.account.id async for entry in store.entries()] == ["acme", "b"]
    assert await store.companies() == {"h": Entity("h", "HK")}


async def test_nobody_is_no_account(store):
    assert await store.get("nobody") is None
    with pytest.raises(NotChangedError, match="there is no account `nobody`"):
        await store.update("nobody", with_status("closed"))


async def test_the_file_keeps_its_mode_and_owner(store, path):
    owner = (os.getuid(), os.getgid() if os.getuid() else 12_345)
    os.chown(path, *owner)
    await store.update("acme", with_status("suspended"))
    after = path.stat()
    assert stat.S_IMODE(after.st_mode) == 0o640
    assert (after.st_uid, after.st_gid) == owner


async def test_a_byte_order_mark_stays(store, path):
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    await store.update("acme", with_status("suspended"))
    assert path.read_bytes() == b"\xef\xbb\xbf" + TEXT.replace("active", "suspended").encode()


async def test_the_file_behind_a_link_is_changed_and_the_link_stays(path, tmp_path):
    link = tmp_path / "link.yaml"
    link.symlink_to(path.name)
    await AccountsFileStore(link).update("acme", with_status("closed"))
    assert link.is_symlink()
    assert "status: closed" in path.read_text()


async def test_a_file_with_errors_is_left_alone(store, path):
    path.write_text(TEXT.replace("active", "activ"))
    for doing in (store.get("acme"), store.update("acme", with_status("closed"))):
        with pytest.raises(NotChangedError, match="has problems") as refused:
            await doing
        assert [problem.code for problem in refused.value.problems] == ["unknown-value"]
    assert "activ\n" in path.read_text()


async def test_a_change_that_is_refused_leaves_the_file_as_it_was(store, path):
    before = path.stat()
    with pytest.raises(UnclearKeyError):
        await store.update("acme", revoking(named("none")))
    assert (path.read_text(), path.stat().st_ino) == (TEXT, before.st_ino)


async def test_what_can_not_be_written_is_left_to_people(store, path):
    with pytest.raises(NotChangedError, match="change it by hand"):
        await store.update("acme", adding(Key("sha256:no"), 0))
    assert path.read_text() == TEXT


async def test_two_do_not_change_the_file_at_once(store, path):
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_SH)
    with pytest.raises(NotChangedError, match="can't be changed: somebody else is changing it"):
        await store.update("acme", with_status("closed"))
    os.close(folder)
    await store.update("acme", with_status("closed"))


async def test_what_somebody_else_has_written_meanwhile_is_not_lost(store, path):
    def slowly(entry):
        path.write_text(TEXT + "# new\n")
        return with_status("closed")(entry)

    with pytest.raises(NotChangedError, match="somebody else has changed it meanwhile"):
        await store.update("acme", slowly)
    assert path.read_text() == TEXT + "# new\n"


async def test_a_folder_that_can_not_be_written_to_is_said(store, path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotChangedError, match=r"accounts.yaml can't be changed: No space left on device"):
        await store.update("acme", with_status("closed"))
    assert path.read_text() == TEXT
    assert list(path.parent.iterdir()) == [path]
