"""mitmproxy logs a hook's exception and lets the call go on; a fence must not.

Rule: whatever fails, the flow is stopped first and by something that can't fail in turn; counting it, settling it and
wording the answer come after that. Hooks that never wait are plain functions; one that waits has a deadline.
"""

import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from mitmproxy import http
from mitmproxy.flow import Error

from modelfence.enforcement.deadlines import Deadlines

log = logging.getLogger(__name__)

HOOK_DEADLINE_S = 5.0
"""The longest a hook may take: while one waits, mitmproxy's own watchdog is off. Ports have shorter ones."""


class Failing(Protocol):
    """What an addon brings along to have its hooks guarded. All of it may raise."""

    hook_deadlines: Deadlines

    def failed(self, flow: http.HTTPFlow, *, refused: bool) -> None:
        """Count the failure."""
        ...

    async def settle_failed(self, flow: http.HTTPFlow) -> None:
        """Settle a call that was admitted and is refused after all."""
        ...

    def fault_response(self, flow: http.HTTPFlow) -> http.Response:
        """Return the refusal in the API's shape."""
        ...


type Hook[A] = Callable[[A, http.HTTPFlow], None]
type AskingHook[A] = Callable[[A, http.HTTPFlow], bool]
type WaitingHook[A] = Callable[[A, http.HTTPFlow], Coroutine[Any, Any, None]]
type Paying = Coroutine[Any, Any, bool]
type SteppingHook[A] = Callable[[A, http.HTTPFlow], Paying | None]
type PayingHook[A] = Callable[[A, http.HTTPFlow], Coroutine[Any, Any, bool]]


def refuses_at_once[A: Failing](hook: Hook[A]) -> Hook[A]:
    """Guard a hook that sees a head: when it fails the answer is 503."""

    @functools.wraps(hook)
    def guarded(self: A, flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception:
            flow.response = http.Response.make(503)
            log.exception(_FAILED, "requestheaders")
            _word(self, flow)
            _count(self, flow, refused=True)

    return guarded


def refuses[A: Failing](hook: WaitingHook[A]) -> WaitingHook[A]:
    """Guard the hook that judges: when it fails, or takes too long, the answer is 503."""

    @functools.wraps(hook)
    async def guarded(self: A, flow: http.HTTPFlow) -> None:
        try:
            with self.hook_deadlines.next():
                await hook(self, flow)
        except Exception:
            flow.response = http.Response.make(503)
            log.exception(_FAILED, "request")
            _word(self, flow)
            _count(self, flow, refused=True)
            try:
                with self.hook_deadlines.next():
                    await self.settle_failed(flow)
            except Exception:
                log.exception("settling that call failed, too")

    return guarded


def cuts[A: Failing](hook: Hook[A]) -> Hook[A]:
    """Guard the hook that sees an answer begin: when it fails nothing of the answer is passed on."""

    @functools.wraps(hook)
    def guarded(self: A, flow: http.HTTPFlow) -> None:
        try:
            hook(self, flow)
        except Exception:
            flow.error = Error(Error.KILLED_MESSAGE)
            log.exception(_FAILED, "responseheaders")
            _count(self, flow, refused=False)

    return guarded


def ends[A: Failing](hook: PayingHook[A]) -> PayingHook[A]:
    """Guard the hook that pays for the next step of a stream: when it fails, or takes too long, the stream ends."""

    @functools.wraps(hook)
    async def guarded(self: A, flow: http.HTTPFlow) -> bool:
        try:
            with self.hook_deadlines.next():
                return await hook(self, flow)
        except Exception:
            log.exception(_FAILED, "pay_step")
            _count(self, flow, refused=False)
            return False

    return guarded


def ends_at_once[A: Failing](hook: SteppingHook[A]) -> SteppingHook[A]:
    """Guard the hook that is asked after each piece of a stream: when it fails the stream ends."""

    @functools.wraps(hook)
    def guarded(self: A, flow: http.HTTPFlow) -> Paying | None:
        try:
            return hook(self, flow)
        except Exception:
            log.exception(_FAILED, "next_step")
            _count(self, flow, refused=False)
            return _refuse()

    return guarded


def lets_go[A: Failing](hook: AskingHook[A]) -> AskingHook[A]:
    """Guard the hook that says whether to read on for a client who has left: when it fails the upstream is closed."""

    @functools.wraps(hook)
    def guarded(self: A, flow: http.HTTPFlow) -> bool:
        try:
            return hook(self, flow)
        except Exception:
            log.exception(_FAILED, "awaits_usage")
            _count(self, flow, refused=False)
            return False

    return guarded


def counts[A: Failing](hook: WaitingHook[A]) -> WaitingHook[A]:
    """Guard a hook that runs when all is over: nothing is left to stop, and what was reserved stays taken."""

    @functools.wraps(hook)
    async def guarded(self: A, flow: http.HTTPFlow) -> None:
        try:
            with self.hook_deadlines.next():
                await hook(self, flow)
        except Exception:
            log.exception(_FAILED, "settling")
            _count(self, flow, refused=False)

    return guarded


_FAILED = "the fence itself failed in `%s`"


async def _refuse() -> bool:
    return False


def _word(addon: Failing, flow: http.HTTPFlow) -> None:
    try:
        flow.response = addon.fault_response(flow)
    except Exception:
        log.exception("wording that refusal failed, too; it is answered without words")


def _count(addon: Failing, flow: http.HTTPFlow, *, refused: bool) -> None:
    try:
        addon.failed(flow, refused=refused)
    except Exception:
        log.exception("counting that failure failed, too")
