"""mitmproxy logs a hook's exception and lets the call go on; a fence must not.

Rule: whatever fails, the flow is stopped first and by something that can't fail in turn; counting it, settling it and
wording the answer come after that.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from mitmproxy import http
from mitmproxy.flow import Error

log = logging.getLogger(__name__)

HOOK_DEADLINE_S = 5.0
"""The longest a hook may take: while one waits, mitmproxy's own watchdog is off. Ports have shorter ones."""


class Failing(Protocol):
    """What an addon brings along to have its hooks guarded."""

    hook_deadline_s: float

    async def fault(self, flow: http.HTTPFlow, *, refused: bool) -> None:
        """Count the failure, and settle a call that is refused for it. May raise."""
        ...

    def fault_response(self, flow: http.HTTPFlow) -> http.Response:
        """Return the refusal in the API's shape. May raise."""
        ...


type Hook[A] = Callable[[A, http.HTTPFlow], Awaitable[None]]


def refuses[A: Failing](hook: Hook[A]) -> Hook[A]:
    """Guard a hook that runs before the request has left: when it fails the answer is 503."""

    def stop(addon: A, flow: http.HTTPFlow) -> None:
        flow.response = http.Response.make(503)
        flow.response = addon.fault_response(flow)

    return _guarded(hook, stop, refused=True)


def cuts[A: Failing](hook: Hook[A]) -> Hook[A]:
    """Guard a hook that runs when an answer begins: when it fails nothing of the answer is passed on."""

    def stop(_addon: A, flow: http.HTTPFlow) -> None:
        flow.error = Error(Error.KILLED_MESSAGE)

    return _guarded(hook, stop, refused=False)


def counts[A: Failing](hook: Hook[A]) -> Hook[A]:
    """Guard a hook that runs when all is over: nothing is left to stop, and what was reserved stays taken."""

    def stop(_addon: A, _flow: http.HTTPFlow) -> None: ...

    return _guarded(hook, stop, refused=False)


def _guarded[A: Failing](hook: Hook[A], stop: Callable[[A, http.HTTPFlow], None], *, refused: bool) -> Hook[A]:
    name = getattr(hook, "__name__", "a hook")

    @functools.wraps(hook)
    async def guarded(self: A, flow: http.HTTPFlow) -> None:
        try:
            async with asyncio.timeout(self.hook_deadline_s):
                await hook(self, flow)
        except Exception:
            _attempt(stop, self, flow)
            log.exception("the fence itself failed in `%s`", name)
            try:
                async with asyncio.timeout(self.hook_deadline_s):
                    await self.fault(flow, refused=refused)
            except Exception:
                log.exception("counting that failure failed, too")

    return guarded


def _attempt(stop: Callable[..., None], *arguments: Any) -> None:
    try:
        stop(*arguments)
    except Exception:
        log.exception("wording the refusal failed; it is answered without words")
