"""The keys that an identity provider publishes at a URL: fetched at the start, then in the background, and kept.

They are fetched again when what the provider says of their age (`Cache-Control: max-age`) is over, within bounds, and
when a token names a key that is not among them: then at most once within `ASK_AGAIN_S`, whoever sends such tokens.
While they can't be fetched the last good ones serve, for a day at most.

Why no redirection is followed: the address is the operator's word for whom to trust, and he can write the other one.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from urllib.parse import urlsplit

from tornado.httpclient import HTTPError, HTTPRequest
from tornado.iostream import UnsatisfiableReadError
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from modelfence.adapters.tokens.keys import MAX_BYTES, KeySet, KeySetError, read_keys
from modelfence.core.unavailable import UnavailableError

DEADLINE_S = 5.0
"""For one fetch, from its beginning to its end."""
ASK_AGAIN_S = 30.0
"""Between two fetches for keys that tokens name, and the longest between two attempts after a failure."""
USUAL_AGE_S = 3_600.0
"""Where the provider does not say how old its keys may grow."""
LEAST_AGE_S, MOST_AGE_S = 60.0, 86_400.0
_FIRST_RETRY_S = 1.0
_OK = 200
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})\b", re.IGNORECASE)
log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What comes of a fetch."""

    FETCHED = "fetched"
    FAILED = "failed"


class PublishedKeys:
    """A `KeySource`. Use `start`, then `stop`, once each; all within one event loop."""

    def __init__(
        self,
        url: str,
        *,
        count: Callable[[Outcome], None],
        clock_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`count` is told what came of each fetch; `clock_s` never steps."""
        self._url = url
        self._host = urlsplit(url).netloc
        self._count = count
        self._clock_s = clock_s
        self._pause = pause
        self._keys: KeySet | None = None
        self._fetched_s = self._asked_s = float("-inf")
        self._next_s = ASK_AGAIN_S
        self._failures = 0
        self._fetching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Fetch the keys, and go on doing so. Without them tokens can't be verified; it is no reason not to start."""
        await self._fetched()
        self._keeping = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Fetch no more."""
        tasks = [task for task in (self._keeping, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def keys(self) -> KeySet:
        """Return the last that were fetched. Raises UnavailableError without any, and when they are too old."""
        if self._keys is None or self._clock_s() - self._fetched_s > MOST_AGE_S:
            raise UnavailableError("there are no keys to verify tokens with")
        return self._keys

    async def renew(self) -> None:
        """Wait for newer keys, if the last were asked for long enough ago, or are asked for right now.

        Raises UnavailableError when they can't be had: then nobody knows whether there is such a key.
        """
        if self._fetching is not None or self._clock_s() - self._asked_s >= ASK_AGAIN_S:
            await self._fetched()
        if self._failures:
            raise UnavailableError("the keys to verify tokens with can't be fetched")

    async def _keep(self) -> None:
        while True:
            await self._pause(self._next_s)
            await self._fetched()

    async def _fetched(self) -> None:
        """Wait for the fetch under way, or for one of one's own. Who stops waiting does not end it."""
        if self._fetching is None:
            self._asked_s = self._clock_s()
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._has_fetched)
        await asyncio.wait([self._fetching])

    def _has_fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the keys of tokens can't be fetched: the fence itself failed", exc_info=error)

    async def _fetch(self) -> None:
        try:
            keys, age_s = await _answer(self._url)
        except KeySetError as error:
            # At first soon, then as often as for tokens: a provider that comes back is not to be waited for.
            self._next_s = min(ASK_AGAIN_S, _FIRST_RETRY_S * 2 ** min(self._failures, 10))
            self._failures += 1
            self._count(Outcome.FAILED)
            if self._failures == 1:
                log.warning("the keys of tokens can't be fetched from %s: %s", self._host, error)
            return
        if self._failures:
            log.warning("the keys of tokens can be fetched from %s again", self._host)
        self._failures, self._next_s = 0, age_s
        self._fetched_s = self._clock_s()
        self._count(Outcome.FETCHED)
        if keys != self._keys:  # what was verified with the same ones stays so
            self._keys = keys


async def _answer(url: str) -> tuple[KeySet, float]:
    """Return the keys at a URL, and after how many seconds to ask again. Raises KeySetError."""
    client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=MAX_BYTES)
    request = HTTPRequest(
        url,
        connect_timeout=DEADLINE_S,
        request_timeout=DEADLINE_S,
        follow_redirects=False,
        decompress_response=False,
        user_agent="modelfence",
        headers={"Accept": "application/jwk-set+json, application/json"},
    )
    try:
        answer = await client.fetch(request, raise_error=False)
    except (OSError, HTTPError, ValueError) as error:
        raise KeySetError(str(error)) from None
    except UnsatisfiableReadError:
        raise KeySetError("the head of its answer has no end") from None
    finally:
        client.close()
    if answer.code != _OK:
        raise KeySetError(f"it answers {answer.code}")
    stated = _MAX_AGE.search(answer.headers.get("Cache-Control", ""))
    age_s = float(stated[1]) if stated else USUAL_AGE_S
    return read_keys(answer.body), min(max(LEAST_AGE_S, age_s), MOST_AGE_S)
