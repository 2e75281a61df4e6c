"""What is read again while the fence runs: all that can be used, and nothing else."""

import pickle
from dataclasses import replace

import pytest
from tests.geo import write_database

from modelfence.parts import read_parts, reread_parts, said
from modelfence.settings import CannotStartError, Geo, Settings
from modelfence.source_files import Files

POLICY = """\
version: 1
tiers: [none, {tier}]
access:
  - {{id: {id}, allow: 'kyc.status == "active"'}}
"""
ACCOUNTS = """\
accounts:
  - {{id: {id}, keys: ["sha256:{digest}"], status: active, tier: {tier}}}
"""


class Folder:
    def __init__(self, path) -> None:
        self.path = path
        self.settings = Settings(policy=path / "policy.yaml", accounts=path / "accounts.yaml")

    def policy(self, id="first", tier="basic", after=""):  # noqa: A002 - as in the file
        (self.path / "policy.yaml").write_text(POLICY.format(id=id, tier=tier) + after)

    def candidate(self, id="tried", tier="basic", after=""):  # noqa: A002
        (self.path / "next.yaml").write_text(POLICY.format(id=id, tier=tier) + after)

    def accounts(self, id="acme", tier="basic"):  # noqa: A002
        (self.path / "accounts.yaml").write_text(ACCOUNTS.format(id=id, tier=tier, digest="0" * 64))

    def read(self):
        return read_parts(self.settings, Files.on_disk())

    def reread(self, before, files=None):
        return reread_parts(self.settings, before, files)


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path)
    folder.policy()
    folder.accounts()
    return folder


@pytest.fixture
def tried(folder):
    """A folder with a candidate beside the policy."""
    folder.settings = replace(folder.settings, candidate=folder.path / "next.yaml", canary=5.0)
    folder.candidate()
    return folder


def rules(parts):
    return [rule.id for rule in parts.policy.rules()]


def candidate_of(parts):
    policy = parts.candidate.policy
    return None if policy is None else [rule.id for rule in policy.rules()]


def ids(parts):
    return [account.id for account in parts.accounts]


def test_nothing_is_exchanged_while_no_file_changes(folder):
    before = folder.read()
    again = folder.reread(before)
    assert (again.changed, again.failures) == ((), {})
    assert again.parts.policy is before.policy
    assert again.parts.accounts is before.accounts


def test_a_changed_policy_and_changed_accounts_are_exchanged(folder):
    before = folder.read()
    folder.policy(id="second")
    first = folder.reread(before)
    assert (first.changed, rules(first.parts), ids(first.parts)) == (("policy",), ["second"], ["acme"])
    assert first.parts.policy.hash != before.policy.hash
    folder.accounts(id="globex")
    second = folder.reread(first.parts)
    assert (second.changed, rules(second.parts), ids(second.parts)) == (("accounts",), ["second"], ["globex"])
    assert folder.reread(second.parts).changed == ()


def test_a_policy_that_does_not_compile_leaves_the_last_good_one(folder):
    before = folder.read()
    folder.policy(id="second", after="acess: []\n")
    folder.accounts(id="globex")
    again = folder.reread(before)
    assert (again.changed, rules(again.parts), ids(again.parts)) == (("accounts",), ["first"], ["globex"])
    assert "policy.yaml:5:1: unknown key `acess`" in said(again.failures["policy"])
    folder.policy(id="second")
    assert rules(folder.reread(again.parts).parts) == ["second"]


@pytest.mark.parametrize("name", ["policy.yaml", "accounts.yaml"])
def test_a_file_that_is_gone_leaves_the_last_good_one_until_it_is_back(folder, name):
    before = folder.read()
    part = name.removesuffix(".yaml")
    text = (folder.path / name).read_text()
    (folder.path / name).unlink()
    again = folder.reread(before)
    assert (again.changed, list(again.failures)) == ((), [part])
    assert again.stamps[folder.path / name] is None
    (folder.path / name).write_text(text)
    assert folder.reread(again.parts).changed == (part,)


def test_tiers_renamed_in_both_files_are_exchanged_together(folder):
    before = folder.read()
    folder.policy(tier="checked")
    first = folder.reread(before)
    assert (first.changed, rules(first.parts)) == ((), ["first"])
    assert "unknown tier `basic`" in said(first.failures["policy"]) or "`basic`" in said(first.failures["policy"])
    folder.accounts(tier="checked")
    second = folder.reread(first.parts)
    assert (second.changed, second.failures) == (("policy", "accounts"), {})
    assert second.parts.policy.tiers == ("none", "checked")


def test_accounts_of_a_tier_the_policy_does_not_know_leave_the_last_good_ones(folder):
    before = folder.read()
    folder.policy(id="second")
    folder.accounts(id="globex", tier="golden")
    again = folder.reread(before)
    assert (again.changed, rules(again.parts), ids(again.parts)) == (("policy",), ["second"], ["acme"])
    assert list(again.failures) == ["accounts"]
    assert "`golden`" in said(again.failures["accounts"])


