"""mitmproxy's hooks: a request becomes a call, a decision becomes a request upstream or a refusal.

The addon works inside the guarded runner and, with less protection, under the stock runner (see `stock`). Every hook
is guarded by `fail_closed`.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from mitmproxy import ctx, exceptions, http

from modelfence.core.call import Call, Reading
from modelfence.core.client_address import Network, client_address
from modelfence.core.decision import Effect
from modelfence.core.dialect import Answer, Dialect, MalformedRequestError, Refusal, Request
from modelfence.core.strict_json import parse
from modelfence.core.upstream import Upstream, choose
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.ports import Judged, Observer, Passing
from modelfence.wire import fail_closed, outgoing
from modelfence.wire.bodies import check_encoding, decode
from modelfence.wire.meter import Meter
from modelfence.wire.sanitise import check_request, header
from modelfence.wire.withholding import Withholding

_NO_UPSTREAM = "none"
_FAULT = "The service can't check this request right now; try again shortly."
_FIRST_FINAL_STATUS = 200
_FIRST_STATUS_THAT_COSTS_NOTHING = 300
_FIRST_STATUS_OF_OURS = 500


@dataclass(slots=True)
class Passage:
    """What the addon knows of one admitted call while it passes."""

    judged: Judged
    dialect: Dialect
    sent_at: float
    """Monotonic seconds at which the request left for the upstream."""
    overhead_s: float = 0.0
    usage_asked: bool = False
    """The fence asked for usage on the caller's behalf, who is not to see it."""
    first_byte_at: float | None = None
    meter: Meter | None = None
    status: int | None = None


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
        hook_deadline_s: float = fail_closed.HOOK_DEADLINE_S,
    ) -> None:
        self.hook_deadline_s = hook_deadline_s
        self._fence = fence
        self._upstreams = upstreams
        self._dialects = dialects
        self._trusted_proxies = trusted_proxies
        self._max_request_bytes = max_request_bytes
        self._observers = observers
        self._clock_us = clock_us
        self._passages: WeakKeyDictionary[http.HTTPFlow, Passage] = WeakKeyDictionary()
        self._settling = 0
        self._changed = asyncio.Event()

    def configure(self, _updated: set[str]) -> None:
        """Refuse options under which requests would leave before they are judged."""
        if ctx.options.stream_large_bodies is not None:
            message = "modelfence can't run with stream_large_bodies: bodies would leave before they are judged"
            raise exceptions.OptionsError(message)

    @fail_closed.refuses_at_once
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Refuse what is malformed or too large before its body has been read."""
        if flow.error:
            return  # mitmproxy has refused it already
        try:
            self._check_head(flow.request)
        except MalformedRequestError as error:
            flow.response = self._reject(flow, error)

    @fail_closed.refuses
    async def request(self, flow: http.HTTPFlow) -> None:
        """Judge the call; let it through or refuse it."""
        if flow.response or flow.error:
            return
        try:
            chosen = choose(self._upstreams, _path_of(flow.request))
            if chosen is None:
                raise MalformedRequestError("Nothing is served under this path.", status=404)  # noqa: TRY301
            await self._judge(flow, *chosen)
        except MalformedRequestError as error:
            flow.response = self._reject(flow, error)

    @fail_closed.cuts
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Let the answer stream through, counted on the way. The fence's own refusals come by here, too."""
        passage = self._passages.get(flow)
        if passage is None or flow.response is None:
            return
        if flow.response.status_code < _FIRST_FINAL_STATUS:
            flow.kill()  # nobody asked to switch protocols, and what follows could not be counted
            return
        passage.status = flow.response.status_code
        fields = flow.response.data.headers.fields
        plain = header(fields, b"content-encoding").lower() in ("", "identity")
        operation = passage.judged.call.reading.operation
        reader = passage.dialect.usage_reader(operation, header(fields, b"content-type"))
        counts = passage.status < _FIRST_STATUS_THAT_COSTS_NOTHING
        withholding = Withholding(passage.dialect.only_reports_usage) if passage.usage_asked and plain else None
        if withholding is not None:
            flow.response.headers.pop("content-length", None)  # it will be less
        passage.meter = Meter(reader if plain else None, counts=counts, withholding=withholding)
        flow.response.stream = passage.meter
        passage.first_byte_at = time.monotonic()
        for observer in self._observers:
            observer.answer_began()

    @fail_closed.counts
    async def response(self, flow: http.HTTPFlow) -> None:
        """Settle a call whose answer is complete."""
        await self._settle(flow)

    @fail_closed.counts
    async def error(self, flow: http.HTTPFlow) -> None:
        """Settle a call that ended early: the client left, or the upstream failed."""
        await self._settle(flow)

    def failed(self, flow: http.HTTPFlow, *, refused: bool) -> None:
        """Count a failure of the fence itself."""
        for observer in self._observers:
            observer.hook_failed()
        if refused and flow not in self._passages:
            self._unjudged(_NO_UPSTREAM, "unknown", Effect.ERROR)

    async def settle_failed(self, flow: http.HTTPFlow) -> None:
        """Settle a call that was admitted and is refused after all."""
        await self._settle(flow)

    def fault_response(self, flow: http.HTTPFlow) -> http.Response:
        """Return the 503 for a failure of the fence itself."""
        return self._refusal(503, _FAULT, flow.request.path)

    def refuse(self, status: int, message: str, target: str) -> http.Response:
        """Return a refusal for what never became a call, or for a call whose upstream failed; count the former."""
        if status < _FIRST_STATUS_OF_OURS:
            self._unjudged(_NO_UPSTREAM, "unknown", Effect.REJECT)
        return self._refusal(status, message, target)

    async def all_settled(self) -> None:
        """Wait until every admitted call has been settled."""
        while self._passages or self._settling:
            self._changed.clear()
            await self._changed.wait()

    def _check_head(self, request: http.Request) -> None:
        data = request.data
        check_request(data.method, data.path, data.headers.fields)
        length = header(data.headers.fields, b"content-length")
        if length.isdecimal() and int(length) > self._max_request_bytes:
            raise MalformedRequestError("The body is too large.", status=413)
        check_encoding(header(data.headers.fields, b"content-encoding"))

    async def _judge(self, flow: http.HTTPFlow, upstream: Upstream, path: str) -> None:
        started = time.monotonic()
        dialect = self._dialects[upstream.dialect]
        request = self._read(flow, dialect, path)
        judged = await self._fence.judge(self._call(flow, upstream, request, dialect.read(request)))
        if not judged.decision.admitted:
            flow.response = _response(dialect.refuse(self._fence.refusal(judged)))
            return
        # From here on what was reserved is settled, whatever comes.
        passage = self._passages[flow] = Passage(judged, dialect, sent_at=started)
        reshaping = judged.decision.reshaping
        passage.usage_asked = outgoing.address(flow.request, upstream, dialect, request=request, reshaping=reshaping)
        passage.sent_at = time.monotonic()
        passage.overhead_s = passage.sent_at - started

    def _read(self, flow: http.HTTPFlow, dialect: Dialect, path: str) -> Request:
        fields = flow.request.data.headers.fields
        headers = [(name.decode("ascii").lower(), value.decode("latin-1")) for name, value in fields]
        encoding = header(fields, b"content-encoding")
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

    def _reject(self, flow: http.HTTPFlow, error: MalformedRequestError) -> http.Response:
        chosen = choose(self._upstreams, _path_of(flow.request))
        upstream, path = chosen or (self._upstreams[0], "")
        operation = self._dialects[upstream.dialect].operation(flow.request.method, path)
        self._unjudged(upstream.name if chosen else _NO_UPSTREAM, operation, Effect.REJECT)
        return self._refusal(error.status, error.message, flow.request.path)

    def _refusal(self, status: int, message: str, target: str) -> http.Response:
        """Return a refusal in the shape of the API that the target is for, or else the first."""
        chosen = choose(self._upstreams, target.partition("?")[0])
        dialect = self._dialects[(chosen[0] if chosen else self._upstreams[0]).dialect]
        effect = Effect.REJECT if status < _FIRST_STATUS_OF_OURS else Effect.ERROR
        return _response(dialect.refuse(Refusal(effect, status, message, new_id())))

    def _unjudged(self, provider: str, operation: str, effect: Effect) -> None:
        for observer in self._observers:
            observer.unjudged(provider, operation, effect)

    async def _settle(self, flow: http.HTTPFlow) -> None:
        passage = self._passages.pop(flow, None)
        if passage is None:
            return
        self._settling += 1
        try:
            await self._fence.settle(
                passage.judged, passage.meter.usage() if passage.meter else None, status=passage.status
            )
            now, sent_at, first = time.monotonic(), passage.sent_at, passage.first_byte_at
            passing = Passing(passage.overhead_s, now - sent_at, None if first is None else first - sent_at)
            for observer in self._observers:
                observer.passed(passage.judged.call.provider, passing)
        finally:
            self._settling -= 1
            self._changed.set()


def new_id() -> str:
    """Return a fresh decision id: 16 random bytes in hexadecimal."""
    return secrets.token_hex(16)


def _path_of(request: http.Request) -> str:
    return request.path.partition("?")[0]


def _response(answer: Answer) -> http.Response:
    headers = http.Headers([(name.encode(), value.encode()) for name, value in answer.headers])
    return http.Response.make(answer.status, answer.body, headers)
