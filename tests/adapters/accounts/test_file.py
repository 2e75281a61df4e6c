"""Each file of `problems/` is an accounts file with something wrong, beside the text its author gets to read.

After a change of wording, `python tests/adapters/accounts/test_file.py` writes the texts anew; read the difference.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelfence.adapters.accounts.file import AccountsFile, read_accounts
from modelfence.core.account import UNKNOWN, Account, Check, certificate_digest
from modelfence.core.call import key_digest

FOLDER = Path(__file__).parent / "problems"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
EXAMPLE = f"""
accounts:
  - id: acme
    keys: ["{key_digest("sk-acme-1")}", "{key_digest("sk-acme-2")}"]
    status: active               # active | suspended | closed
    tier: verified
    country: US
    verified: 2026-01-10
    expires: 2027-01-10          # from then on the tier is the lowest and kyc.expired is true
    owners: [{{entity: holding-1, share: 0.6}}, {{country: US, share: 0.4}}]
    screening: clear
    purpose: customer-support
    labels: {{plan: gold}}
    verified_by: desk-2
    screened: 2026-10-15         # date of the lists
    payer: card-7
    contact_domain: Acme.example
    signup_batch: "2026-01"
entities:
  - {{id: holding-1, country: HK, owners: [{{country: CN, share: 0.9}}]}}