def test_two_changes_that_fit_neither_each_other_nor_what_is_in_force_change_nothing(folder):
    before = folder.read()
    folder.policy(tier="checked")
    folder.accounts(tier="golden")
    again = folder.reread(before)
    assert (again.changed, rules(again.parts), ids(again.parts)) == ((), ["first"], ["acme"])
    assert sorted(again.failures) == ["accounts", "policy"]


def test_a_policy_that_could_let_nobody_in_leaves_the_last_good_one(folder):
    before = folder.read()
    (folder.path / "policy.yaml").write_text("version: 1\naccess:\n  - {id: no, deny: 'true'}\n")
    again = folder.reread(before)
    assert rules(again.parts) == ["first"]
    assert "nobody could ever be let in" in said(again.failures["policy"])


def test_an_accounts_file_that_was_emptied_leaves_the_last_good_accounts(folder):
    before = folder.read()
    (folder.path / "accounts.yaml").write_text("accounts: []\n")
    again = folder.reread(before)
    assert ids(again.parts) == ["acme"]
    assert "nobody could ever be let in" in said(again.failures["accounts"])


def test_what_a_policy_includes_is_part_of_it(folder):
    (folder.path / "pack.yaml").write_text("version: 1\naccess:\n  - {id: packed, deny: 'false'}\n")
    folder.policy(after="include: [pack.yaml, later.yaml]\n")
    with pytest.raises(CannotStartError):
        folder.read()
    (folder.path / "later.yaml").write_text("version: 1\n")
    before = folder.read()
    assert rules(before) == ["packed", "first"]
    (folder.path / "pack.yaml").write_text("version: 1\naccess:\n  - {id: repacked, deny: 'false'}\n")
    assert rules(folder.reread(before).parts) == ["repacked", "first"]


def test_an_included_file_that_is_missing_is_waited_for(folder):
    before = folder.read()
    folder.policy(after="include: [later.yaml]\n")
    again = folder.reread(before)
    assert again.stamps[folder.path / "later.yaml"] is None


def test_another_process_goes_on_with_what_was_found_good_whatever_is_on_the_disk(folder):
    one = other = folder.read()
    folder.policy(id="second")
    one = folder.reread(one).parts
    handed = pickle.loads(pickle.dumps(one.files))
    folder.policy(id="third", after="half sa")
    again = folder.reread(other, handed)
    assert (again.changed, rules(again.parts)) == (("policy",), ["second"])
    started = read_parts(folder.settings, handed)
    assert (rules(started), started.policy.hash) == (["second"], one.policy.hash)
    assert folder.reread(again.parts, handed).changed == ()


def test_a_database_is_exchanged_and_a_damaged_one_is_not(folder, tmp_path):
    path, copies = tmp_path / "country.mmdb", tmp_path / "copies"
    copies.mkdir()
    write_database(path, "GeoLite2-Country", {"8.8.8.0/24": {"country": {"iso_code": "US"}}})
    settings = Settings(policy=folder.settings.policy, accounts=folder.settings.accounts, geo=Geo(country=path))
    before = read_parts(settings, Files.on_disk(copies))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # in place, as `cp` does it
    damaged = reread_parts(settings, before)
    assert (damaged.changed, list(damaged.failures)) == ((), ["geo"])
    assert f"{path} is no MaxMind DB file" in said(damaged.failures["geo"])
    assert damaged.parts.geo.locate("8.8.8.8").country == "US"
    write_database(path, "GeoLite2-Country", {"8.8.8.0/24": {"country": {"iso_code": "NO"}}})
    again = reread_parts(settings, damaged.parts)
    assert again.changed == ("geo",)
    assert again.parts.geo.locate("8.8.8.8").country == "NO"
    assert before.geo.locate("8.8.8.9").country == "US"


def test_a_policy_is_warned_of_facts_that_no_database_says(folder):
    (folder.path / "policy.yaml").write_text(
        "version: 1\ntiers: [none, basic]\naccess:\n"
        "  - id: sanctioned\n    deny: client.region == 'UA-43'\n"
        "  - id: all\n    allow: client.country == 'US'\n"
    )
    country = {"country": {"iso_code": "UA"}}
    path = folder.path / "place.mmdb"
    write_database(path, "GeoLite2-Country", {"8.8.8.0/24": country})
    settings = Settings(policy=folder.settings.policy, geo=Geo(country=path))
    parts = read_parts(settings, Files.on_disk())
    [warning] = parts.warnings
    assert warning.render() == (
        f"{folder.path}/policy.yaml:1:1: warning: the policy reads `client.region`, and no database under `geo` says it, "
        "so it is unknown for every caller [never-known]\n = name a City or Enterprise database under `geo.country`"
    )
    write_database(path, "GeoLite2-City", {"8.8.8.0/24": country | {"subdivisions": [{"iso_code": "43"}]}})
    reread = reread_parts(settings, parts)
    assert (reread.changed, reread.parts.warnings) == (("geo",), ())
    assert reread.parts.geo.locate("8.8.8.8").region == "UA-43"
    write_database(path, "GeoLite2-Country", {"8.8.8.0/24": country})
    assert [one.code for one in reread_parts(settings, reread.parts).parts.warnings] == ["never-known"]


