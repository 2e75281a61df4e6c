"""Finding out which Redis servers there are, in the background, from several that may know."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, InvalidResponse, RedisError  # noqa: A004

from modelfence.adapters.redis.pipe import Command, NotSentError, end

ANSWER_S = 0.5
"""How long one is asked, connecting included, unless the deadline of calls is longer."""
_EVERY_S = 0.25
"""So long after one look at most the next one begins: calls fail by the thousand while there is nothing new."""


class Lookout:
    """Looks when told that something may have changed: one look at a time, shared by all who wait for it."""

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._looking: asyncio.Task[None] | None = None
        self._ended_at_s = float("-inf")
        self.failure = ""
        """Why the last look found nothing; empty when it did, or is the first."""

    def soon(self) -> None:
        """Look, unless a look is under way or has just ended."""
        if self._looking is None and asyncio.get_running_loop().time() >= self._ended_at_s + _EVERY_S:
            self._looking = asyncio.create_task(self._run())

    async def first(self) -> None:
        """Wait for the first look. Raises NotSentError when it found nothing; then also at once, until one does."""
        self.soon()
        if self._looking is not None and not self.failure:
            await asyncio.wait([self._looking])
        if self.failure:
            raise NotSentError(self.failure)

    async def close(self) -> None:
        """Look no more."""
        self._ended_at_s = float("inf")
        self.failure = "the connections are closed"
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _run(self) -> None:
        try:
            await self._look()
        except (RedisError, OSError) as error:
            self.failure = str(error) or "a node answered with an error without words"
        else:
            self.failure = ""
        finally:
            self._looking = None
            self._ended_at_s = max(self._ended_at_s, asyncio.get_running_loop().time())


async def ask_once(connection: AbstractConnection, command: Command, *, within_s: float) -> Any:
    """Connect, ask, close. Raises redis.exceptions.RedisError or OSError."""
    try:
        async with asyncio.timeout(within_s):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py annotates in part
            await connection.send_command(*command, check_health=False)
            return await connection.read_response()
    except TimeoutError:
        raise ConnectionError(f"no answer within {within_s} s") from None
    except ValueError:  # redis-py's, of a place to go on to that is none
        raise InvalidResponse("the server sent an error that can't be read") from None
    finally:
        await end(connection)


async def ask_several[Answer](
    questions: Sequence[Coroutine[Any, Any, Answer]], *, enough: Callable[[Sequence[Answer]], bool]
) -> Sequence[Answer]:
    """Ask all at once, until the answers are enough. Raises the last error when none of them was answered."""
    asking = [asyncio.create_task(question) for question in questions]
    answers: list[Answer] = []
    failure: RedisError | OSError = ConnectionError("there is nobody to ask")
    try:
        for one in asyncio.as_completed(asking):
            try:
                answers.append(await one)
            except (RedisError, OSError) as error:
                failure = error
            if answers and enough(answers):
                break
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    if not answers:
        raise failure
    return answers
