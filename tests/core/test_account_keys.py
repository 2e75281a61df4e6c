import pytest

from modelfence.core.account import Account, Entry, Key
from modelfence.core.account_keys import (
    UnclearKeyError,
    adding,
    named,
    revoking,
    rotating,
    with_digits,
    with_status,
)

NOW_US = 1_000
CI = Key("sha256:" + "a" * 64, name="ci")
OLD = Key("sha256:" + "b" * 64, 10, name="ci")
GONE = Key("sha256:" + "c" * 64, name="web", is_revoked=True)
BARE = Key("sha256:" + "d" * 64, 5_000)
ENTRY = Entry(Account("acme", "active", "basic"), (CI, OLD, GONE, BARE))
NEW = Key("sha256:" + "e" * 64, 9_000, name="ci")
WEB = Key("sha256:" + "e" * 64, name="web")


def test_a_key_is_added_after_the_others():
    assert adding(WEB, NOW_US)(ENTRY).keys == (*ENTRY.keys, WEB)


def test_a_name_is_given_again_only_when_no_valid_key_has_it():
    with pytest.raises(UnclearKeyError, match="`acme` has a valid key `ci` already"):
        adding(NEW, NOW_US)(ENTRY)


def test_keys_without_a_name_are_added_beside_each_other():
    bare = Key("sha256:" + "f" * 64)
    assert adding(bare, NOW_US)(ENTRY).keys[-1] == bare


def test_a_rotated_key_ends_after_the_overlap_and_hands_its_name_on():
    after = rotating(named("ci"), Key(NEW.digest), until_us=2_000, now_us=NOW_US)(ENTRY)
    assert after.keys == (Key(CI.digest, 2_000, name="ci"), OLD, GONE, BARE, Key(NEW.digest, name="ci"))


def test_an_overlap_makes_no_key_last_longer():
    after = rotating(with_digits("d" * 8), NEW, until_us=6_000, now_us=NOW_US)(ENTRY)
    assert after.keys[3:] == (BARE, Key(NEW.digest, 9_000))


@pytest.mark.parametrize("which", [named("web"), named("none"), with_digits("b" * 12)])
def test_only_a_valid_key_is_rotated(which):
    with pytest.raises(UnclearKeyError, match="`acme` has no such valid key"):
        rotating(which, NEW, until_us=2_000, now_us=NOW_US)(ENTRY)


@pytest.mark.parametrize("digits", ["a" * 8, "a" * 64, CI.digest])
def test_a_key_is_revoked_by_its_digits(digits):
    after = revoking(with_digits(digits))(ENTRY)
    assert [key.is_revoked for key in after.keys] == [True, False, True, False]


def test_a_key_that_has_expired_can_be_revoked():
    assert revoking(with_digits("b" * 8))(ENTRY).keys[1] == Key(OLD.digest, 10, name="ci", is_revoked=True)


def test_where_two_keys_may_be_meant_none_is_changed():
    with pytest.raises(UnclearKeyError, match="say which by --digest: aaaaaaaaaaaa, bbbbbbbbbbbb"):
        revoking(named("ci"))(ENTRY)


def test_a_key_is_not_revoked_twice():
    with pytest.raises(UnclearKeyError, match="no such key that is not revoked"):
        revoking(named("web"))(ENTRY)


@pytest.mark.parametrize("digits", ["", "sha256:", "a" * 7])
def test_too_few_digits_name_no_key(digits):
    with pytest.raises(UnclearKeyError, match="give at least 8 digits"):
        with_digits(digits)


def test_an_account_gets_another_status():
    assert with_status("closed")(ENTRY) == Entry(Account("acme", "closed", "basic"), ENTRY.keys)
