"""Files are written anew as a whole, and only over what was read."""

import stat

import pytest

from modelfence.workbench.writing import ChangedMeanwhileError, replace_file


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"old")
    path.chmod(0o640)
    return path


def test_a_file_is_replaced_and_keeps_its_mode(policy):
    replace_file(policy, b"new", over=b"old")
    assert policy.read_bytes() == b"new"
    assert stat.S_IMODE(policy.stat().st_mode) == 0o640
    assert [path.name for path in policy.parent.iterdir()] == ["policy.yaml"]


def test_what_somebody_else_wrote_stays_and_nothing_is_left_beside_it(policy):
    with pytest.raises(ChangedMeanwhileError):
        replace_file(policy, b"new", over=b"older")
    assert policy.read_bytes() == b"old"
    assert [path.name for path in policy.parent.iterdir()] == ["policy.yaml"]


def test_a_link_stays_a_link(policy):
    link = policy.with_name("link.yaml")
    link.symlink_to(policy)
    replace_file(link, b"new", over=b"old")
    assert link.is_symlink()
    assert policy.read_bytes() == b"new"
