"""What is remembered of a directory, by a clock of the tests' own."""

import asyncio

import pytest

from modelfence.adapters.accounts.recent_lookups import Bound, RecentLookups


class Directory:
    """Answers with what it holds, and remembers what it was asked for."""

    def __init__(self, **holds: str) -> None:
        self.holds = holds
        self.asked: list[str] = []
        self.was_asked = asyncio.Event()
        self.now_s = 100.0
        self.answers_at = asyncio.Event()
        self.answers_at.set()
        self.fails = False

    async def look_up(self, digest: str) -> str | None:
        self.asked.append(digest)
        self.was_asked.set()
        found = self.holds.get(digest)
        await self.answers_at.wait()
        if self.fails:
            raise TimeoutError
        return found

    def recent(self, known: int = 10, unknown: int = 10) -> RecentLookups[str]:
        return RecentLookups(
            self.look_up, clock_s=lambda: self.now_s, known=Bound(1.0, known), unknown=Bound(0.5, unknown)
        )


async def test_what_was_found_is_not_asked_for_again_for_as_long_as_allowed_and_then_it_is():
    directory = Directory(a="acme")
    recent = directory.recent()
    assert await recent.get("a") == "acme"
    directory.holds["a"] = "umbrella"
    directory.now_s += 0.999
    assert await recent.get("a") == "acme"
    directory.now_s += 0.001
    assert await recent.get("a") == "umbrella"
    assert directory.asked == ["a", "a"]


async def test_what_is_unknown_is_remembered_for_a_shorter_time():
    directory = Directory()
    recent = directory.recent()
    assert await recent.get("a") is None
    directory.holds["a"] = "acme"
    directory.now_s += 0.499
    assert await recent.get("a") is None
    directory.now_s += 0.001
    assert await recent.get("a") == "acme"


async def test_an_answer_is_as_old_as_its_question():
    directory = Directory(a="acme")
    recent = directory.recent()
    directory.answers_at.clear()
    asking = asyncio.create_task(recent.get("a"))
    await directory.was_asked.wait()
    directory.now_s += 1.0
    directory.answers_at.set()
    assert await asking == "acme"
    directory.holds.clear()
    assert await recent.get("a") is None


async def test_no_old_answer_is_used_when_the_directory_does_not_answer():
    directory = Directory(a="acme")
    recent = directory.recent()
    assert await recent.get("a") == "acme"
    directory.fails, directory.now_s = True, directory.now_s + 1.0
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await recent.get("a")
    assert directory.asked == ["a"] * 3


async def test_all_who_ask_at_once_ask_once_and_who_gives_up_takes_nothing_from_the_others():
    directory = Directory(a="acme")
    recent = directory.recent()
    directory.answers_at.clear()
    asking = [asyncio.create_task(recent.get("a")) for _ in range(20)]
    await directory.was_asked.wait()
    asking[0].cancel()
    await asyncio.wait([asking[0]])
    directory.answers_at.set()
    assert await asyncio.gather(*asking[1:]) == ["acme"] * 19
    assert directory.asked == ["a"]


async def test_the_answer_used_longest_ago_goes_first():
    directory = Directory(a="1", b="2", c="3")
    recent = directory.recent(known=2)
    for digest in "abac":
        await recent.get(digest)
    directory.asked.clear()
    for digest in "acb":
        await recent.get(digest)
    assert directory.asked == ["b"]


async def test_who_tries_out_keys_pushes_out_nobody_who_is_known():
    directory = Directory(a="acme")
    recent = directory.recent(known=1, unknown=3)
    await recent.get("a")
    for n in range(10):
        await recent.get(f"guess-{n}")
    directory.asked.clear()
    assert await recent.get("a") == "acme"
    for n in range(10):
        await recent.get(f"guess-{9 - n}")
    assert directory.asked == [f"guess-{9 - n}" for n in range(3, 10)]


async def test_lookups_end_with_it():
    directory = Directory(a="acme")
    recent = directory.recent()
    directory.answers_at.clear()
    asking = asyncio.create_task(recent.get("a"))
    await directory.was_asked.wait()
    await recent.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
