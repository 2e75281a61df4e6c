"""One connection to a Redis server, shared by many calls at once.

Commands of calls in the same turn of the event loop leave in one write, a single one at once; answers are read in
their order, and each goes to its caller. A caller that gives up before its command was written takes it back; after
that, its answer is thrown away when it comes. Commands given while the connection is being made wait for it.

An answer that can't be the one that is due ends the connection before anybody gets another's.

Rule: whatever ends the connection, every caller is told, and told truly: NotSentError when its command was not written,
ConnectionError when it was. A pipe that ended is not used again.

Why past redis-py's own reading and writing: they take a task each and wait for every piece, which costs several times
what is to be done. redis-py makes the connection, and its stream is left to tell when that ends.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import hiredis
from redis._parsers.base import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004
    InvalidResponse,
    RedisError,
    ResponseError,
)
from redis.typing import EncodableT

from modelfence.core.quick import quick

type Command = tuple[EncodableT, ...]

_MOST_WAITING = 1024
"""More answers than that are not waited for on one connection."""
_CONNECT_S = 1.0
_SILENCE_S = 0.5
"""A server that owes answers and says nothing for so long, or for two deadlines, is not waited for any longer."""
_LOOKS = 5
"""So often in that time it is looked whether it said something: this process may be held up itself meanwhile."""
_CLOSE_S = 1.0
_SCRIPTS = ("EVALSHA", "EVAL")


class NotSentError(RedisError):
    """The command surely did not run, and will not."""


class TooManyError(NotSentError):
    """More calls are waiting for answers than are allowed to. It tells nothing of the server."""


@quick
@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    packed: bytes
    answers: int
    """How many will come; the last is the one that is wanted."""
    is_script: bool
    """One of ours, which answers a list."""
    answer: asyncio.Future[object]


class Pipe:
    """The shared use of one connection, from connecting it to its end.

    `late` is called with each answer whose caller has given up.
    """

    def __init__(self, connection: AbstractConnection, *, deadline_s: float, late: Callable[[object], None]) -> None:
        self._connection = connection
        self._late = late
        self._connect_s = max(_CONNECT_S, deadline_s)
        self._look_s = max(_SILENCE_S, 2 * deadline_s) / _LOOKS
        self._unwritten: deque[_Asked] = deque()
        self._waiting: deque[tuple[asyncio.Future[object] | None, bool]] = deque()
        """Who gets each answer that is to come, None for nobody; and whether it is a script's."""
        self._reading = hiredis.Reader(protocolError=InvalidResponse, replyError=BaseParser.parse_error)
        self._answers = 0
        self._writing: asyncio.Task[None] | None = None
        """Waits until what was written has left, where that is much."""
        self._look: asyncio.TimerHandle | None = None
        self.is_connected = False
        self.is_broken = False
        self._life = asyncio.create_task(self._live())

    @property
    def waiting(self) -> int:
        """Return how many commands are not answered yet."""
        return len(self._waiting) + len(self._unwritten)

    @property
    def has_room(self) -> bool:
        """Say whether one more command may wait for its answer."""
        return self.waiting < _MOST_WAITING

    @property
    def is_gathering(self) -> bool:
        """Say whether commands are about to leave, so that one more would leave with them."""
        return bool(self._unwritten) and self._writing is None

    @property
    def has_ended(self) -> bool:
        """Say whether nothing is left of it."""
        return self._life.done()

    async def ask(self, *commands: Command) -> object:
        """Send commands one right after the other and return the last one's answer.

        Raises redis.exceptions.RedisError; NotSentError when the command was not sent or could not run.
        """
        if self.is_broken:
            raise NotSentError("the connection has ended")
        if not self.has_room:
            raise TooManyError("too many calls are waiting for answers")
        packed = b"".join(hiredis.pack_command(command) for command in commands)  # type: ignore[arg-type]  # one item
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        self._unwritten.append(_Asked(packed, len(commands), commands[-1][0] in _SCRIPTS, answer))
        if len(self._unwritten) == 1 and self.is_connected and self._writing is None:
            # There is no other way to ask; an event loop without this gathers always.
            if getattr(loop, "_ready", True):
                loop.call_soon(self._write)
            else:
                self._write()  # nothing else is to be done in this turn, so nothing is left that could be gathered
        return await answer

    async def close(self, *, patience_s: float = 0) -> None:
        """End the connection; within `patience_s`, those who wait for answers still get them."""
        waiting = [answer for answer, _ in self._waiting if answer is not None]
        waiting += [asked.answer for asked in self._unwritten]
        if waiting and patience_s:
            await asyncio.wait(waiting, timeout=patience_s)
        self._life.cancel()
        await asyncio.wait([self._life])
        self._fail("it was closed")  # a task that is cancelled before it began does nothing of its own

    async def _live(self) -> None:
        reason = "it was closed"
        try:
            async with asyncio.timeout(self._connect_s):
                await self._connection.connect()  # type: ignore[no-untyped-call]  # redis-py annotates in part
            stream = self._connection._reader  # noqa: SLF001  # redis-py has no other way to it
            assert stream is not None  # noqa: S101 - it is connected
            stream.feed_data = partial(self._arrived, stream)  # type: ignore[method-assign]
            self.is_connected = True
            self._write()
            reason = "it has sent what nobody had asked for" if await stream.read(1) else "the server has closed it"
        except TimeoutError:
            reason = f"connecting took longer than {self._connect_s} s"
        except (RedisError, OSError) as error:
            reason = str(error)
        finally:
            self._fail(reason)
            if self._writing is not None:
                self._writing.cancel()
            await end(self._connection)

    def _write(self) -> None:
        """Write what was asked for since the last time."""
        asked = [one for one in self._unwritten if not one.answer.done()]
        self._unwritten.clear()
        writer = self._connection._writer  # noqa: SLF001  # redis-py has no other way to it
        if not asked or writer is None:
            return
        for one in asked:
            self._waiting.extend([(None, False)] * (one.answers - 1))
            self._waiting.append((one.answer, one.is_script))
        if self._look is None:
            self._look_later(_LOOKS)
        writer.write(b"".join([one.packed for one in asked]))
        if writer.transport.get_write_buffer_size():
            self._writing = asyncio.create_task(self._written(writer))

    async def _written(self, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # it is closed now, of which its stream tells
            await writer.drain()
        self._writing = None
        self._write()

    def _arrived(self, stream: asyncio.StreamReader, data: bytes) -> None:
        self._reading.feed(data)
        try:
            while (answer := self._reading.gets()) is not False:
                self._answer(_read(answer))
        except RedisError as error:
            stream.set_exception(error)
        except ValueError:  # redis-py's, of a place to go on to that is none
            stream.set_exception(InvalidResponse("the server sent an error that can't be read"))

    def _answer(self, answer: object) -> None:
        self._answers += 1
        if not self._waiting:
            raise ConnectionError("the server sent what nobody had asked for")
        waiting, is_script = self._waiting[0]
        if is_script and not isinstance(answer, list | RedisError):
            # All answers behind it may be one caller's for another: nobody gets them.
            raise InvalidResponse("the server answered a script with what no script answers")
        self._waiting.popleft()
        if waiting is None:
            return
        if waiting.done():
            self._late(answer)
        elif isinstance(answer, RedisError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _fail(self, reason: str) -> None:
        self.is_broken, self.is_connected = True, False
        if self._look is not None:
            self._look.cancel()
        for waiting, _ in self._waiting:
            if waiting is not None and not waiting.done():
                waiting.set_exception(ConnectionError(f"the connection was lost: {reason}"))
        for asked in self._unwritten:
            if not asked.answer.done():
                asked.answer.set_exception(NotSentError(f"no connection: {reason}"))

    def _look_later(self, left: int) -> None:
        heard = self._answers
        self._look = asyncio.get_running_loop().call_later(self._look_s, self._look_again, left - 1, heard)

    def _look_again(self, left: int, heard: int) -> None:
        """Give the connection up when nothing was heard the last few times, though answers are owed."""
        if not self._waiting:
            self._look = None
        elif self._answers != heard:
            self._look_later(_LOOKS)
        elif left:
            self._look_later(left)
        else:
            self._life.cancel()


def _read(answer: object) -> object:
    """Return an answer; an error that the server answers with is one. Raises any other of redis-py's errors."""
    if isinstance(answer, AuthenticationError | BusyLoadingError):
        # Answers, though redis-py counts them among the errors of a connection.
        return NotSentError(f"{answer.status_code or ''} {answer}".strip())
    if isinstance(answer, RedisError) and not isinstance(answer, ResponseError):
        raise answer
    return answer


async def end(connection: AbstractConnection) -> None:
    """Close a connection without waiting for what was written to leave: the other side may have stopped reading."""
    writer = connection._writer  # noqa: SLF001  # redis-py only closes politely
    if writer is not None:
        writer.transport.abort()
    try:
        async with asyncio.timeout(_CLOSE_S):
            await connection.disconnect()
    except (TimeoutError, RedisError, OSError):
        pass
