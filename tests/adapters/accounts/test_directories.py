"""What every directory of accounts does alike: one in a file, one in a Redis server, and one in a Redis cluster."""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from modelfence.adapters.accounts.file import AccountsFile, read_accounts
from modelfence.adapters.redis.accounts import RedisAccounts
from modelfence.adapters.redis.accounts_writer import RedisAccountsWriter
from modelfence.core.account import UNKNOWN, Check, certificate_digest
from modelfence.core.call import key_digest

PATIENCE_S = 20
DAY_US = 86_400_000_000
IN_2026_US = 1_767_225_600_000_000
"""Midnight of the first of January."""
FINGERPRINT = "sha256:" + "c" * 64
ACCOUNTS = f"""
accounts:
  - id: acme
    keys:
      - {key_digest("sk-acme")}
      - {{digest: "{key_digest("sk-old")}", name: old, expires: 2026-01-03}}
      - {{digest: "{key_digest("sk-lost")}", revoked: true}}
    certificates: ["{FINGERPRINT}"]
    status: active
    tier: verified
    country: US
    verified: 2026-01-01
    verified_by: kyc-team
    expires: 2027-01-01
    owners: [{{entity: holding-1, share: 0.6}}, {{country: US, share: 0.4}}]
    screening: clear
    screened: 2026-01-01
    purpose: "customers' support, auf Deutsch: Größe 😀"
    labels: {{plan: gold, team: ""}}
    payer: card-1
    contact_domain: acme.example
    signup_batch: b-1
  - {{id: "a {{b}}: c", status: suspended, tier: none, keys: ["{key_digest("sk-braces")}"]}}
  - {{id: nobody-yet, status: active, tier: basic, owners: []}}
entities:
  - {{id: holding-1, country: HK, owners: [{{country: CN, share: 0.9}}]}}
"""

prefixes = itertools.count()


@pytest.fixture
def file(tmp_path) -> AccountsFile:
    path = tmp_path / "accounts.yaml"
    path.write_text(ACCOUNTS)
    accounts, problems = read_accounts(path)
    assert accounts is not None, problems
    return accounts


@pytest.fixture(params=["file", "redis_server", "redis_cluster"])
async def directory(request, file) -> AsyncIterator[AccountsFile | RedisAccounts]:
    if request.param == "file":
        yield file
        return
    url, prefix = request.getfixturevalue(request.param).url, f"directories-{next(prefixes)}"
    async with AsyncExitStack() as exits:
        writer = RedisAccountsWriter(url, prefix=prefix, deadline_s=PATIENCE_S)
        exits.push_async_callback(writer.close)
        await writer.put(list(file.entries))
        accounts = RedisAccounts(url, prefix=prefix, deadline_s=PATIENCE_S)
        exits.push_async_callback(accounts.close)
        yield accounts


async def test_an_account_is_found_by_its_key_with_all_that_was_said_of_it(directory, file):
    found = await directory.find(key_digest("sk-acme"), IN_2026_US)
    stated = await file.get("acme")
    assert (found.check, found.owner) == (Check.VALID, stated)
    assert found.owner.version == stated.version
    assert found.owner.ownership == {"HK": 0.6, "CN": 0.54, "US": 0.4}
    assert found.owner.labels == {"plan": "gold", "team": ""}


async def test_what_was_never_said_is_unknown_and_not_empty(directory):
    found = await directory.find(key_digest("sk-braces"), IN_2026_US)
    assert found.account.id == "a {b}: c"
    assert (found.account.status, found.account.tier) == ("suspended", "none")
    assert (found.account.ownership, found.account.country, found.account.expires_us) == (None, None, None)
    assert found.account.labels == {}


async def test_a_certificate_is_found_as_a_key_is_and_never_by_its_bare_fingerprint(directory):
    assert (await directory.find(certificate_digest(FINGERPRINT), IN_2026_US)).account.id == "acme"
    assert await directory.find(FINGERPRINT, IN_2026_US) == UNKNOWN


@pytest.mark.parametrize(
    ("key", "day", "check"),
    [
        ("sk-acme", 0, Check.VALID),
        ("sk-old", 1, Check.VALID),
        ("sk-old", 2, Check.EXPIRED),
        ("sk-lost", 0, Check.REVOKED),
    ],
)
async def test_a_key_is_worth_what_it_is_at_the_time_of_the_call(directory, key, day, check):
    found = await directory.find(key_digest(key), IN_2026_US + day * DAY_US)
    assert (found.check, found.owner.id) == (check, "acme")
    assert (found.account is not None) is (check is Check.VALID)


@pytest.mark.parametrize("digest", [key_digest("sk-nobody"), "", "sha256:", "*", "sha256:" + "A" * 64])
async def test_a_digest_that_no_account_has_is_unknown(directory, digest):
    assert await directory.find(digest, IN_2026_US) == UNKNOWN


async def test_an_account_is_found_by_its_id_and_nothing_else(directory, file):
    for account_id in ("acme", "a {b}: c", "nobody-yet"):
        assert await directory.get(account_id) == await file.get(account_id) is not None
    for account_id in ("", "ACME", key_digest("sk-acme"), "holding-1"):
        assert await directory.get(account_id) is None
