"""Changing accounts in Redis, while fences read them and others may change them, too.

Each account changes in one step, from the record that was read to the one that is meant, and not at all if somebody
else has changed it meanwhile: then it is read again. The index is written before the record that it leads to, and
cleared after the record that no longer names the key. See `account_records` for why nothing else has to be in step.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import cast

from modelfence.adapters.redis.account_records import BadRecordError, account_key, decode, encode, index_key
from modelfence.adapters.redis.patience import Patience, Turns
from modelfence.adapters.redis.requests import by_slot
from modelfence.adapters.redis.scripts import RedisScripts, within
from modelfence.adapters.redis.servers import RedisServers
from modelfence.core.account import Account, Entity, Entry, versioned
from modelfence.enforcement.ports import UnavailableError

_TRIES = 5
"""So often an account is changed that others change at the same time."""
_SCANNED_AT_ONCE = 1_000
_NOTHING = b""


@dataclass(frozen=True, slots=True)
class Change:
    """What became, or would become, of one account."""

    account: str
    kind: str
    """added, changed, removed or unchanged."""
    fields: tuple[str, ...] = ()
    """What of a changed account is different, in the words of `Account`; `keys` and `owners` besides."""


class NoSuchAccountError(Exception):
    """There is no account of that id."""


class RedisAccountsWriter:
    """The accounts on the server or servers of `url`, for operators. For one event loop.

    All methods raise UnavailableError; what was written until then stays, and can be written again. `deadline_s` bounds
    each question to a server. Raises ValueError for a URL that can't be used.
    """

    def __init__(self, url: str, *, prefix: str = "modelfence", deadline_s: float = 5.0) -> None:
        self._servers = RedisServers(url, deadline_s=deadline_s)
        self._scripts = RedisScripts(self._servers, deadline_s=deadline_s)
        self._prefix = prefix
        self._deadline_s = deadline_s
        self._turns = Turns(deadline_s)

    async def get(self, account_id: str) -> Entry | None:
        """Return the entry of an account, or None."""
        name = account_key(self._prefix, account_id)
        record = (await self._read([name]))[name]
        return None if record == _NOTHING else _decoded(record, account_id)

    async def other_holders(self, entries: Sequence[Entry]) -> Mapping[str, str]:
        """Return the ids of other accounts that have keys of these, by digest."""
        holders = {key.digest: entry.account.id for entry in entries for key in entry.keys}
        index = await self._indexed(list(holders))
        named = {digest: holder for digest, holder in index.items() if holder != holders[digest]}
        records = await self._read([account_key(self._prefix, holder) for holder in set(named.values())])
        return {
            digest: holder
            for digest, holder in named.items()
            if (record := records[account_key(self._prefix, holder)]) != _NOTHING
            and _decoded(record, holder).key(digest) is not None
        }

    async def ids(self) -> AsyncIterator[Sequence[str]]:
        """Yield the ids of all accounts, some at a time; one may come twice."""
        start = account_key(self._prefix, "")
        for ask in await within(self._deadline_s, self._servers.each()):
            cursor = b"0"
            while True:
                scan = ("SCAN", cursor, "MATCH", f"{start}*", "COUNT", _SCANNED_AT_ONCE)
                cursor, names = cast("tuple[bytes, list[bytes]]", await self._patiently(ask(scan)))
                yield [name.decode(errors="replace").removeprefix(start) for name in names]
                if cursor == b"0":
                    break

    async def records(self) -> AsyncIterator[tuple[str, Entry | BadRecordError]]:
        """Yield the ids of all accounts with what is kept of them, or why that can't be understood; once each."""
        seen: set[str] = set()
        async for some in self.ids():
            names = {account_key(self._prefix, one): one for one in some if one not in seen}
            seen.update(some)
            for name, record in (await self._read(list(names))).items():
                if record != _NOTHING:
                    yield names[name], _decoded_or_not(record, names[name])

    async def entries(self) -> AsyncIterator[Entry]:
        """Yield all accounts, once each."""
        async for _, found in self.records():
            if isinstance(found, BadRecordError):
                raise _not_understood(found) from found
            yield found

    async def companies(self) -> Mapping[str, Entity]:
        """Return none: of the owners behind owners it is kept what comes of them, in each account's `ownership`."""
        return {}

    async def preview(self, entries: Sequence[Entry]) -> Sequence[Change]:
        """Return what `put` would change."""
        before, index = await self._state(entries)
        return [self._change(entry, before, index) for entry in entries]

    async def put(self, entries: Sequence[Entry]) -> Sequence[Change]:
        """Add or replace accounts of different ids, each in one step.

        A key that another account has goes to the one that is put: see `other_holders`.
        """
        changes: dict[str, Change] = {}
        left = list(entries)
        for _ in range(_TRIES):
            before, index = await self._state(left)
            wanted = {entry.account.id: self._change(entry, before, index) for entry in left}
            changing = [entry for entry in left if wanted[entry.account.id].kind != "unchanged"]
            changes |= wanted
            left = await self._exchange_entries(changing, before, index)
            if not left:
                return [changes[entry.account.id] for entry in entries]
        raise UnavailableError("Redis: somebody else keeps changing these accounts")

    async def remove(self, account_ids: Sequence[str]) -> Sequence[Change]:
        """Remove accounts, each in one step. Those that are not there are left out of the answer."""
        changes: list[Change] = []
        left = list(account_ids)
        for _ in range(_TRIES):
            names = {account_key(self._prefix, one): one for one in left}
            records = {name: record for name, record in (await self._read(list(names))).items() if record != _NOTHING}
            done = await self._exchange({name: (record, _NOTHING) for name, record in records.items()})
            keys: dict[str, tuple[bytes, bytes]] = {}
            for name in (one for one in records if one in done):
                changes.append(Change(names[name], "removed"))
                keys |= {digest: (names[name].encode(), _NOTHING) for digest in _digests(records[name], names[name])}
            await self._exchange({index_key(self._prefix, digest): pair for digest, pair in keys.items()})
            left = [names[name] for name in records if name not in done]
            if not left:
                return changes
        raise UnavailableError("Redis: somebody else keeps changing these accounts")

    async def update(self, account_id: str, changed: Callable[[Entry], Entry]) -> Change:
        """Change one account to what `changed` makes of it. Raises NoSuchAccountError, and whatever `changed` raises.

        `changed` may be called several times. The account keeps its id, and gets its version here.
        """
        name = account_key(self._prefix, account_id)
        for _ in range(_TRIES):
            record = (await self._read([name]))[name]
            if record == _NOTHING:
                raise NoSuchAccountError(f"there is no account `{account_id}`")
            entry = changed(_decoded(record, account_id))
            entry = replace(entry, account=versioned(entry.account))
            index = await self._indexed([key.digest for key in entry.keys])
            change = self._change(entry, {name: record}, index)
            if change.kind == "unchanged" or not await self._exchange_entries([entry], {name: record}, index):
                return change
        raise UnavailableError(f"Redis: somebody else keeps changing `{account_id}`")

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()

    async def _state(self, entries: Sequence[Entry]) -> tuple[Mapping[str, bytes], Mapping[str, str]]:
        """Return the records of these accounts by name, and the ids that the index has for their keys."""
        names = [account_key(self._prefix, entry.account.id) for entry in entries]
        return await self._read(names), await self._indexed([key.digest for one in entries for key in one.keys])

    def _change(self, entry: Entry, before: Mapping[str, bytes], index: Mapping[str, str]) -> Change:
        account_id = entry.account.id
        record = before[account_key(self._prefix, account_id)]
        if record == _NOTHING:
            return Change(account_id, "added")
        different = _different(record, entry)
        if not different and any(index.get(key.digest) != account_id for key in entry.keys):
            different = ("keys",)
        return Change(account_id, "changed" if different else "unchanged", different)

    async def _exchange_entries(
        self, entries: Sequence[Entry], before: Mapping[str, bytes], index: Mapping[str, str]
    ) -> list[Entry]:
        """Write entries over what was read. Return those that others have changed meanwhile."""
        prefix = self._prefix
        leading = {
            index_key(prefix, key.digest): (index.get(key.digest, "").encode(), entry.account.id.encode())
            for entry in entries
            for key in entry.keys
        }
        led = await self._exchange({name: pair for name, pair in leading.items() if pair[0] != pair[1]})
        sound = {name for name, (was, new) in leading.items() if was == new or name in led}
        ready = {
            account_key(prefix, entry.account.id): entry
            for entry in entries
            if all(index_key(prefix, key.digest) in sound for key in entry.keys)
        }
        done = await self._exchange({name: (before[name], encode(entry)) for name, entry in ready.items()})
        cleared = {
            index_key(prefix, digest): (ready[name].account.id.encode(), _NOTHING)
            for name in done
            for digest in _digests(before[name], ready[name].account.id)
            if ready[name].key(digest) is None
        }
        await self._exchange(cleared)
        return [entry for entry in entries if account_key(prefix, entry.account.id) not in done]

    async def _indexed(self, digests: Sequence[str]) -> Mapping[str, str]:
        names = {index_key(self._prefix, digest): digest for digest in digests}
        return {names[name]: holder.decode() for name, holder in (await self._read(list(names))).items() if holder}

    async def _read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Return what the keys hold."""
        slots = by_slot((self._servers.slot(name), name) for name in names)
        answers = await asyncio.gather(
            *(self._patiently(self._servers.ask(some[0], "MGET", *some)) for some in slots.values())
        )
        return {
            name: value or _NOTHING
            for some, values in zip(slots.values(), answers, strict=True)
            for name, value in zip(some, cast("list[bytes | None]", values), strict=True)
        }

    async def _exchange(self, pairs: Mapping[str, tuple[bytes, bytes]]) -> set[str]:
        """Write each key from what it was to what it is to be. Return the keys that were as they were thought."""
        slots = by_slot((self._servers.slot(name), name) for name in pairs)
        answers = await asyncio.gather(
            *(
                self._scripts.run("exchange.lua", some, [value for name in some for value in pairs[name]])
                for some in slots.values()
            )
        )
        return {
            name
            for some, (_, written) in zip(slots.values(), answers, strict=True)
            for name, is_written in zip(some, written, strict=True)
            if is_written
        }

    async def _patiently[Answer](self, answer: Awaitable[Answer]) -> Answer:
        async def waited() -> Answer:
            with Patience(self._turns):
                return await answer

        return await within(self._deadline_s, waited())


def _decoded_or_not(record: bytes, account_id: str) -> Entry | BadRecordError:
    try:
        return decode(record, account_id)
    except BadRecordError as error:
        return error


def _decoded(record: bytes, account_id: str) -> Entry:
    try:
        return decode(record, account_id)
    except BadRecordError as error:
        raise _not_understood(error) from error


def _not_understood(error: BadRecordError) -> UnavailableError:
    return UnavailableError(f"Redis: {error}", may_have_run=False)


def _digests(record: bytes, account_id: str) -> Sequence[str]:
    """Return the digests of a record's keys; of one that can't be understood none."""
    try:
        return [key.digest for key in decode(record, account_id).keys] if record else []
    except BadRecordError:
        return []


def _different(record: bytes, entry: Entry) -> tuple[str, ...]:
    """Return what in the record is different from what the entry says; of one that can't be understood everything."""
    if record == encode(entry):
        return ()
    try:
        before = decode(record, entry.account.id)
    except BadRecordError:
        return ("record",)
    names = [one.name for one in fields(Account) if one.name != "version"]
    different = [name for name in names if getattr(before.account, name) != getattr(entry.account, name)]
    different += [name for name in ("keys", "owners") if getattr(before, name) != getattr(entry, name)]
    return tuple(different) or ("record",)