# A candidate beside the policy.


def test_a_candidate_is_read_with_the_accounts_it_is_tried_on(tried):
    parts = tried.read()
    assert (rules(parts), candidate_of(parts), parts.warnings) == (["first"], ["tried"], ())
    assert (parts.candidate.canary.percent, parts.candidate.canary.candidate) == (5.0, "next.yaml")


def test_without_one_in_the_settings_there_is_no_candidate(folder):
    folder.candidate()
    assert (candidate_of(folder.read()), folder.read().candidate.failure) == (None, None)


def test_a_changed_candidate_is_exchanged_and_one_that_is_broken_leaves_the_last_good_one(tried):
    before = tried.read()
    tried.candidate(id="second")
    first = tried.reread(before)
    assert (first.changed, first.failures, candidate_of(first.parts)) == (("candidate",), {}, ["second"])
    tried.candidate(id="third", after="acess: []\n")
    tried.policy(id="live")
    second = tried.reread(first.parts)
    assert (second.changed, rules(second.parts), candidate_of(second.parts)) == (("policy",), ["live"], ["second"])
    assert "next.yaml:5:1: unknown key `acess`" in said(second.failures["candidate"])
    assert list(tried.reread(second.parts).failures) == ["candidate"]  # it is said as long as it is so
    tried.candidate(id="third")
    third = tried.reread(second.parts)
    assert (third.changed, third.failures, candidate_of(third.parts)) == (("candidate",), {}, ["third"])
    assert tried.reread(third.parts).changed == ()


BROKEN = {
    "no policy": ("acess: []\n", "next.yaml:1:1"),
    "nobody let in": ("version: 1\ntiers: [none, basic]\n", "nobody could ever be let in"),
    "other tiers": (POLICY.format(id="tried", tier="checked"), "`basic`"),
    "in shadow": (POLICY.format(id="tried", tier="basic") + "mode: shadow\n", "it is in `mode: shadow`"),
    "not there": (None, "next.yaml can't be read: No such file or directory"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_candidate_that_is_broken_at_the_start_is_left_out_until_it_is_right(tried, how):
    """It is there to be tried: nobody is kept waiting for it."""
    text, expected = BROKEN[how]
    path = tried.path / "next.yaml"
    path.unlink() if text is None else path.write_text(text)
    parts = tried.read()
    assert (rules(parts), candidate_of(parts)) == (["first"], None)
    assert expected in said(parts.candidate.failure)
    assert f"the candidate {path} " in said(parts.candidate.failure)
    again = tried.reread(parts)
    assert (again.changed, list(again.failures)) == ((), ["candidate"])
    assert path in again.stamps
    tried.candidate()
    mended = tried.reread(again.parts)
    assert (mended.changed, mended.failures, candidate_of(mended.parts)) == (("candidate",), {}, ["tried"])


def test_a_candidate_may_be_in_shadow_where_the_live_policy_is(tried):
    tried.policy(after="mode: shadow\n")
    tried.candidate(after="mode: shadow\n")
    parts = tried.read()
    assert candidate_of(parts) == ["tried"]
    tried.policy()
    again = tried.reread(parts)
    assert (again.changed, candidate_of(again.parts)) == (("policy",), None)
    assert "it is in `mode: shadow`" in said(again.failures["candidate"])


def test_accounts_that_the_candidate_does_not_fit_go_before_it(tried):
    tried.policy(after="lists: {}\n")
    before = tried.read()
    (tried.path / "policy.yaml").write_text(POLICY.format(id="live", tier="basic, gold"))
    tried.accounts(tier="gold")
    again = tried.reread(before)
    assert (again.changed, ids(again.parts), candidate_of(again.parts)) == (("policy", "accounts"), ["acme"], None)
    assert "`gold`" in said(again.failures["candidate"])
    started = read_parts(tried.settings, pickle.loads(pickle.dumps(again.parts.files)))
    assert candidate_of(started) is None  # in a worker that is started then, too
    tried.candidate(tier="basic, gold")
    assert candidate_of(tried.reread(again.parts).parts) == ["tried"]


def test_another_process_tries_the_candidate_that_was_found_good(tried):
    one = other = tried.read()
    tried.candidate(id="second")
    one = tried.reread(one).parts
    tried.candidate(id="third", after="half sa")
    handed = pickle.loads(pickle.dumps(tried.reread(one).parts.files))
    again = tried.reread(other, handed)
    assert (again.changed, candidate_of(again.parts)) == (("candidate",), ["second"])
    assert candidate_of(read_parts(tried.settings, handed)) == ["second"]


def test_other_exemptions_than_those_of_the_live_policy_are_warned_of(tried):
    tried.candidate(after=f"extraction: {{exempt: [{'0' * 64}]}}\n")
    [warning] = tried.read().warnings
    assert (warning.code, warning.file) == ("other-exemptions", str(tried.path / "next.yaml"))
