"""What a store of accounts has to do, whether it is a file or Redis."""

import uuid
from dataclasses import replace

import pytest

from modelfence.adapters.redis.accounts_writer import RedisAccountsWriter
from modelfence.cli.accounts_stores import accounts_store, entry_of
from modelfence.core.account import Account, Entry, Key, versioned
from modelfence.core.account_keys import adding, named, revoking, rotating, with_digits, with_status
from modelfence.core.dates import DAY_US
from modelfence.settings import CannotStartError, Settings

NOW_US = 20_786 * DAY_US
ONE, TWO, THREE = ("sha256:" + letter * 64 for letter in "abc")
ACME = Entry(versioned(Account("acme", "active", "basic")), (Key(ONE, name="ci"),))
BETA = Entry(versioned(Account("beta", "closed", "basic")))


@pytest.fixture(params=["file", "redis"])
async def settings(request, tmp_path):
    """Settings whose accounts are those two."""
    if request.param == "file":
        path = tmp_path / "accounts.yaml"
        path.write_text(
            f"accounts:\n  - id: acme\n    keys: [{{digest: '{ONE}', name: ci}}]\n    status: active\n    tier: basic\n"
            "  - {id: beta, status: closed, tier: basic}\n"
        )
        return Settings(accounts=path)
    url, prefix = request.getfixturevalue("redis_server").url, f"stores-{uuid.uuid4()}"
    writer = RedisAccountsWriter(url, prefix=prefix)
    await writer.put([ACME, BETA])
    await writer.close()
    return Settings(accounts=url, store_prefix=prefix)


async def test_accounts_are_found_one_by_one_and_all_together(settings):
    async with accounts_store(settings) as store:
        assert await store.get("acme") == ACME
        assert await store.get("nobody") is None
        assert sorted([one.account.id async for one in store.entries()]) == ["acme", "beta"]
        assert await store.companies() == {}


async def test_what_is_changed_stays_changed(settings):
    changes = [
        adding(Key(TWO, NOW_US + 9 * DAY_US), NOW_US),
        rotating(named("ci"), Key(THREE), until_us=NOW_US + DAY_US, now_us=NOW_US),
        revoking(with_digits(TWO)),
        with_status("suspended"),
    ]
    meant = ACME
    for change in changes:
        meant = change(meant)
        async with accounts_store(settings) as store:
            await store.update("acme", change)
            assert await store.get("acme") == meant
    async with accounts_store(settings) as store:
        assert await store.get("acme") == replace(
            ACME,
            account=Account("acme", "suspended", "basic"),
            keys=(
                Key(ONE, NOW_US + DAY_US, name="ci"),
                Key(TWO, NOW_US + 9 * DAY_US, is_revoked=True),
                Key(THREE, name="ci"),
            ),
        )
        assert await store.get("beta") == BETA


async def test_the_version_of_an_account_changes_with_what_is_said_of_it(settings):
    async with accounts_store(settings) as store:
        await store.update("acme", with_status("suspended"))
        entry = await entry_of(store, "acme")
    assert entry.account.version == versioned(entry.account).version != ACME.account.version


@pytest.mark.parametrize(
    ("account", "change", "words"),
    [
        ("nobody", with_status("closed"), "there is no account `nobody`"),
        ("acme", revoking(named("none")), "`acme` has no such key that is not revoked"),
        ("acme", adding(Key(TWO, name="ci"), NOW_US), "`acme` has a valid key `ci` already"),
    ],
)
async def test_what_is_refused_changes_nothing_and_is_said(settings, account, change, words):
    with pytest.raises(CannotStartError, match=words):
        async with accounts_store(settings) as store:
            await store.update(account, change)
    async with accounts_store(settings) as store:
        assert await store.get("acme") == ACME


async def test_who_is_not_there_is_said(settings):
    with pytest.raises(CannotStartError, match="there is no account `nobody`"):
        async with accounts_store(settings) as store:
            await entry_of(store, "nobody")
