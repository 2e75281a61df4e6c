"""`modelfence accounts check`, `show` and `due`."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from modelfence.core.call import key_digest

TODAY = datetime.now(UTC).date()


def day(number: int) -> str:
    return str(TODAY + timedelta(days=number))


FINE = f"""\
accounts:
  - id: acme
    keys:
      - "{key_digest("sk-1")}"
      - {{digest: "{key_digest("sk-2")}", name: ci, expires: {day(20)}}}
      - {{digest: "{key_digest("sk-3")}", name: old, revoked: true}}
      - {{digest: "{key_digest("sk-4")}", expires: {day(-9)}}}
    status: active
    tier: verified
    country: US
    verified: {day(-100)}
    verified_by: desk
    expires: {day(12)}
    owners: [{{entity: holding-1, share: 0.6}}, {{country: US, share: 0.4}}]
    screening: clear
    screened: {day(-30)}
    labels: {{plan: gold}}
    payer: card-7
  - id: beta
    keys: ["{key_digest("sk-5")}"]
    status: active
    tier: basic
    payer: card-7
    expires: {day(-1)}
entities:
  - {{id: holding-1, country: HK, owners: [{{country: CN, share: 0.9}}]}}
"""
POLICY = """\
version: 1
lists: {far: [CN, HK]}
access:
  - {id: customers, allow: kyc.status == "active"}
  - {id: owned, deny: kyc.owned_by.far > 2.0}
"""
SHOWN = f"""\
acme
  status     active
  tier       verified
  country    US
  verified   {day(-100)} (100 days ago), by desk
  expires    {day(12)} (in 12 days)
  screening  clear, against lists of {day(-30)} (30 days ago)
  purpose    not stated
  labels     plan=gold
  payer      card-7
  version    VERSION

keys and certificates
  {key_digest("sk-1")[7:19]}  -    valid
  {key_digest("sk-2")[7:19]}  ci   valid until {day(20)} (in 20 days)
  {key_digest("sk-3")[7:19]}  old  revoked
  {key_digest("sk-4")[7:19]}  -    expired since {day(-9)} (9 days ago)

owners
  0.6 holding-1 (HK)  0.6 HK
    0.9 CN            0.6 \N{MULTIPLICATION SIGN} 0.9 = 0.54 CN
  0.4 US              0.4 US
  together: HK 0.6, CN 0.54, US 0.4
  kyc.owned_by.far = 1.14
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "accounts.yaml").write_text(FINE)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "modelfence.yaml").write_text("accounts: accounts.yaml\npolicy: policy.yaml\n")
    return tmp_path


def test_a_file_without_errors_is_fine_and_what_wants_doing_is_said(run_here):
    ran = run_here("accounts", "check")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "the verification of `acme` runs out" in ran.stdout
    assert "[verification-expired]" in ran.stdout
    assert "note: 2 accounts with payer card-7: acme, beta\n" in ran.stdout
    assert ran.stdout.endswith("accounts.yaml: 2 accounts, 0 errors, 3 warnings\n")
    assert run_here("accounts", "check", "--strict").returncode == 1


def test_a_file_is_called_as_it_was_named(run_here, folder):
    (folder / "bad.yaml").write_text(FINE.replace("tier: basic", "tier: best"))
    ran = run_here("accounts", "check", "bad.yaml")
    assert ran.stdout.startswith("bad.yaml:5:9: ")
    assert "\nbad.yaml:22:11: the policy has no tier `best` [unknown-tier]\n" in ran.stdout
    assert "\nbad.yaml: 2 accounts, 1 error, " in ran.stdout
    assert str(folder) not in ran.stdout


def test_what_can_not_be_read_can_not_be_checked(run_here):
    ran = run_here("accounts", "check", "none.yaml")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "none.yaml:1:1: can't read the accounts: No such file or directory [unreadable-file]\n"
        "modelfence accounts: none.yaml can't be checked\n"
    )


def test_how_far_to_look_can_be_said(run_here):
    ran = run_here("accounts", "check", "--within", "1d", "--lists-older-than", "10d", "--format", "json")
    found = json.loads(ran.stdout)
    assert [one["code"] for one in found["problems"]] == ["screening-old", "verification-expired"]
    assert found["accounts"] == 2
    assert found["shared"] == [{"by": "payer", "value": "card-7", "accounts": ["acme", "beta"]}]


def test_errors_are_those_that_would_stop_a_fence(run_here, folder):
    (folder / "faulty.yaml").write_text(FINE.replace("status: active", "status: activ"))
    ran = run_here("accounts", "check", "faulty.yaml")
    assert ran.returncode == 1
    assert "did you mean `active`?" in ran.stdout
    assert ran.stdout.endswith("faulty.yaml: 2 errors, 0 warnings\n")
    found = json.loads(run_here("accounts", "check", "faulty.yaml", "--format", "json").stdout)
    assert (found["accounts"], len(found["problems"]), found["shared"]) == (None, 2, [])


