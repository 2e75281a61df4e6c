"""The one Redis server that sentinels say is the master now.

They are asked at the first call, and again whenever the server fails or says that it is a replica.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from redis.exceptions import RedisError

from modelfence.adapters.redis.circuit_breaker import Circuit
from modelfence.adapters.redis.connecting import Connecting
from modelfence.adapters.redis.looking import ANSWER_S, Lookout, ask_once, ask_several
from modelfence.adapters.redis.pipe import Command
from modelfence.adapters.redis.server import Ask, KnownServers, is_failure
from modelfence.redis_url import HostAndPort, RedisUrl


class SentinelServers:
    """The master that the sentinels of the URL name."""

    def __init__(self, url: RedisUrl, connecting: Connecting, known: KnownServers) -> None:
        self._url = url
        self._connecting = connecting
        self._known = known
        self._master: HostAndPort | None = None
        self._lookout = Lookout(self._look)

    @property
    def circuit(self) -> Circuit:
        """Return the state of the circuit to the master; open when nobody names one."""
        return Circuit.OPEN if self._master is None and self._lookout.failure else self._known.circuit

    def slot(self, _: str) -> int:
        """Return 0: all keys are in one server."""
        return 0

    async def ask(self, _: str, command: Command) -> object:
        """Return the master's answer. Raises redis.exceptions.RedisError."""
        if self._master is None:
            await self._lookout.first()
        assert self._master is not None  # noqa: S101 - or the look had failed
        try:
            return await self._known.at(self._master).ask(command)
        except RedisError as error:
            if is_failure(error):
                self._lookout.soon()
            raise

    async def each(self) -> Sequence[Ask]:
        """Return what asks the master, whichever it is then."""
        return (partial(self.ask, ""),)

    async def close(self) -> None:
        """Close the connections."""
        await self._lookout.close()
        await self._known.close()

    async def _look(self) -> None:
        """Believe what most of the sentinels say, of those that answer."""
        sentinels = self._url.hosts

        def most_agree(answers: Sequence[HostAndPort]) -> bool:
            return Counter(answers).most_common(1)[0][1] > len(sentinels) / 2

        answers = await ask_several([self._name_of_master(at) for at in sentinels], enough=most_agree)
        [(self._master, _)] = Counter(answers).most_common(1)
        self._known.keep({self._master})

    async def _name_of_master(self, sentinel: HostAndPort) -> HostAndPort:
        connection = self._connecting.to_sentinel(sentinel)
        command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._url.master)
        answer = await ask_once(connection, command, within_s=max(ANSWER_S, self._known.deadline_s))
        match answer:
            case [bytes(host), bytes(port)] if host.isascii() and port.isdigit():
                return host.decode(), int(port)
            case _:
                raise RedisError("the sentinels know no master of that name")
