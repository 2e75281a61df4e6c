"""Scripts on Redis servers, each call within its deadline, and none that runs after its caller gave up.

Every call is bounded by a deadline and raises UnavailableError past it, as it does for anything the server or the
network does wrong. A script that runs after its caller gave up changes nothing: it is told the latest server time at
which it still may. Nothing is sent again that may have run. So of a call that raised UnavailableError either nothing
was done, or its script ran in time and only the answer was lost; it is never done later.

Why the deadline is counted in turns of the event loop: what holds this process up would otherwise be taken for the
server's slowness. With 64 callers at once a turn takes longer than the deadline, and every call was refused.

Why an estimate of the server's time: the time in an answer was read before the answer arrived, so that time plus what
has passed here since is never ahead of the server's, and the latest time never after the caller's patience ends. A
server clock that steps forward makes a script think it came too late; its answer says what time it is, and the call is
made again while the patience lasts. One that steps back by more than a second is found out by the next answer, by less
within ten seconds. The first call, and one after the estimate has grown old, find out the same way: by coming too late.
The clocks of a cluster's masters are taken for one, the one that is furthest on: on another master a script may run
after its caller gave up, for as long as the two clocks are apart.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from redis.exceptions import InvalidResponse, NoScriptError, RedisError, ResponseError

from modelfence.adapters.redis.patience import Patience, Turns
from modelfence.adapters.redis.servers import NotSentError, RedisServers
from modelfence.core import bucket
from modelfence.enforcement.ports import UnavailableError

_ESTIMATE_HOLDS_S = 10.0
"""For how long the server's time is guessed. Clocks being slewed part by up to 500 us a second (RFC 5905, NTP), so
the guess is then off by 5 ms at most."""

_LATEST_ANSWER_US = bucket.SECOND_US
"""An answer that seems later than this tells of a server clock that stepped back."""


_GOES_ON = {"see.lua": ("see_match.lua", "see_join.lua", "see_write.lua")}
"""Scripts that are written in several files."""


@dataclass(frozen=True, slots=True)
class Script:
    """The text of a script, and the name under which a server that ran it once knows it."""

    source: bytes
    sha: str

    @classmethod
    @cache
    def of(cls, name: str, *, begin: str = "begin.lua") -> "Script":
        """Read a script; all of them begin with the same lines, which say what time it is."""
        folder = resources.files("modelfence.adapters.redis")
        source = b"".join((folder / part).read_bytes() for part in (begin, "keep.lua", name, *_GOES_ON.get(name, ())))
        return cls(source, hashlib.sha1(source, usedforsecurity=False).hexdigest())


async def evaluate(
    servers: RedisServers, script: Script, keys: Sequence[str], arguments: Sequence[int | str | bytes]
) -> object:
    """Run a script on the server that owns the keys. Raises redis.exceptions.RedisError or OSError."""
    rest = (len(keys), *keys, *arguments)
    try:
        return await servers.ask(keys[0], "EVALSHA", script.sha, *rest)
    except NoScriptError:  # the server is new to it, so nothing has run
        return await servers.ask(keys[0], "EVAL", script.source, *rest)


class RedisScripts:
    """Runs scripts on the servers, each call within `deadline_s`."""

    def __init__(self, servers: RedisServers, *, deadline_s: float) -> None:
        self._servers = servers
        self._deadline_s = deadline_s
        self._turns = Turns(deadline_s)
        self._clock = _ServerClock()
        self._held_up_s = 0.0
        """How late this process's event loop was lately; half of it is forgotten with each call."""
        self.last_answer_us = 0
        """The server's time in the last answer."""

    def run(
        self, name: str, keys: Sequence[str], arguments: Sequence[int | str | bytes]
    ) -> Coroutine[Any, Any, tuple[int, Sequence[Any]]]:
        """Run the script of that name; return the server's time and the rest of the answer. Raises UnavailableError.

        The keys share a slot. `arguments` follow after the latest time at which the script may run.
        """
        return within(self._deadline_s, self._run(Script.of(name), keys, arguments))

    async def _run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[int | str | bytes]
    ) -> tuple[int, Sequence[Any]]:
        loop = asyncio.get_running_loop()
        with Patience(self._turns, held_up_s=self._held_up_s) as patience:
            while True:
                latest_us = self._clock.at(patience.promise(), now_s=loop.time())
                answer = await evaluate(self._servers, script, keys, (latest_us, *arguments))
                now_us, in_time, rest = read(answer)
                self._clock.heard(now_us, at_s=loop.time())
                self.last_answer_us = now_us
                self._held_up_s = patience.held_up_s / 2
                if in_time:
                    return now_us, rest


def read(answer: object) -> tuple[int, bool, Sequence[Any]]:
    """Return what every script answers: the time, whether it came in time, and the rest.

    Raises redis.exceptions.InvalidResponse for what no script answers.
    """
    match answer:
        case [int(now_us), 0 | 1 as in_time, *rest]:
            return now_us, bool(in_time), rest
        case _:
            raise InvalidResponse("what was answered is no answer of a script")


async def within[Answer](deadline_s: float, answer: Awaitable[Answer]) -> Answer:
    """Return the answer of a server that is given up after `deadline_s`. Raises UnavailableError and nothing else."""
    try:
        return await answer
    except TimeoutError as error:
        raise UnavailableError(f"Redis did not answer within {deadline_s} s") from error
    except (NotSentError, ResponseError) as error:
        # A script reads everything before it writes, so what it complains of has kept it from writing.
        raise UnavailableError(f"Redis: {error}", may_have_run=False) from error
    except (RedisError, OSError) as error:
        raise UnavailableError(f"Redis: {error}") from error


class _ServerClock:
    """What time it is at the server, as far as its answers tell."""

    def __init__(self) -> None:
        self._known_us, self._known_at_s = 0, 0.0
        """The server's time at a moment of the event loop's, from the answer that was read with the least delay."""

    def heard(self, server_us: int, *, at_s: float) -> None:
        """Take an answer's time for the server's, unless one is known by which the server is further on.

        An answer is read late when this process is busy, so of several the one that was late by least is best.
        """
        behind_us = self.at(at_s, now_s=at_s) - server_us
        if not 0 < behind_us < _LATEST_ANSWER_US:
            self._known_us, self._known_at_s = server_us, at_s

    def at(self, at_s: float, *, now_s: float) -> int:
        """Return the server's time at a moment of the event loop's, or a little less; 0 when there is no telling."""
        if now_s - self._known_at_s > _ESTIMATE_HOLDS_S:
            return 0
        return self._known_us + int((at_s - self._known_at_s) * bucket.SECOND_US)
