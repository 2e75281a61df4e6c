"""Evidence in Redis servers (6.2 or later), shared by every worker: one script and one round trip a call.

The script `see.lua` is `MemoryEvidence` once more, and answers the same: time is that of the sightings. Only whether a
script came too late, and the lifetime of keys, go by the server's clock. It reads what it needs, counts, and then
writes. All keys hold `{extraction}`, so that in a Redis Cluster all of them lie in one slot, on one master:

    PREFIX:{extraction}:account:2:NAME   an account's record; NAME is a digest of the caller's
    PREFIX:{extraction}:accounts         the accounts in the order in which they go when there are too many
    PREFIX:{extraction}:cohort:2:ID      a cohort's record, or the name of the one that has taken it in
    PREFIX:{extraction}:items:2:ID       the bitmap by which its items are known again
    PREFIX:{extraction}:cohorts          the cohorts by their last call
    PREFIX:{extraction}:taken            those that were taken in, in the order in which they go
    PREFIX:{extraction}:shingles:SHARD   a part of the index: each field is a shingle

The 2 is of how these records are packed: those of a fence that packs it otherwise are let lie, and expire.

Why hashes of few fields for the index: Redis keeps them as one list, in the order in which fields were added, which
takes a third of the room and tells which shingle is the oldest. It does so while a hash has no more fields than
`hash-max-listpack-entries` allows (`hash-max-ziplist-entries` before Redis 7), which must be 128 or more; it is 512
where nobody has changed it.
"""

from collections.abc import Sequence

from modelfence.adapters.evidence_bounds import Shards
from modelfence.adapters.redis.evidence_records import account_name, asked, cohort, cohort_name, constants, seen
from modelfence.adapters.redis.scripts import RedisScripts
from modelfence.adapters.redis.servers import Circuit, RedisServers
from modelfence.extraction.evidence import HEARD, Bounds, CohortRecord, Seen, Sighting

_BOUNDS = Bounds()
_COHORTS_AT_ONCE = 50
"""Take the server two milliseconds; meanwhile the calls of all workers wait."""


class RedisEvidence:
    """An `EvidenceStore` on the server or servers of `url`.

    `deadline_s` bounds each call, including the wait for one of the `connections`. Raises ValueError for a URL that
    can't be used.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "modelfence",
        deadline_s: float = 0.05,
        connections: int = 4,
        bounds: Bounds = _BOUNDS,
    ) -> None:
        self._servers = RedisServers(url, connections=connections, deadline_s=deadline_s)
        self._scripts = RedisScripts(self._servers, deadline_s=deadline_s)
        self._constants = constants(bounds)
        self._shards = Shards.of(bounds).count
        self._keys = f"{prefix}:{{extraction}}:"

    @property
    def circuit(self) -> Circuit:
        """Return the circuit breaker."""
        return self._servers.circuit

    async def see(self, sighting: Sighting) -> Seen:
        """Take a call into account, whatever becomes of it, and return what is known then. Raises UnavailableError."""
        keys = (self._account(sighting.caller), *(self._keys + name for name in ("accounts", "cohorts", "taken")))
        _, answer = await self._scripts.run(
            "see.lua", keys, (self._keys, self._constants, *asked(sighting, self._shards))
        )
        return seen(answer)

    async def answered(self, caller: str, cohort: str, output_tokens: int) -> None:
        """Take into account what a call was answered with; `cohort` is empty when it drew on none."""
        arguments = (self._keys, cohort_name(cohort), output_tokens, HEARD)
        await self._scripts.run("answered.lua", (self._account(caller),), arguments)

    async def cohorts(self) -> Sequence[CohortRecord]:
        """Return the cohorts that are kept, by id. Raises UnavailableError."""
        found: dict[bytes, bytes] = {}
        start, came = 0, _COHORTS_AT_ONCE
        while came == _COHORTS_AT_ONCE:
            places = (self._keys, start, start + _COHORTS_AT_ONCE - 1)
            _, (came, *answer) = await self._scripts.run("cohorts.lua", (self._keys + "cohorts",), places)
            found.update(zip(answer[::2], answer[1::2], strict=True))
            start += came
        return [cohort(name, record) for name, record in sorted(found.items())]

    async def close(self) -> None:
        """Close the connections."""
        await self._servers.close()

    def _account(self, caller: str) -> str:
        return f"{self._keys}account:2:{account_name(caller)}"
