"""Changing accounts in real Redis servers: each in one step, whoever else changes it, and whatever was left half done."""

import asyncio
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from modelfence.adapters.redis.account_records import account_key, encode, index_key
from modelfence.adapters.redis.accounts import RedisAccounts
from modelfence.adapters.redis.accounts_writer import Change, NoSuchAccountError, RedisAccountsWriter
from modelfence.core.account import UNKNOWN, Account, Check, Entry, Key, Owner, versioned
from modelfence.core.account_keys import revoking, with_digits, with_status
from modelfence.core.call import key_digest
from modelfence.enforcement.ports import UnavailableError

PATIENCE_S = 20
OLD, NEW = key_digest("sk-old"), key_digest("sk-new")
ACME = Entry(versioned(Account("acme", "active", "basic")), (Key(OLD),), (Owner(0.5, country="US"),))
SAID = json.loads(encode(ACME))

prefixes = itertools.count()


@pytest.fixture(params=["redis_server", "redis_cluster"])
def servers(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def prefix():
    return f"writer-{next(prefixes)}"


@pytest.fixture
async def writer(servers, prefix):
    writer = RedisAccountsWriter(servers.url, prefix=prefix, deadline_s=PATIENCE_S)
    yield writer
    await writer.close()


@pytest.fixture
async def find(servers, prefix):
    """Looks up a digest, as a fence does that was started just now."""

    async def found(digest):
        accounts = RedisAccounts(servers.url, prefix=prefix, deadline_s=PATIENCE_S)
        try:
            return await accounts.find(digest, 0)
        finally:
            await accounts.close()

    return found


@pytest.fixture
def raw(redis_server):
    """Looks at, and spoils, what is in the one server."""
    with redis_server.client() as client:
        yield client


async def everybody(writer):
    return sorted([one async for some in writer.ids() for one in some])


async def test_what_is_put_is_there_and_putting_it_again_changes_nothing(writer):
    other = Entry(Account("b:*{c}", "closed", "basic"))
    assert await writer.preview([ACME, other]) == [Change("acme", "added"), Change("b:*{c}", "added")]
    assert await writer.get("acme") is None
    assert await writer.put([ACME, other]) == [Change("acme", "added"), Change("b:*{c}", "added")]
    assert (await writer.get("acme"), await writer.get("b:*{c}")) == (ACME, other)
    assert await everybody(writer) == ["acme", "b:*{c}"]
    assert {one.kind for one in await writer.put([ACME, other])} == {"unchanged"}


async def test_a_change_says_which_fields_are_different(writer):
    await writer.put([ACME])
    changed = replace(ACME, account=replace(ACME.account, tier="none", country="US"), owners=None)
    assert await writer.preview([changed]) == [Change("acme", "changed", ("tier", "country", "owners"))]
    assert await writer.put([changed]) == [Change("acme", "changed", ("tier", "country", "owners"))]
    assert await writer.get("acme") == changed


async def test_a_key_that_goes_is_unknown_and_one_that_comes_is_known(writer, find):
    await writer.put([ACME])
    assert await writer.put([replace(ACME, keys=(Key(NEW),))]) == [Change("acme", "changed", ("keys",))]
    assert await find(OLD) == UNKNOWN
    assert (await find(NEW)).account == ACME.account
    assert await writer.other_holders([replace(ACME, keys=(Key(OLD), Key(NEW)))]) == {}
    other = Entry(Account("other", "active", "basic"), (Key(OLD), Key(NEW)))
    assert await writer.other_holders([other]) == {NEW: "acme"}


async def test_a_key_that_moves_is_its_new_accounts_in_whichever_order_they_are_put(writer, find):
    other = Entry(Account("other", "active", "basic"))
    for order in ((0, 1), (1, 0)):
        await writer.put([ACME, other])
        after = [replace(ACME, keys=()), replace(other, keys=ACME.keys)]
        for at in order:
            await writer.put([after[at]])
        assert (await find(OLD)).account.id == "other"


async def test_who_is_removed_is_unknown_with_all_keys(writer, find):
    await writer.put([ACME])
    assert await writer.remove(["acme", "nobody"]) == [Change("acme", "removed")]
    assert await find(OLD) == UNKNOWN
    assert await everybody(writer) == []
    assert await writer.remove(["acme"]) == []


async def test_a_status_is_changed_and_the_version_with_it(writer, find):
    await writer.put([ACME])
    assert await writer.update("acme", with_status("suspended")) == Change("acme", "changed", ("status",))
    found = (await find(OLD)).account
    assert found.status == "suspended"
    assert found.version == versioned(found).version != ACME.account.version
    assert await writer.update("acme", with_status("suspended")) == Change("acme", "unchanged")


async def test_a_key_is_revoked_and_known_as_revoked(writer, find):
    await writer.put([replace(ACME, keys=(Key(OLD), Key(NEW)))])
    assert await writer.update("acme", revoking(with_digits(OLD))) == Change("acme", "changed", ("keys",))
    assert (await find(OLD)).check is Check.REVOKED
    assert (await find(NEW)).check is Check.VALID


async def test_whoever_is_not_there_can_not_be_changed(writer):
    with pytest.raises(NoSuchAccountError, match="there is no account `acme`"):
        await writer.update("acme", with_status("closed"))


async def test_changes_at_the_same_time_are_all_made(writer):
    keys = [Key(key_digest(f"sk-{n}")) for n in range(4)]
    await writer.put([replace(ACME, keys=tuple(keys))])
    await asyncio.gather(*(writer.update("acme", revoking(with_digits(key.digest))) for key in keys))
    assert [key.is_revoked for key in (await writer.get("acme")).keys] == [True] * 4


async def read_alone(redis_server, prefix, digest):
    accounts = RedisAccounts(redis_server.url, prefix=prefix, deadline_s=PATIENCE_S)
    try:
        return await accounts.find(digest, 0)
    finally:
        await accounts.close()


@pytest.fixture
async def alone(redis_server, prefix):
    """A writer to the one server, whose keys tests look at and spoil."""
    writer = RedisAccountsWriter(redis_server.url, prefix=prefix, deadline_s=PATIENCE_S)
    await writer.put([ACME])
    yield writer
    await writer.close()


async def test_what_others_change_without_end_is_given_up_and_left_to_them(alone, raw, prefix):
    versions = itertools.count()

    def meddled(entry):
        theirs = replace(ACME, account=replace(ACME.account, purpose=f"{next(versions)}"))
        raw.set(account_key(prefix, "acme"), encode(theirs))
        return replace(entry, account=replace(entry.account, status="closed"))

    with pytest.raises(UnavailableError, match="somebody else keeps changing `acme`"):
        await alone.update("acme", meddled)
    assert (await alone.get("acme")).account.status == "active"


async def test_what_is_lost_of_the_index_is_put_back(alone, raw, prefix, redis_server):
    raw.delete(index_key(prefix, OLD))
    assert await read_alone(redis_server, prefix, OLD) == UNKNOWN
    assert await alone.put([ACME]) == [Change("acme", "changed", ("keys",))]
    assert (await read_alone(redis_server, prefix, OLD)).account == ACME.account


async def test_an_index_that_a_dead_writer_has_left_leads_to_nobody(alone, raw, prefix, redis_server):
    for account_id in ("acme", "nobody", ""):
        raw.set(index_key(prefix, NEW), account_id)
        assert await read_alone(redis_server, prefix, NEW) == UNKNOWN
    raw.set(index_key(prefix, NEW), "acme")
    other = Entry(Account("other", "active", "basic"), (Key(NEW),))
    assert await alone.other_holders([other]) == {}
    assert await alone.put([other]) == [Change("other", "added")]
    assert (await read_alone(redis_server, prefix, NEW)).account.id == "other"


@pytest.mark.parametrize(
    "spoilt",
    [
        b"not JSON",
        b"[]",
        b"{}",
        json.dumps(SAID | {"frozen": True}).encode(),
        json.dumps(SAID | {"id": "umbrella"}).encode(),
        json.dumps(SAID | {"keys": [{"name": "no digest"}]}).encode(),
        json.dumps({name: value for name, value in SAID.items() if name != "tier"}).encode(),
        # What is of another kind than it should be could be compared with nothing, or would not be refused by a rule.
        json.dumps(SAID | {"ownership": {"CN": math.nan}}).encode(),
        json.dumps(SAID | {"ownership": {"CN": "0.9"}}).encode(),
        json.dumps(SAID | {"ownership": {"CN": -1}}).encode(),
        json.dumps(SAID | {"ownership": {"CN": True}}).encode(),
        json.dumps(SAID | {"expires_us": "2027-01-01"}).encode(),
        json.dumps(SAID | {"expires_us": 1.5e15}).encode(),
        json.dumps(SAID | {"status": "Active"}).encode(),
        json.dumps(SAID | {"screening": ["clear"]}).encode(),
        json.dumps(SAID | {"tier": 2}).encode(),
        json.dumps(SAID | {"tier": None}).encode(),
        json.dumps(SAID | {"country": 5}).encode(),
        json.dumps(SAID | {"labels": ["gold"]}).encode(),
        json.dumps(SAID | {"keys": [{"digest": OLD, "is_revoked": "false"}]}).encode(),
        json.dumps(SAID | {"keys": [{"digest": OLD, "expires_us": "soon"}]}).encode(),
        json.dumps(SAID | {"keys": ["digest"]}).encode(),
        json.dumps(SAID | {"owners": [{"share": "1", "country": "CN"}]}).encode(),
        json.dumps(SAID).replace('"active"', '"suspended", "status": "active"').encode(),
        json.dumps(SAID).encode("utf-16"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
async def test_a_record_that_can_not_be_understood_lets_nobody_in_and_can_be_written_anew(
    alone, raw, prefix, redis_server, spoilt
):
    raw.set(account_key(prefix, "acme"), spoilt)
    with pytest.raises(UnavailableError, match="the record of `acme`"):
        await read_alone(redis_server, prefix, OLD)
    with pytest.raises(UnavailableError, match="the record of `acme`"):
        await alone.update("acme", with_status("active"))
    assert await alone.put([ACME]) == [Change("acme", "changed", ("record",))]
    assert (await read_alone(redis_server, prefix, OLD)).account == ACME.account
    raw.set(account_key(prefix, "acme"), spoilt)
    assert await alone.remove(["acme"]) == [Change("acme", "removed")]


async def test_nothing_is_left_of_keys_and_accounts_that_go(alone, raw, prefix):
    await alone.put([replace(ACME, keys=(Key(NEW),))])
    assert set(raw.keys(f"{prefix}:*")) == {account_key(prefix, "acme"), index_key(prefix, NEW)}
    await alone.remove(["acme"])
    assert raw.keys(f"{prefix}:*") == []


@pytest.mark.usefixtures("alone")
async def test_what_is_no_text_lets_nobody_in(raw, prefix, redis_server):
    raw.delete(account_key(prefix, "acme"))
    raw.hset(account_key(prefix, "acme"), "id", "acme")
    with pytest.raises(UnavailableError, match="WRONGTYPE"):
        await read_alone(redis_server, prefix, OLD)


async def test_more_accounts_than_come_at_once_are_all_listed(alone):
    await alone.put([Entry(Account(f"a-{n}", "active", "basic")) for n in range(2_500)])
    assert len(set(await everybody(alone))) == 2_501


async def test_all_accounts_are_read_once_each(writer):
    entries = [replace(ACME, account=versioned(Account(f"a{n}", "active", "basic")), keys=()) for n in range(2_500)]
    await writer.put(entries)
    read = [entry async for entry in writer.entries()]
    assert sorted(read, key=lambda one: one.account.id) == sorted(entries, key=lambda one: one.account.id)
    assert await writer.companies() == {}


async def test_the_users_that_the_manual_describes_may_do_what_they_are_for_and_fences_change_nothing(start_redis):
    server = start_redis()
    manual = (Path(__file__).parents[3] / "docs" / "accounts.md").read_text()
    users = [line for line in manual.splitlines() if line.startswith("ACL SETUSER")]
    for line in users:
        server.command(*line.replace("PASSWORD", "hunter2").split())
    by_user = {line.split()[2]: server.url.replace("//", f"//{line.split()[2]}:hunter2@") for line in users}
    writer = RedisAccountsWriter(by_user["accounts"], deadline_s=PATIENCE_S)
    await writer.put([ACME])
    await writer.update("acme", with_status("closed"))
    assert await everybody(writer) == ["acme"]
    reader = RedisAccounts(by_user["reader"], deadline_s=PATIENCE_S)
    assert await reader.ready()
    assert (await reader.find(OLD, 0)).account.status == "closed"
    await reader.close()
    meddling = RedisAccountsWriter(by_user["reader"], deadline_s=PATIENCE_S)
    for change in (meddling.put([ACME]), meddling.update("acme", with_status("active")), meddling.remove(["acme"])):
        with pytest.raises(UnavailableError):
            await change
    await meddling.close()
    assert (await writer.get("acme")).account.status == "closed"
    await writer.remove(["acme"])
    await writer.close()