def test_tiers_that_the_policy_does_not_know_are_errors(run_here, folder):
    (folder / "tiers.yaml").write_text(POLICY + "tiers: [none, basic, verfied]\n")
    ran = run_here("accounts", "check", "--policy", "tiers.yaml")
    assert ran.returncode == 1
    assert "the policy has no tier `verified` [unknown-tier]" in ran.stdout
    assert "did you mean `verfied`?" in ran.stdout


def test_many_groups_that_share_something_are_cut_short(run_here, folder):
    accounts = [
        {"id": f"a{n}-{m}", "status": "active", "tier": "basic", "payer": f"card-{n}"}
        for n in range(22)
        for m in range(6)
    ]
    (folder / "many.yaml").write_text(json.dumps({"accounts": accounts}))
    said = run_here("accounts", "check", "many.yaml").stdout
    assert "note: 6 accounts with payer card-0: a0-0, a0-1, a0-2, a0-3, a0-4 and 1 more\n" in said
    assert "note: 2 more are shared; --format json lists them\n" in said


def test_an_account_is_shown_with_what_it_means_today(run_here):
    ran = run_here("accounts", "show", "acme")
    assert (ran.returncode, ran.stderr) == (0, "")
    version = json.loads(run_here("accounts", "show", "acme", "--format", "json").stdout)["version"]
    assert ran.stdout == SHOWN.replace("VERSION", version)


def test_an_expired_account_is_shown_with_the_tier_that_counts(run_here):
    said = run_here("accounts", "show", "beta").stdout
    assert "  tier       basic, which counts as none today\n" in said
    assert f"  expired    {day(-1)} (yesterday)\n" in said
    assert said.endswith("owners not stated\n")
    shown = json.loads(run_here("accounts", "show", "beta", "--format", "json").stdout)
    assert (shown["counts_as"], shown["holdings"], shown["owned_by"]) == ("none", None, {})


def test_an_account_is_shown_to_programs(run_here):
    shown = json.loads(run_here("accounts", "show", "acme", "--accounts", "accounts.yaml", "--format", "json").stdout)
    assert [key["state"] for key in shown["keys"]] == ["valid", "valid", "revoked", "expired"]
    assert shown["keys"][1] == {"digest": key_digest("sk-2"), "name": "ci", "expires": day(20), "state": "valid"}
    assert shown["holdings"][1] == {
        "entity": None, "country": "CN", "shares": [0.6, 0.9], "share": pytest.approx(0.54), "counts": True,
    }  # fmt: skip
    assert shown["owned_by"] == {"far": pytest.approx(1.14)}


def test_owners_beyond_number_are_cut(run_here, folder):
    company = {"country": "HK", "owners": [{"entity": "b", "share": 0.001}] * 300}
    accounts = [{"id": "a", "status": "active", "tier": "basic", "owners": [{"entity": "c", "share": 1}]}]
    entities = [{"id": "c", **company}, {"id": "b", "country": "US"}]
    (folder / "many.yaml").write_text(json.dumps({"accounts": accounts, "entities": entities}))
    said = run_here("accounts", "show", "a", "--accounts", "many.yaml").stdout
    assert said.count("\n    0.001 b (US)") == 199
    assert "… and perhaps more\n" in said


def test_what_is_due_is_listed_by_date(run_here):
    ran = run_here("accounts", "due", "--within", "12d")
    assert ran.returncode == 0
    assert [line.split() for line in ran.stdout.splitlines()] == [
        ["date", "account", "what"],
        [day(-1), "yesterday", "beta", "verification"],
        [day(12), "in", "12", "days", "acme", "verification"],
    ]
    listed = json.loads(run_here("accounts", "due", "--format", "json").stdout)
    assert listed[-1] == {"date": day(20), "account": "acme", "what": "key ci"}


def test_nothing_due_is_nothing_said(run_here, folder):
    (folder / "none.yaml").write_text("accounts: [{id: a, status: active, tier: basic}]")
    ran = run_here("accounts", "due", "none.yaml")
    assert (ran.returncode, ran.stdout) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "acne"), "there is no account `acne`"),
        (("show", "acme", "--accounts", "none.yaml"), "can't read the accounts"),
        (("due", "--within", "3d", "policy.yaml"), "unknown key `version`"),
        (("check", "--policy", "none.yaml"), "none.yaml can't be read"),
        (("due", "--within", "30"), "a number of days like 30d is expected here"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(run_here, arguments, words):
    ran = run_here("accounts", *arguments)
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_without_accounts_there_is_nothing_to_check(run_here, folder):
    (folder / "modelfence.yaml").unlink()
    ran = run_here("accounts", "due")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "modelfence accounts: name an accounts file, or `accounts` in the settings\n"
