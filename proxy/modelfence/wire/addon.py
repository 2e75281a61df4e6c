"""mitmproxy's hooks: a request becomes a call, a decision becomes a request upstream or a refusal.

The addon works inside the guarded runner and, with less protection, under the stock runner (see `stock`). Every hook
is guarded by `fail_closed`.
"""

import asyncio
import logging
import re
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import ctx, exceptions, http
from mitmproxy.connection import Connection
from mitmproxy.net.http.http1 import expected_http_body_size

from modelfence.core.call import Call, Reading, Usage
from modelfence.core.decision import Effect
from modelfence.core.dialect import Answer, Dialect, Headers, MalformedRequestError, Request
from modelfence.core.hiding import Hidden
from modelfence.core.strict_json import parse
from modelfence.core.upstream import Upstream
from modelfence.enforcement.deadlines import Deadlines
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.ports import Judged, Passing
from modelfence.wire import fail_closed, outgoing
from modelfence.wire.apis import FAULT, NO_UPSTREAM, Apis
from modelfence.wire.bodies import check_encoding, decode, unasked_encoding
from modelfence.wire.hiding import WholeAnswer, hidden_in, hide_in_event
from modelfence.wire.meter import Meter
from modelfence.wire.sanitise import check_request, header
from modelfence.wire.whole_events import WholeEvents

log = logging.getLogger(__name__)

_LIMITS = re.compile(rb"(?:x|anthropic)-ratelimit-", re.IGNORECASE)
"""How the names of headers begin that tell what is left of a limit."""
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
    reports_usage: bool = True
    """The caller asked for a report of the usage, or gets one unasked."""
    hidden: Hidden | None = None
    """What is taken out of the answer."""
    withholds_usage: bool = False
    """The fence asked for it in place of the caller, who is not to see it."""
    client_left: bool = False
    first_byte_at: float | None = None
    meter: Meter | None = None
    is_stream: bool = False
    status: int | None = None