"""


def midnight_us(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 1_000_000


NOON_US = midnight_us(2026, 11, 1) + 43_200_000_000


def rendered(name: str) -> str:
    """Return all problems of a file; run within the folder, so that paths are shown as they were given."""
    accounts, problems = read_accounts(Path(f"{name}.yaml"))
    assert accounts is None
    return "".join(f"{problem.render()}\n\n" for problem in problems).rstrip("\n") + "\n"


@pytest.fixture
def read(tmp_path):
    """A function that reads accounts from a text that has no problems."""

    def read(text: str) -> AccountsFile:
        path = tmp_path / "accounts.yaml"
        path.write_text(text)
        accounts, problems = read_accounts(path)
        assert not problems, "\n".join(problem.render() for problem in problems)
        assert accounts is not None
        return accounts

    return read


@pytest.mark.parametrize("name", NAMES)
def test_the_author_of_a_faulty_file_reads_what_is_wrong_and_where(name, monkeypatch):
    monkeypatch.chdir(FOLDER)
    assert rendered(name) == (FOLDER / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_what_may_be_an_api_key_is_never_shown(name):
    assert not re.search("SECRET|sk-", (FOLDER / f"{name}.txt").read_text())


async def test_an_account_is_found_by_each_of_its_keys(read):
    accounts = read(EXAMPLE)
    for key in ("sk-acme-1", "sk-acme-2"):
        found = await accounts.find(key_digest(key), NOON_US)
        assert (found.check, found.account.id) == (Check.VALID, "acme")
    for digest in (key_digest("sk-acme-3"), key_digest("sk-acme-1").upper(), "sk-acme-1", ""):
        assert await accounts.find(digest, NOON_US) == UNKNOWN


async def test_a_key_is_valid_until_it_expires_or_is_revoked_and_its_owner_known_all_the_same(read):
    digests = [key_digest(f"sk-{n}") for n in range(3)]
    accounts = read(
        "accounts:\n  - id: acme\n    status: active\n    tier: basic\n    keys:\n"
        f'      - {{digest: "{digests[0]}", name: ci, expires: 2026-11-01}}\n'
        f'      - {{digest: "{digests[1]}", revoked: true, expires: 2030-01-01}}\n'
        f'      - {{digest: "{digests[2]}", revoked: false}}\n'
    )
    day_us = midnight_us(2026, 11, 1)
    found = [await accounts.find(digest, day_us) for digest in digests]
    assert [one.check for one in found] == [Check.EXPIRED, Check.REVOKED, Check.VALID]
    assert [one.owner.id for one in found] == ["acme"] * 3
    assert [one.account is None for one in found] == [True, True, False]
    assert (await accounts.find(digests[0], day_us - 1)).check is Check.VALID


async def test_an_account_is_found_by_each_of_its_certificates_and_not_by_their_fingerprints(read):
    one, other = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    text = f"accounts: [{{id: acme, status: active, tier: basic, certificates: ['{one}', '{other}']}}]"
    accounts = read(text)
    for fingerprint in (one, other):
        assert (await accounts.find(certificate_digest(fingerprint), NOON_US)).account.id == "acme"
        assert await accounts.find(fingerprint, NOON_US) == UNKNOWN


async def test_a_record_says_all_that_was_written(read):
    account = await read(EXAMPLE).get("acme")
    assert account == Account(
        id="acme",
        status="active",
        tier="verified",
        country="US",
        verified_us=midnight_us(2026, 1, 10),
        expires_us=midnight_us(2027, 1, 10),
        ownership=pytest.approx({"HK": 0.6, "CN": 0.54, "US": 0.4}),  # type: ignore[arg-type]
        screening="clear",
        purpose="customer-support",
        labels={"plan": "gold"},
        verified_by="desk-2",
        screened_us=midnight_us(2026, 10, 15),
        payer="card-7",
        contact_domain="acme.example",
        signup_batch="2026-01",
    )


@pytest.mark.parametrize(
    "nothing", ["", "    country:\n    owners: null\n    expires: ~\n    keys:\n    labels: null\n"]
)
async def test_what_is_not_stated_is_unknown(read, nothing):
    accounts = read("accounts:\n  - id: acme\n    status: closed\n    tier: basic\n" + nothing)
    assert await accounts.get("acme") == Account("acme", "closed", "basic")


async def test_owners_stated_to_be_none_are_known_to_be_none(read):
    account = await read("accounts: [{id: acme, status: active, tier: basic, owners: []}]").get("acme")
    assert account is not None
    assert account.ownership == {}


def test_texts_are_read_as_they_are_written(read):
    text = 'accounts: [{id: "007", status: active, tier: NO, country: NO, labels: {on: yes, n: 1.0, empty: }}]'
    assert list(read(text)) == [
        Account("007", "active", "NO", country="NO", labels={"on": "yes", "n": "1.0", "empty": ""})
    ]


@pytest.mark.parametrize("text", ["accounts: []", "accounts:", "accounts: []\nentities:"])
async def test_a_file_may_hold_no_accounts(read, text):
    assert len(read(text)) == 0
    assert await read(text).get("acme") is None


def test_accounts_come_in_the_order_of_the_file(read):
    names = ["b", "c", "a"]
    lines = [f"  - {{id: {name}, status: active, tier: basic}}\n" for name in names]
    accounts = read("accounts:\n" + "".join(lines))
    assert [account.id for account in accounts] == names
    assert len(accounts) == 3


def test_a_tier_the_policy_has_not_is_a_problem_at_its_place(read, tmp_path):
    accounts = read(
        "accounts:\n  - {id: a, status: active, tier: basic}\n  - id: b\n    status: active\n    tier: verifed\n"
    )
    assert accounts.check_tiers(["none", "basic", "verifed"]) == ()
    (problem,) = accounts.check_tiers(["none", "basic", "verified"])
    assert problem.render() == (
        f"{tmp_path / 'accounts.yaml'}:5:11: the policy has no tier `verifed` [unknown-tier]\n"
        "  |\n"
        "5 |     tier: verifed\n"
        "  |           ^^^^^^^\n"
        "  = did you mean `verified`?"
    )
    first, second = accounts.check_tiers(["none"])
    assert [first.line, second.line] == [2, 5]
    assert first.excerpt == ""  # the line says more than the tier


async def test_a_chain_of_ten_thousand_entities_is_read_and_so_is_a_cycle_of_them(read, tmp_path):
    links = [f"  - {{id: e{n}, country: HK, owners: [{{entity: e{n + 1}, share: 1}}]}}\n" for n in range(10_000)]
    text = "accounts:\n  - {id: acme, status: active, tier: basic, owners: [{entity: e0, share: 0.5}]}\nentities:\n"
    end = "  - {id: e10000, country: SG, owners: [{country: CN, share: 0.5}]}\n"
    account = await read(text + "".join(links) + end).get("acme")
    assert account is not None
    assert account.ownership == pytest.approx({"HK": 0.5, "SG": 0.5, "CN": 0.25})
    path = tmp_path / "cycle.yaml"
    path.write_text(text + "".join(links) + "  - {id: e10000, country: SG, owners: [{entity: e0, share: 1}]}\n")
    accounts, (problem,) = read_accounts(path)
    assert accounts is None
    assert (problem.line, problem.column) == (10_004, 49)
    assert problem.message == "`e0` owns itself through `e1`, `e2`, `e3`, `e4`, `e5` and 9,995 more"


@pytest.mark.parametrize(
    ("data", "reason"),
    [(None, "No such file or directory"), (b"accounts: []\xff", "not UTF-8 at byte 12")],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path, data, reason):
    path = tmp_path / "accounts.yaml"
    if data is not None:
        path.write_bytes(data)
    accounts, (problem,) = read_accounts(path)
    assert accounts is None
    assert problem.render() == f"{path}:1:1: can't read the accounts: {reason} [unreadable-file]"


if __name__ == "__main__":
    os.chdir(FOLDER)
    for each in NAMES:
        Path(f"{each}.txt").write_text(rendered(each))
