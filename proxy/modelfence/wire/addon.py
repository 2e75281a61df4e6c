"""mitmproxy's hooks: a request becomes a call, a decision becomes a request upstream or a refusal.

The addon works inside the guarded runner and, with less protection, under the stock runner. Every hook runs under
`fail_closed`: mitmproxy logs a hook's exception and forwards the request, and a fence must not.
"""

import asyncio
import functools
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from mitmproxy import ctx, exceptions, http

from modelfence.core.call import Call, Reading
from modelfence.core.client_address import Network, client_address
from modelfence.core.decision import Effect
from modelfence.core.dialect import CREDENTIAL_HEADERS, Answer, Dialect, MalformedRequestError, Refusal, Request
from modelfence.core.strict_json import parse
from modelfence.core.upstream import Upstream, choose
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.ports import Judged, Observer, Passing
from modelfence.wire.bodies import check_encoding, decode
from modelfence.wire.meter import Meter
from modelfence.wire.sanitise import check_request, passed_on

log = logging.getLogger(__name__)

HOOK_DEADLINE_S = 5.0
"""The longest a hook may take: while one waits, mitmproxy's own watchdog is off. Ports have shorter ones."""
_NO_UPSTREAM = "none"
_FAULT = "The service can't check this request right now; try again shortly."
_FIRST_STATUS_THAT_COSTS_NOTHING = 300
_CREDENTIALS = frozenset(name.encode() for name in CREDENTIAL_HEADERS)
_METHODS_WITH_BODY = ("POST", "PUT", "PATCH")


@dataclass(slots=True)
class Passage:
    """What the addon knows of one admitted call while it passes."""

    judged: Judged
    dialect: Dialect
    overhead_s: float
    sent_at: float
    """Monotonic seconds at which the request left for the upstream."""
    first_byte_at: float | None = None
    meter: Meter | None = None
    status: int | None = None


type Hook = Callable[["FenceAddon", http.HTTPFlow], Awaitable[None]]


def fail_closed(hook: Hook) -> Hook:
    """Answer 503 when a hook raises or takes too long, and end the flow when its answer has begun."""

    @functools.wraps(hook)
    async def guarded(self: "FenceAddon", flow: http.HTTPFlow) -> None:
        try:
            async with asyncio.timeout(HOOK_DEADLINE_S):
                await hook(self, flow)
        except Exception:
            log.exception("the fence itself failed in %s; the call is refused", hook.__name__)
            self.fault(flow, answer_begun=hook.__name__ not in ("requestheaders", "request"))

    return guarded


