"""Accounts in Redis as the loop's directory: two GETs a lookup, which is remembered for at most a second.

So whatever is changed in Redis counts in every worker a second later, and the deadline of a lookup at the most. Why
nothing is published to the workers: a message may be lost, so an answer would still have to be asked for again this
often; and what that costs, two GETs a second for each account that calls, is little beside the charges of its calls.
"""

import time

from redis.exceptions import InvalidResponse

from modelfence.adapters.accounts.recent_lookups import Bound, RecentLookups
from modelfence.adapters.redis.account_records import BadRecordError, account_key, decode, index_key
from modelfence.adapters.redis.patience import Patience, Turns
from modelfence.adapters.redis.scripts import within
from modelfence.adapters.redis.servers import Circuit, RedisServers
from modelfence.core.account import UNKNOWN, Account, Entry, Found, Key
from modelfence.enforcement.ports import UnavailableError

KNOWN = Bound(age_s=1.0, entries=10_000)
UNKNOWN_TO_ALL = Bound(age_s=0.5, entries=1_000)
"""After which a new key is let in."""

type _Holding = tuple[Key, Account]


class RedisAccounts:
    """An `AccountDirectory` on the server or servers of `url`. For one event loop.

    `deadline_s` bounds each lookup. Raises ValueError for a URL that can't be used.
    """

    def __init__(self, url: str, *, prefix: str = "modelfence", deadline_s: float = 0.05, connections: int = 4) -> None:
        self._servers = RedisServers(url, connections=connections, deadline_s=deadline_s)
        self._prefix = prefix
        self._deadline_s = deadline_s
        self._turns = Turns(deadline_s)
        self._holdings: RecentLookups[_Holding] = RecentLookups(
            self._look_up, clock_s=time.monotonic, known=KNOWN, unknown=UNKNOWN_TO_ALL
        )
        self._entries: RecentLookups[Entry] = RecentLookups(
            self._entry, clock_s=time.monotonic, known=KNOWN, unknown=UNKNOWN_TO_ALL
        )

    @property
    def circuit(self) -> Circuit:
        """Return the circuit breaker."""
        return self._servers.circuit

    async def find(self, digest: str, at_us: int) -> Found:
        """Return what is known of the API key or certificate of that digest. Raises UnavailableError."""
        holding = await self._holdings.get(digest)
        if holding is None:
            return UNKNOWN
        key, owner = holding
        return Found(key.check(at_us), owner)

    async def get(self, account_id: str) -> Account | None:
        """Return the account of that id, or None. Raises UnavailableError."""
        entry = await self._entries.get(account_id)
        return None if entry is None else entry.account

    async def ready(self) -> bool:
        """Say whether lookups are answered."""
        try:
            await self._look_up("")
        except UnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._holdings.close()
        await self._entries.close()
        await self._servers.close()

    async def _look_up(self, digest: str) -> _Holding | None:
        """Return a key as the record of the account says it that the index names."""
        holder = await self._read(index_key(self._prefix, digest))
        entry = None if holder is None else await self._entry(holder.decode(errors="replace"))
        key = None if entry is None else entry.key(digest)
        return None if entry is None or key is None else (key, entry.account)

    async def _entry(self, account_id: str) -> Entry | None:
        record = await self._read(account_key(self._prefix, account_id))
        try:
            return None if record is None else decode(record, account_id)
        except BadRecordError as error:
            raise UnavailableError(f"Redis: {error}", may_have_run=False) from error

    async def _read(self, key: str) -> bytes | None:
        async def read() -> bytes | None:
            with Patience(self._turns):
                value = await self._servers.ask(key, "GET", key)
            if value is None or isinstance(value, bytes):
                return value
            raise InvalidResponse("what was answered is no answer to GET")

        return await within(self._deadline_s, read())