class FenceAddon:
    """One fence in front of its upstreams, as a mitmproxy addon."""

    def __init__(
        self,
        fence: Fence,
        apis: Apis,
        *,
        max_request_bytes: int,
        keeps_bodies: bool = False,
        hook_deadline_s: float = fail_closed.HOOK_DEADLINE_S,
    ) -> None:
        """`keeps_bodies` hands the text of each request that was read as JSON to the observers, along with its call."""
        self.hook_deadlines = Deadlines(hook_deadline_s)
        self._fence = fence
        self._apis = apis
        self._max_request_bytes = max_request_bytes
        self._keeps_bodies = keeps_bodies
        self._passages: WeakKeyDictionary[http.HTTPFlow, Passage] = WeakKeyDictionary()
        self._answered: WeakKeyDictionary[Connection, str] = WeakKeyDictionary()
        """The id of the call that was let in last on each connection, while that is the last one there."""
        self._settlements: set[asyncio.Task[None]] = set()
        """Of answers that are complete, kept from being forgotten half done."""
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
        self._answered.pop(flow.client_conn, None)
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
            await self._judge(flow, *self._apis.chosen(_path_of(flow.request)))
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
        fields = flow.response.data.headers.fields
        counts = flow.response.status_code < _FIRST_STATUS_THAT_COSTS_NOTHING
        plain = not unasked_encoding(fields)
        if counts and not plain and expected_http_body_size(flow.request, flow.response) != 0:
            flow.kill()  # what can't be counted is not passed on; the guard has answered it already
            return
        passage.status = flow.response.status_code
        operation = passage.judged.call.reading.operation
        reader = passage.dialect.usage_reader(operation, header(fields, b"content-type")) if plain else None
        events: WholeEvents | WholeAnswer | None = None
        hidden = passage.hidden if counts else None
        if reader is not None and reader.framing is not None and counts:
            withheld = passage.dialect.only_reports_usage if passage.withholds_usage else None
            shaped = None if hidden is None else partial(hide_in_event, hidden=hidden)
            events = WholeEvents(reader.framing, withheld, shaped=shaped)
            _free_of_length(flow)
            passage.is_stream = True
        elif hidden is not None:
            events = WholeAnswer(hidden)
            _free_of_length(flow)
        if not counts:
            # A client that follows a redirect calls somebody else, past the fence, and tells him its key.
            flow.response.headers.pop("location", None)
        _tell_limits(flow.response, passage.dialect.limits(passage.judged.taken.balances))
        passage.meter = Meter(reader, counts=counts, events=events, hides=hidden is not None)
        flow.response.stream = passage.meter
        passage.first_byte_at = time.monotonic()
        for observer in self._apis.observers:
            observer.answer_began()

    @fail_closed.ends_at_once
    def next_step(self, flow: http.HTTPFlow) -> Coroutine[Any, Any, bool] | None:
        """Return what pays for the next step of a stream, or None while it needs none."""
        passage = self._passages.get(flow)
        if passage is None or not passage.is_stream or passage.meter is None:
            return None
        if passage.meter.has_ended:
            return None  # nothing more is to come that could be paid
        is_used_up = passage.judged.reservation.is_used_up(passage.meter.output_tokens)
        return self._pay_step(flow) if is_used_up else None

    @fail_closed.ends
    async def _pay_step(self, flow: http.HTTPFlow) -> bool:
        passage = self._passages[flow]
        assert passage.meter is not None  # noqa: S101 - what has no meter has no steps
        return await self._fence.extend(passage.judged, passage.meter.output_tokens)

    def is_stream(self, flow: http.HTTPFlow) -> bool:
        """Say whether what passes is a stream, which can be ended between two of its events."""
        passage = self._passages.get(flow)
        return passage is not None and passage.is_stream

    def end_stream(self, flow: http.HTTPFlow) -> None:
        """Let a stream end with the API's own words, short of what the upstream still has to say."""
        passage = self._passages.get(flow)
        if passage is not None and passage.meter is not None:
            input_tokens = passage.judged.call.reading.least_input_tokens
            passage.meter.end_here(with_usage=passage.reports_usage, input_tokens=input_tokens)

    def client_left(self, flow: http.HTTPFlow) -> None:
        """Remember that it was the client who ended this: what was sent to the upstream in vain is not given back."""
        passage = self._passages.get(flow)
        if passage is not None:
            passage.client_left = True

    @fail_closed.lets_go
    def awaits_usage(self, flow: http.HTTPFlow) -> bool:
        """Say whether what is still to come of an answer may tell what it cost."""
        passage = self._passages.get(flow)
        return passage is not None and passage.meter is not None and passage.meter.awaits_usage

    def response(self, flow: http.HTTPFlow) -> None:
        """Settle a call whose answer is complete: once its last piece has left, and before what comes next."""
        if flow not in self._passages:  # the fence's own answer: a flood of refusals makes no tasks
            return
        settling = asyncio.Task(self._answered_in_full(flow), loop=asyncio.get_running_loop())
        self._settlements.add(settling)
        settling.add_done_callback(self._settlements.discard)

    @fail_closed.counts
    async def _answered_in_full(self, flow: http.HTTPFlow) -> None:
        await self._settle(flow)

    @fail_closed.counts
    async def error(self, flow: http.HTTPFlow) -> None:
        """Settle a call that ended early: the client left, or the upstream failed."""
        await self._settle(flow)

    def failed(self, flow: http.HTTPFlow, *, refused: bool) -> None:
        """Count a failure of the fence itself."""
        self._apis.hook_failed()
        if refused and flow not in self._passages:
            self._apis.unjudged(NO_UPSTREAM, "unknown", Effect.ERROR)

    async def settle_failed(self, flow: http.HTTPFlow) -> None:
        """Settle a call that was admitted and is refused after all."""
        await self._settle(flow)

    def fault_response(self, flow: http.HTTPFlow) -> http.Response:
        """Return the 503 for a failure of the fence itself."""
        return self._refusal(503, FAULT, flow.request.path)

    def refuse(self, status: int, message: str, target: str, client: Connection | None = None) -> http.Response:
        """Return a refusal for what never became a call, or for a call whose upstream failed; count the former.

        The latter has the call's own id: it is what a caller complains with, and what the audit log knows.
        """
        call_id = None
        if status < _FIRST_STATUS_OF_OURS:
            self._apis.unjudged(NO_UPSTREAM, "unknown", Effect.REJECT)
        elif client is not None:
            call_id = self._answered.get(client)
        return self._refusal(status, message, target, call_id)

    def connection_cut(self, reason: str) -> None:
        """Count a connection that was refused or cut for the limit of that name."""
        try:
            for observer in self._apis.observers:
                observer.connection_cut(reason)
        except Exception:
            log.exception("counting a connection that was cut failed")

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

    async def _judge(self, flow: http.HTTPFlow, upstream: Upstream, dialect: Dialect, path: str) -> None:
        started = time.monotonic()
        request = self._read(flow, dialect, path)
        judged = await self._fence.judge(self._call(flow, upstream, request, dialect.read(request)))
        if not judged.decision.admitted:
            flow.response = _response(dialect.refuse(self._fence.refusal(judged)))
            return
        self._answered[flow.client_conn] = judged.call.id
        # From here on what was reserved is settled, whatever comes.
        passage = self._passages[flow] = Passage(judged, dialect, sent_at=started)
        reshaping = judged.decision.reshaping
        passage.hidden = hidden_in(
            reshaping, reading=judged.call.reading, hidden=self._apis.hidden.get(upstream.dialect)
        )
        unasked = outgoing.address(flow.request, upstream, dialect, request=request, reshaping=reshaping)
        passage.reports_usage, passage.withholds_usage = not unasked, unasked and upstream.stream_usage
        passage.sent_at = time.monotonic()
        passage.overhead_s = passage.sent_at - started

    def _read(self, flow: http.HTTPFlow, dialect: Dialect, path: str) -> Request:
        fields = flow.request.data.headers.fields
        headers = [(name.decode("ascii").lower(), value.decode("latin-1")) for name, value in fields]
        encoding = header(fields, b"content-encoding")
        body = decode(flow.request.raw_content or b"", encoding, max_bytes=self._max_request_bytes)
        known = dialect.operation(flow.request.method, path) != "unknown"
        # A form is for the dialect to read. One that reads JSON refuses it, for then there is none.
        is_form = header(fields, b"content-type").strip().lower().startswith("multipart/form-data")
        json = parse(body) if known and body and not is_form else None
        query = flow.request.path.partition("?")[2]
        return Request(flow.request.method, path, headers, body, json, query)

    def _call(self, flow: http.HTTPFlow, upstream: Upstream, request: Request, reading: Reading) -> Call:
        return self._apis.call(
            upstream,
            request,
            reading,
            client_ip=self._apis.client_ip(flow.client_conn.peername[0], request),
            credential=self._apis.credential_of(upstream, request),
            body=request.body if self._keeps_bodies and request.json is not None else None,
        )

    def _reject(self, flow: http.HTTPFlow, error: MalformedRequestError) -> http.Response:
        try:
            upstream, dialect, path = self._apis.chosen(_path_of(flow.request))
            provider, operation = upstream.name, dialect.operation(flow.request.method, path)
        except MalformedRequestError:
            provider, operation = NO_UPSTREAM, "unknown"
        self._apis.unjudged(provider, operation, Effect.REJECT)
        return self._refusal(error.status, error.message, flow.request.path)

    def _refusal(self, status: int, message: str, target: str, call_id: str | None = None) -> http.Response:
        return _response(self._apis.refusal(status, message, target.partition("?")[0], call_id))

    async def _settle(self, flow: http.HTTPFlow) -> None:
        passage = self._passages.pop(flow, None)
        if passage is None:
            return
        self._settling += 1
        try:
            await self._fence.settle(passage.judged, _used(passage), status=passage.status)
            now, sent_at, first = time.monotonic(), passage.sent_at, passage.first_byte_at
            passing = Passing(passage.overhead_s, now - sent_at, None if first is None else first - sent_at)
            for observer in self._apis.observers:
                observer.passed(passage.judged.call.provider, passing)
        finally:
            self._settling -= 1
            self._changed.set()


