"""What was lately found in a directory that is asked over the network: for at most so long, and at most so many.

Rule: an answer is as old as its question. No answer is used again when its question was asked longer ago than allowed,
whether or not the directory can be asked: doubt never opens the fence.

What is unknown has a table of its own, so that callers who try out keys can't push out those of others.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """How much is remembered."""

    age_s: float
    entries: int


class RecentLookups[Answer]:
    """Looks up names, each one once at a time for all who ask. For one event loop; `clock_s` never goes back.

    How many are asked for at a time is bounded by the calls that wait for them.
    """

    def __init__(
        self,
        look_up: Callable[[str], Awaitable[Answer | None]],
        *,
        clock_s: Callable[[], float],
        known: Bound,
        unknown: Bound,
    ) -> None:
        self._look_up = look_up
        self._clock_s = clock_s
        self._known: _Recent[Answer] = _Recent(known)
        self._unknown: _Recent[None] = _Recent(unknown)
        self._asking: dict[str, asyncio.Task[Answer | None]] = {}

    async def get(self, name: str) -> Answer | None:
        """Return what is known of a name, None when it is unknown. Raises what the lookup raises."""
        now_s = self._clock_s()
        known = self._known.get(name, now_s)
        if known is not None:
            return known[0]
        if self._unknown.get(name, now_s) is not None:
            return None
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._ask(name))
        # The others who wait for it still do when this caller gives up.
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """End the lookups that are under way."""
        asking = list(self._asking.values())
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, name: str) -> Answer | None:
        asked_s = self._clock_s()
        try:
            answer = await self._look_up(name)
        finally:
            del self._asking[name]
        if answer is None:
            self._unknown.keep(name, None, asked_s)
        else:
            self._known.keep(name, answer, asked_s)
        return answer


class _Recent[Answer]:
    """Answers in the order in which they were last used; the first goes when there are too many."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._answers: OrderedDict[str, tuple[Answer, float]] = OrderedDict()

    def get(self, name: str, now_s: float) -> tuple[Answer] | None:
        """Return an answer that is recent enough, as the one item of a tuple, or None."""
        kept = self._answers.get(name)
        if kept is None:
            return None
        answer, asked_s = kept
        if now_s - asked_s >= self._bound.age_s:
            del self._answers[name]
            return None
        self._answers.move_to_end(name)
        return (answer,)

    def keep(self, name: str, answer: Answer, asked_s: float) -> None:
        """Remember an answer to a question that was asked at that time."""
        self._answers[name] = answer, asked_s
        self._answers.move_to_end(name)
        if len(self._answers) > self._bound.entries:
            self._answers.popitem(last=False)
