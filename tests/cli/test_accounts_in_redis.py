"""The commands on accounts that are kept in Redis."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from modelfence.adapters.redis.accounts_writer import RedisAccountsWriter
from modelfence.core.account import Account, Check, Entry, Key, Owner, versioned
from modelfence.core.call import key_digest
from modelfence.core.dates import DAY_US

TODAY = datetime.now(UTC).date()
TODAY_US = int(datetime.now(UTC).timestamp()) * 1_000_000 // DAY_US * DAY_US


def entry(account_id: str, **said) -> Entry:
    account = versioned(Account(account_id, "active", said.pop("tier", "basic"), **said))
    owners = None if account.ownership is None else (Owner(0.6, entity="holding-1"), Owner(0.4, country="US"))
    return Entry(account, (Key(key_digest(f"sk-{account_id}")),), owners)


ENTRIES = [
    entry("acme", ownership={"HK": 0.6, "US": 0.4}, payer="card-7", expires_us=TODAY_US + 5 * DAY_US),
    entry("beta", country="UK", payer="card-7", tier="gold"),
]


@pytest.fixture(autouse=True)
def prefix(tmp_path, monkeypatch, redis_server):
    monkeypatch.chdir(tmp_path)
    prefix = f"cli-{uuid.uuid4()}"
    settings = {"accounts": redis_server.url, "store_prefix": prefix}
    (tmp_path / "modelfence.yaml").write_text(json.dumps(settings))

    async def put() -> None:
        writer = RedisAccountsWriter(redis_server.url, prefix=prefix)
        await writer.put(ENTRIES)
        await writer.close()

    asyncio.run(put())
    return prefix


def test_records_are_checked_without_a_file(run_here):
    ran = run_here("accounts", "check")
    assert ran.returncode == 1
    assert "beta:1:1: the policy has no tier `gold` [unknown-tier]\n" in ran.stdout
    assert "beta:1:1: warning: no country has the code `UK` in ISO 3166-1 [unknown-country]\n" in ran.stdout
    assert f"runs out {TODAY + timedelta(days=5)}, in 5 days [verification-expiring]\n" in ran.stdout
    assert "note: 2 accounts with payer card-7: " in ran.stdout
    assert ran.stdout.endswith(": 2 accounts, 1 error, 2 warnings\n")


def test_a_record_that_can_not_be_understood_is_an_error_beside_the_others(run_here, prefix, redis_server):
    with redis_server.client() as client:
        client.set(f"{prefix}:account:gamma", '{"id": "gamma"}')
    ran = run_here("accounts", "check")
    assert ran.returncode == 1
    assert "gamma:1:1: the record of `gamma` can't be understood, so it lets nobody in [bad-record]\n" in ran.stdout
    assert ran.stdout.endswith(": 2 accounts, 2 errors, 2 warnings\n")
    listed = run_here("accounts", "due")
    assert listed.returncode == 2
    assert "the record of `gamma` can't be understood" in listed.stderr


def test_what_is_due_is_listed(run_here):
    [one] = json.loads(run_here("accounts", "due", "--format", "json").stdout)
    assert one == {"date": str(TODAY + timedelta(days=5)), "account": "acme", "what": "verification"}


def test_an_account_is_shown_with_what_is_kept_of_its_owners(run_here):
    said = run_here("accounts", "show", "acme").stdout
    assert said.endswith(
        "owners\n  0.6 holding-1  0.6\n  0.4 US         0.4 US\n"
        "  together: HK 0.6, US 0.4\n  kyc.owned_by.embargoed = 0\n"
    )


def test_keys_are_made_rotated_and_revoked_and_the_status_changed(run_here, redis_server, prefix):
    first = run_here("accounts", "key", "new", "acme", "--name", "ci").stdout.strip()
    second = run_here("accounts", "key", "rotate", "acme", "--name", "ci", "--overlap", "2d").stdout.strip()
    assert run_here("accounts", "key", "revoke", "acme", "--digest", key_digest(first)).returncode == 0
    assert run_here("accounts", "suspend", "acme").stdout == "`acme` is suspended\n"
    keys = json.loads(run_here("accounts", "key", "list", "acme", "--format", "json").stdout)
    assert [(key["digest"], key["state"]) for key in keys] == [
        (key_digest("sk-acme"), "valid"),
        (key_digest(first), "revoked"),
        (key_digest(second), "valid"),
    ]

    async def read() -> Entry | None:
        writer = RedisAccountsWriter(redis_server.url, prefix=prefix)
        try:
            return await writer.get("acme")
        finally:
            await writer.close()

    after = asyncio.run(read())
    assert after is not None
    assert after.account.status == "suspended"
    assert after.account.version != ENTRIES[0].account.version
    assert after.keys[2].check(TODAY_US) is Check.VALID


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suspend", "nobody"), "there is no account `nobody`"),
        (("show", "nobody"), "there is no account `nobody`"),
        (("show", "\udcff"), "argument ID: this is no text in UTF-8"),
        (("key", "rotate", "acme", "--name", "none"), "`acme` has no such valid key"),
        (("due", "redis://user:SECRET@127.0.0.1:1"), "the accounts in redis://127.0.0.1:1 can't be used: Redis"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(run_here, arguments, words):
    ran = run_here("accounts", *arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert words in ran.stderr
    assert "SECRET" not in ran.stderr