def _used(passage: Passage) -> Usage | None:
    if passage.meter is not None:
        return passage.meter.usage()
    # The upstream has read the request, and answers it to nobody.
    return Usage(estimated=True) if passage.client_left else None


def _free_of_length(flow: http.HTTPFlow) -> None:
    """Let a stream be shorter than its upstream said, or end otherwise, and be seen to break off where it does."""
    response = flow.response
    if response is None or not (expected_http_body_size(flow.request, response) or 0) > 0:
        return
    del response.headers["content-length"]
    if response.data.http_version.startswith(b"HTTP/1."):  # the others, which the stock runner speaks, know no chunks
        response.headers["transfer-encoding"] = "chunked"


def _tell_limits(response: http.Response, limits: Headers) -> None:
    """Put these headers in place of the upstream's, whose limits are the operator's business.

    All at once: setting one by one in mitmproxy's headers copies all of them each time.
    """
    if not limits:
        return
    told = [(name.encode(), value.encode()) for name, value in limits]
    headers = response.data.headers
    headers.fields = (*(field for field in headers.fields if not _LIMITS.match(field[0])), *told)


def _path_of(request: http.Request) -> str:
    return request.path.partition("?")[0]


def _response(answer: Answer) -> http.Response:
    headers = http.Headers([(name.encode(), value.encode()) for name, value in answer.headers])
    return http.Response.make(answer.status, answer.body, headers)