class FenceAddon:
    """One fence in front of its upstreams, as a mitmproxy addon."""

    def __init__(  # noqa: PLR0913 - what the wire needs, by keyword
        self,
        fence: Fence,
        *,
        upstreams: Sequence[Upstream],
        dialects: Mapping[str, Dialect],
        trusted_proxies: Sequence[Network],
        max_request_bytes: int,
        observers: Sequence[Observer],
        clock_us: Callable[[], int],
    ) -> None:
        self._fence = fence
        self._upstreams = upstreams
        self._dialects = dialects
        self._trusted_proxies = trusted_proxies
        self._max_request_bytes = max_request_bytes
        self._observers = observers
        self._clock_us = clock_us
        self._passages: WeakKeyDictionary[http.HTTPFlow, Passage] = WeakKeyDictionary()
        self._time_in_hooks: WeakKeyDictionary[http.HTTPFlow, float] = WeakKeyDictionary()

    def configure(self, _updated: set[str]) -> None:
        """Refuse options under which requests would leave before they are judged."""
        if ctx.options.stream_large_bodies is not None:
            message = "modelfence can't run with stream_large_bodies: bodies would leave before they are judged"
            raise exceptions.OptionsError(message)

    @fail_closed
    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Refuse what is malformed or too large before its body has been read."""
        if flow.error:
            return  # mitmproxy has refused it already
        started = time.monotonic()
        try:
            self._check_head(flow.request)
        except MalformedRequestError as error:
            flow.response = self._reject(flow, error)
        self._time_in_hooks[flow] = time.monotonic() - started

    @fail_closed
    async def request(self, flow: http.HTTPFlow) -> None:
        """Judge the call; let it through or refuse it."""
        if flow.response or flow.error:
            return
        started = time.monotonic()
        try:
            chosen = choose(self._upstreams, flow.request.path.partition("?")[0])
            if chosen is None:
                raise MalformedRequestError("Nothing is served under this path.", status=404)  # noqa: TRY301
            await self._judge(flow, *chosen, started)
        except MalformedRequestError as error:
            flow.response = self._reject(flow, error)

    @fail_closed
    async def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Let the answer stream through, counted on the way. The fence's own refusals come by here, too."""
        passage = self._passages.get(flow)
        if passage is None or flow.response is None:
            return
        passage.status = flow.response.status_code
        passage.first_byte_at = time.monotonic()
        plain = flow.response.headers.get("content-encoding", "identity").lower() == "identity"
        operation = passage.judged.call.reading.operation
        reader = passage.dialect.usage_reader(operation, flow.response.headers.get("content-type", ""))
        passage.meter = Meter(reader if plain else None, counts=passage.status < _FIRST_STATUS_THAT_COSTS_NOTHING)
        for observer in self._observers:
            observer.answer_began()
        flow.response.stream = passage.meter

    @fail_closed
    async def response(self, flow: http.HTTPFlow) -> None:
        """Settle a call whose answer is complete."""
        await self._settle(flow)

    @fail_closed
    async def error(self, flow: http.HTTPFlow) -> None:
        """Settle a call that ended early: the client left, or the upstream failed."""
        await self._settle(flow)

    def fault(self, flow: http.HTTPFlow, *, answer_begun: bool) -> None:
        """Refuse a call because the fence itself failed."""
        for observer in self._observers:
            observer.hook_failed()
        if answer_begun:
            if flow.killable:
                flow.kill()
            return
        self._passages.pop(flow, None)
        for observer in self._observers:
            observer.unjudged(_NO_UPSTREAM, "unknown", Effect.ERROR)
        flow.response = self.refuse_with(503, _FAULT)

    def refusal_before_reading(self, status: int, message: str) -> http.Response:
        """Return a refusal for what could not even be read as a request, and count it."""
        effect = Effect.ERROR if status >= 500 else Effect.REJECT  # noqa: PLR2004
        for observer in self._observers:
            observer.unjudged(_NO_UPSTREAM, "unknown", effect)
        return self.refuse_with(status, message)

    def refuse_with(self, status: int, message: str) -> http.Response:
        """Return a refusal in the shape of the first upstream's API."""
        dialect = self._dialects[self._upstreams[0].dialect]
        effect = Effect.ERROR if status >= 500 else Effect.REJECT  # noqa: PLR2004
        return _response(dialect.refuse(Refusal(effect, status, message, new_id())))

    def _check_head(self, request: http.Request) -> None:
        data = request.data
        check_request(data.method, data.path, data.headers.fields)
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_request_bytes:
            raise MalformedRequestError("The body is too large.", status=413)
        check_encoding(request.headers.get("content-encoding", ""))

    async def _judge(self, flow: http.HTTPFlow, upstream: Upstream, path: str, started: float) -> None:
        dialect = self._dialects[upstream.dialect]
        request = self._read(flow, dialect, path)
        call = self._call(flow, upstream, request, dialect.read(request))
        judged = await self._fence.judge(call)
        if not judged.decision.admitted:
            flow.response = _response(dialect.refuse(self._fence.refusal(judged)))
            return
        self._send_up(flow, upstream, dialect, request, judged)
        now = time.monotonic()
        overhead_s = now - started + self._time_in_hooks.pop(flow, 0.0)
        self._passages[flow] = Passage(judged, dialect, overhead_s, sent_at=now)

    def _read(self, flow: http.HTTPFlow, dialect: Dialect, path: str) -> Request:
        fields = flow.request.data.headers.fields
        headers = [(name.decode("ascii").lower(), value.decode("latin-1")) for name, value in fields]
        encoding = flow.request.headers.get("content-encoding", "")
        body = decode(flow.request.raw_content or b"", encoding, max_bytes=self._max_request_bytes)
        known = dialect.operation(flow.request.method, path) != "unknown"
        return Request(flow.request.method, path, headers, body, parse(body) if known and body else None)

    def _call(self, flow: http.HTTPFlow, upstream: Upstream, request: Request, reading: Reading) -> Call:
        peer = flow.client_conn.peername
        forwarded_for = [value for name, value in request.headers if name == "x-forwarded-for"]
        return Call(
            id=new_id(),
            at_us=self._clock_us(),
            client_ip=client_address(peer[0], forwarded_for, self._trusted_proxies),
            credential=self._dialects[upstream.dialect].credential(request.headers),
            provider=upstream.name,
            method=request.method,
            path=request.path,
            bytes=len(request.body),
            reading=reading,
            max_output_tokens=upstream.max_output_tokens,
        )

    def _send_up(
        self, flow: http.HTTPFlow, upstream: Upstream, dialect: Dialect, request: Request, judged: Judged
    ) -> None:
        """Turn the caller's request into the one that the upstream is to read."""
        body = request.body
        if judged.decision.reshaping:
            body = json.dumps(dialect.reshape(request, judged.decision.reshaping), ensure_ascii=False).encode()
        fields = passed_on(flow.request.data.headers.fields)
        if upstream.secret is not None:
            name, value = dialect.credential_header(upstream.secret)
            fields = [field for field in fields if field[0].lower() not in _CREDENTIALS]
            fields.append((name.encode(), value.encode()))
        skipped = (b"host", b"content-length", b"content-encoding", b"accept-encoding")
        headers = http.Headers([(name, value) for name, value in fields if name.lower() not in skipped])
        headers.insert(0, "host", upstream.authority)
        # Counting reads the answer as it passes, so it is asked for without compression.
        headers["accept-encoding"] = "identity"
        if body or flow.request.method in _METHODS_WITH_BODY:
            # Always stated: an HTTP/2 body without a length would reach an HTTP/1 upstream with no framing at all.
            headers["content-length"] = str(len(body))
        query = flow.request.path.partition("?")[1:]
        flow.request.data.path = (upstream.base_path + request.path + "".join(query)).encode("ascii")
        flow.request.headers = headers
        flow.request.raw_content = body
        flow.request.trailers = None
        flow.request.scheme, flow.request.host, flow.request.port = upstream.scheme, upstream.host, upstream.port

    def _reject(self, flow: http.HTTPFlow, error: MalformedRequestError) -> http.Response:
        chosen = choose(self._upstreams, flow.request.path.partition("?")[0])
        upstream, path = chosen or (self._upstreams[0], "")
        dialect = self._dialects[upstream.dialect]
        operation = dialect.operation(flow.request.method, path)
        for observer in self._observers:
            observer.unjudged(upstream.name if chosen else _NO_UPSTREAM, operation, Effect.REJECT)
        return _response(dialect.refuse(Refusal(Effect.REJECT, error.status, error.message, new_id())))

    async def _settle(self, flow: http.HTTPFlow) -> None:
        passage = self._passages.pop(flow, None)
        if passage is None:
            return
        now = time.monotonic()
        first = passage.first_byte_at
        passing = Passing(passage.overhead_s, now - passage.sent_at, None if first is None else first - passage.sent_at)
        for observer in self._observers:
            observer.passed(passage.judged.call.provider, passing)
        usage = passage.meter.usage() if passage.meter else None
        await self._fence.settle(passage.judged, usage, status=passage.status)


def new_id() -> str:
    """Return a fresh decision id: 16 random bytes in hexadecimal."""
    return secrets.token_hex(16)


def _response(answer: Answer) -> http.Response:
    headers = http.Headers([(name.encode(), value.encode()) for name, value in answer.headers])
    return http.Response.make(answer.status, answer.body, headers)
