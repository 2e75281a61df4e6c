"""Keys that are fetched from a provider: when, how often, and what serves while they can't be."""

import asyncio
import logging
import socket
from collections import Counter

import pytest
from tests.enforcement.outside import NOON_US
from tests.identity_provider import AUDIENCE, ISSUER, claims, identity_provider, jwk, jwks, token

from modelfence.adapters.tokens import published_keys as module
from modelfence.adapters.tokens.published_keys import PublishedKeys
from modelfence.adapters.tokens.verifier import Tokens
from modelfence.core.account import Check
from modelfence.core.call import Credential
from modelfence.core.token import Terms
from modelfence.core.unavailable import UnavailableError

WITHIN_S = 10


class Time:
    """A clock that stands still, and pauses that end when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.goes_on: asyncio.Queue[None] = asyncio.Queue()

    def __call__(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        self.pauses.put_nowait(seconds)
        await self.goes_on.get()

    async def next_pause(self) -> float:
        return await asyncio.wait_for(self.pauses.get(), WITHIN_S)


class Fetching:
    """Keys of a provider, a verifier on them, and the counts."""

    def __init__(self, url: str) -> None:
        self.time = Time()
        self.counts: Counter[str] = Counter()
        self.keys = PublishedKeys(url, count=self._count, clock_s=self.time, pause=self.time.pause)
        self.verifier = Tokens(Terms(ISSUER, frozenset({AUDIENCE})), ["RS256"], self.keys)

    def _count(self, outcome: module.Outcome) -> None:
        self.counts[outcome] += 1

    async def check(self, key: str) -> Check:
        signed = token(claims(NOON_US // 1_000_000), key)
        return (await self.verifier.verify(Credential.of(signed), NOON_US)).check

    async def again(self) -> float:
        """Let the pause end; return how long the next one is, when what was fetched is known."""
        self.time.goes_on.put_nowait(None)
        return await self.time.next_pause()


@pytest.fixture
def provider():
    with identity_provider() as serving:
        yield serving


@pytest.fixture
async def fetching(provider):
    made = Fetching(provider.url)
    yield made
    await made.keys.stop()


async def test_keys_are_there_once_it_has_started_and_are_fetched_again_within_the_hour(fetching, provider):
    await fetching.keys.start()
    assert await fetching.check("k1") is Check.VALID
    assert await fetching.time.next_pause() == 3_600
    provider.publish("k2")
    await fetching.again()
    assert await fetching.check("k2") is Check.VALID
    assert await fetching.check("k1") is Check.UNKNOWN, "a key that is published no more verifies nothing"
    assert fetching.counts == {"fetched": 2}
    assert provider.requests == ["/jwks.json"] * 2


@pytest.mark.parametrize(
    ("header", "age_s"),
    [
        ("max-age=600", 600), ("public, max-age=600, must-revalidate", 600), ('Max-Age="600"', 600), ("max-age=0", 60),
        ("no-store", 3_600), ("max-age=999999999", 86_400), ("max-age=soon", 3_600), ("s-maxage=600", 3_600),
    ],
)  # fmt: skip
async def test_the_provider_says_how_old_its_keys_may_grow_within_bounds(fetching, provider, header, age_s):
    provider.headers["Cache-Control"] = header
    await fetching.keys.start()
    assert await fetching.time.next_pause() == age_s


async def test_an_unknown_key_is_asked_for_once_within_half_a_minute_whoever_names_it(fetching, provider):
    await fetching.keys.start()
    provider.publish("k1", "k2")
    assert await fetching.check("k2") is Check.UNKNOWN, "they were fetched a moment ago"
    fetching.time.now_s += 30
    assert [await fetching.check(key) for key in ("k2", "k3", "k4")] == [Check.VALID, Check.UNKNOWN, Check.UNKNOWN]
    assert len(provider.requests) == 2
    fetching.time.now_s += 29
    assert await fetching.check("k3") is Check.UNKNOWN
    assert len(provider.requests) == 2
    fetching.time.now_s += 1
    assert await fetching.check("k3") is Check.UNKNOWN
    assert len(provider.requests) == 3


async def test_those_who_ask_at_once_wait_for_one_fetch_and_who_leaves_does_not_end_it(fetching, provider):
    await fetching.keys.start()
    provider.publish("k1", "k2")
    provider.may_answer.clear()
    fetching.time.now_s += 30
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(fetching.check("k2"), 0.01)
    waiting = [asyncio.create_task(fetching.check("k2")) for _ in range(5)]
    provider.may_answer.set()
    assert await asyncio.gather(*waiting) == [Check.VALID] * 5
    assert len(provider.requests) == 2


async def test_a_provider_that_is_away_at_the_start_is_tried_until_it_is_there(fetching, provider, caplog):
    provider.status = 503
    with caplog.at_level(logging.WARNING):
        await fetching.keys.start()
        with pytest.raises(UnavailableError):
            await fetching.check("k1")
        pauses = [await fetching.time.next_pause(), *[await fetching.again() for _ in range(6)]]
        assert pauses == [1, 2, 4, 8, 16, 30, 30]
        provider.status = 200
        assert await fetching.again() == 3_600
    assert await fetching.check("k1") is Check.VALID
    assert fetching.counts == {"failed": 7, "fetched": 1}
    host = provider.url.split("/")[2]
    assert [record.getMessage() for record in caplog.records] == [
        f"the keys of tokens can't be fetched from {host}: it answers 503",
        f"the keys of tokens can be fetched from {host} again",
    ]


async def test_the_last_good_keys_serve_for_a_day_and_then_nobody_knows(fetching, provider):
    await fetching.keys.start()
    await fetching.time.next_pause()
    provider.status = 500
    await fetching.again()
    fetching.time.now_s += 86_400
    assert await fetching.check("k1") is Check.VALID
    with pytest.raises(UnavailableError):
        await fetching.check("k2")
    fetching.time.now_s += 1
    with pytest.raises(UnavailableError):
        await fetching.check("k1")
    provider.status = 200
    await fetching.again()
    assert await fetching.check("k1") is Check.VALID


FAULTS = {
    "a redirection": ({"status": 302, "headers": {"Location": "/elsewhere"}}, "it answers 302"),
    "an error": ({"status": 404}, "it answers 404"),
    "nothing new": ({"status": 304, "body": b""}, "it answers 304"),
    "no keys": ({"body": b"<html>"}, "no JSON"),
    "too much": ({"body": jwks(jwk("k1")) + b" " * (256 << 10)}, ""),
    "a head without an end": ({"headers": {"X-Filler": "a" * (64 << 10)}}, "the head of its answer has no end"),
    "less than it says": ({"headers": {"Content-Length": "99999", "Connection": "close"}}, ""),
}


@pytest.mark.parametrize(("fault", "reason"), FAULTS.values(), ids=FAULTS)
async def test_what_is_no_good_answer_changes_nothing(fetching, provider, caplog, fault, reason):
    await fetching.keys.start()
    await fetching.time.next_pause()
    provider.publish("k2")
    for name, value in fault.items():
        setattr(provider, name, value)
    await fetching.again()
    assert await fetching.check("k1") is Check.VALID
    assert fetching.counts == {"fetched": 1, "failed": 1}
    assert reason in caplog.text
    assert provider.requests == ["/jwks.json"] * 2, "no redirection is followed"


async def test_a_provider_that_does_not_answer_is_left_after_the_deadline(monkeypatch, provider):
    monkeypatch.setattr(module, "DEADLINE_S", 0.05)
    provider.may_answer.clear()
    silent = Fetching(provider.url)
    await asyncio.wait_for(silent.keys.start(), WITHIN_S)
    await silent.keys.stop()
    assert silent.counts == {"failed": 1}


async def test_a_provider_that_cannot_be_reached_is_no_reason_not_to_start():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = Fetching(f"http://127.0.0.1:{taken.getsockname()[1]}/")
        await asyncio.wait_for(nobody.keys.start(), WITHIN_S)
        await nobody.keys.stop()
    assert nobody.counts == {"failed": 1}


async def test_stopping_ends_a_fetch_under_way(provider):
    provider.may_answer.clear()
    one = Fetching(provider.url)
    starting = asyncio.create_task(one.keys.start())
    await asyncio.sleep(0)
    await one.keys.stop()
    await asyncio.wait_for(starting, WITHIN_S)
    await one.keys.stop()
    assert one.counts == {}


async def test_the_same_keys_leave_what_was_verified_remembered(fetching):
    await fetching.keys.start()
    before = fetching.keys.keys()
    await fetching.time.next_pause()
    await fetching.again()
    assert fetching.keys.keys() is before
