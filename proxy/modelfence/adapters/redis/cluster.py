"""The servers of a Redis Cluster: each command goes to the one that holds the slot of its key.

Which one that is, is asked of any node at the first call, and again when a server fails or says that a slot has moved.
Only what a server refused to run is sent again: to where it points (MOVED, ASK), or a little later (TRYAGAIN).

See https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
"""

import asyncio
from collections.abc import Sequence

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisError, TryAgainError

from modelfence.adapters.redis.circuit_breaker import Circuit
from modelfence.adapters.redis.connecting import Connecting
from modelfence.adapters.redis.looking import ANSWER_S, Lookout, ask_once, ask_several
from modelfence.adapters.redis.pipe import Command, NotSentError
from modelfence.adapters.redis.server import Ask, KnownServers, is_failure
from modelfence.redis_url import HostAndPort, RedisUrl

type Owners = list[HostAndPort | None]
"""Who holds each slot."""

_MOST_HOPS = 5
_TRY_AGAIN_S, _TRY_AGAIN_MOST_S = 0.002, 0.02
_ASKED_AT_ONCE = 3
"""So many nodes are asked who holds which slot; the first answer counts."""


class ClusterServers:
    """The masters of the cluster to which the hosts of the URL belong."""

    def __init__(self, url: RedisUrl, connecting: Connecting, known: KnownServers) -> None:
        self._seeds = url.hosts
        self._connecting = connecting
        self._known = known
        self._owners: Owners = []
        self._informed: HostAndPort | None = None
        """Where a slot was last said to have moved to: that node knows."""
        self._looks = 0
        self._lookout = Lookout(self._look)

    @property
    def circuit(self) -> Circuit:
        """Return the worst of the circuits to the masters; open when no node answers at all."""
        return Circuit.OPEN if not self._owners and self._lookout.failure else self._known.circuit

    def slot(self, key: str) -> int:
        """Return the slot of a key, or of the part of it in braces."""
        return key_slot(key.encode())

    async def ask(self, key: str, command: Command) -> object:
        """Return the answer of the server that holds the key's slot. Raises redis.exceptions.RedisError."""
        if not self._owners:
            await self._lookout.first()
        loop = asyncio.get_running_loop()
        give_up_at_s = loop.time() + 2 * self._known.deadline_s
        pause_s = _TRY_AGAIN_S
        while True:
            try:
                return await self._follow(self.slot(key), command)
            except TryAgainError as error:  # the keys of the command are in two servers while their slot moves
                if loop.time() > give_up_at_s:
                    raise NotSentError(f"TRYAGAIN {error}") from error
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _TRY_AGAIN_MOST_S)

    async def each(self) -> Sequence[Ask]:
        """Return what asks each master that holds slots. Raises redis.exceptions.RedisError."""
        if not self._owners:
            await self._lookout.first()
        return [self._known.at(at).ask for at in dict.fromkeys(self._owners) if at is not None]

    async def close(self) -> None:
        """Close the connections."""
        await self._lookout.close()
        await self._known.close()

    async def _follow(self, slot: int, command: Command) -> object:
        """Ask the slot's owner, and then whoever that one points to."""
        at = self._owner(slot)
        commands: tuple[Command, ...] = (command,)
        for _ in range(_MOST_HOPS):
            try:
                return await self._known.at(at).ask(*commands)
            except MovedError as moved:
                at, commands = _target(moved, at), (command,)
                self._owners[slot] = self._informed = at
                self._lookout.soon()
            except AskError as elsewhere:
                at, commands = _target(elsewhere, at), (("ASKING",), command)
            except RedisError as error:
                if is_failure(error):
                    self._lookout.soon()
                raise
        raise NotSentError("the servers of the cluster point to each other")

    def _owner(self, slot: int) -> HostAndPort:
        owner = self._owners[slot]
        if owner is None:
            self._lookout.soon()
            raise NotSentError("no server of the cluster holds the key's slot")
        return owner

    async def _look(self) -> None:
        """Ask some of the nodes, other ones each time, and one that ought to know first."""
        nodes = [*self._known.healthy(), *self._seeds]
        self._looks += 1
        turn = self._looks * _ASKED_AT_ONCE % len(nodes)
        first = [self._informed] if self._informed else []
        asked = list(dict.fromkeys([*first, *nodes[turn:], *nodes[:turn]]))[:_ASKED_AT_ONCE]
        self._informed = None
        answers = await ask_several([self._ask_node(at) for at in asked], enough=bool)
        self._owners = answers[0]
        self._known.keep({owner for owner in self._owners if owner is not None})

    async def _ask_node(self, at: HostAndPort) -> Owners:
        within_s = max(ANSWER_S, self._known.deadline_s)
        answer = await ask_once(self._connecting.to_server(at), ("CLUSTER", "SLOTS"), within_s=within_s)
        return _owners(answer, at)


def _owners(answer: object, asked: HostAndPort) -> Owners:
    """Read the answer to CLUSTER SLOTS: ranges, each with its master and then the replicas."""
    owners: Owners = [None] * REDIS_CLUSTER_HASH_SLOTS
    for slots in answer if isinstance(answer, list) else ():
        match slots:
            case [int(first), int(last), [(bytes() | None) as host, int(port), *_], *_] if host != b"?":
                owner = (host.decode(errors="replace") if host else asked[0], port)
                owners[first : last + 1] = [owner] * (last + 1 - first)
    if not any(owners):
        raise RedisError("the server belongs to no cluster that holds slots")
    return owners


def _target(error: AskError, asked: HostAndPort) -> HostAndPort:
    """Return where the error points to; no host means the one that was asked."""
    return error.host or asked[0], error.port
