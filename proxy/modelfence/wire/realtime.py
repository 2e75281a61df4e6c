"""Realtime APIs: a websocket between client and upstream, of which every answer is judged, paid for and settled.

The handshake is judged as a call; so is each answer, whether the client asks for it or the API begins it by itself, and
each change of the model. What is refused ends the connection: an error in the API's own words, and close code 1008.

Rule: messages go on one by one, each once the one before it was taken, so that memory stays flat; every wait has a
deadline. What fails in here ends the connection, and lets nothing on. What was admitted is settled, whoever stops
waiting for it.
"""

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from modelfence.core.call import Credential, Reading, Usage
from modelfence.core.decision import Effect
from modelfence.core.dialect import Answer, MalformedRequestError, Refusal, Request
from modelfence.core.hiding import Hidden
from modelfence.core.realtime import RealtimeDialect, Session
from modelfence.core.upstream import Upstream
from modelfence.enforcement.fence import Fence
from modelfence.enforcement.ports import Judged
from modelfence.wire.apis import FAULT, NO_UPSTREAM, Apis, new_id
from modelfence.wire.first_request import ReadAgain, first_head
from modelfence.wire.grace import Grace
from modelfence.wire.handshake import SWITCHING, Handshake, Opened, accepting, answer, open_upstream
from modelfence.wire.hiding import hidden_in, hide_in_message
from modelfence.wire.websocket import FAILED, GOING_AWAY, LINGER_S, POLICY_VIOLATION, ClosedError, Websocket, hang_up

log = logging.getLogger(__name__)

OPERATION = "realtime"
IDLE_S = 900.0
"""Without a word from either side for so long a session is ended. OpenAI ends each after an hour."""
MOST_ANSWERS = 16
"""That are asked for and not ended."""
_UNREACHABLE = "The upstream API could not be reached, or its answer could not be read."


@dataclass(slots=True)
class _Answering:
    """An answer that was admitted, and what of it has passed."""

    judged: Judged
    tokens: int = 0
    name: str = ""
    """By which the API says that it does not answer it."""

    def cost(self, usage: Usage) -> Usage:
        """Return what it cost. What passed was counted; an input nobody reported is what the request was read as."""
        return Usage(output_tokens=self.tokens, estimated=True) if usage.estimated else usage


@dataclass(slots=True)
class _Talk:
    """One session."""

    upstream: Upstream
    request: Request
    session: Session
    client_ip: str
    credential: Credential
    client: Websocket
    api: Websocket
    admitted: list[_Answering] = field(default_factory=list)
    """Asked for by the client, and not begun."""
    under_way: dict[str, _Answering] = field(default_factory=dict)
    hidden: Hidden | None = None
    """What is taken out of what the API says."""


class _RefusedError(Exception):
    """What was asked for is refused; the connection ends."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Realtime:
    """Serves websockets in front of these upstreams."""

    def __init__(
        self,
        fence: Fence,
        apis: Apis,
        *,
        realtime: Mapping[str, RealtimeDialect],
        message_bytes: int,
        idle_s: float = IDLE_S,
    ) -> None:
        self._fence = fence
        self._apis = apis
        self._realtime = realtime
        self._message_bytes = message_bytes
        self._idle_s = idle_s
        self._settling: set[asyncio.Task[None]] = set()

    async def all_settled(self) -> None:
        """Wait until every call whose session has ended is settled."""
        while self._settling:
            await asyncio.wait(self._settling)

    async def first(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, head_bytes: int, grace: Grace
    ) -> ReadAgain | None:
        """Serve a connection that begins with a websocket's handshake to its end; return the reader of any other.

        Never raises, but when it is cancelled.
        """
        head, data = await first_head(reader, head_bytes=head_bytes, grace=grace)
        path = head.split(b" ", 2)[1].decode("latin-1").partition("?")[0] if head else ""
        try:
            handshake = Handshake.read(head) if head else None
            if handshake is None:
                return ReadAgain(data, reader)
            if len(data) > len(head):
                raise MalformedRequestError("Nothing may be sent before the handshake is answered.")  # noqa: TRY301
            await self._serve(handshake, reader, writer)
        except MalformedRequestError as error:
            self._apis.unjudged(NO_UPSTREAM, OPERATION, Effect.REJECT)
            answer(writer, self._apis.refusal(error.status, error.message, path))
        except Exception:
            log.exception("a realtime session ends: the fence itself failed")
            self._apis.hook_failed()
            answer(writer, self._apis.refusal(503, FAULT, path))
        await hang_up(writer)
        return None

    async def _serve(self, handshake: Handshake, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, dialect, path = self._apis.chosen(handshake.request.path)
        request = replace(handshake.request, path=path)
        known = self._realtime.get(upstream.dialect)
        session = known.session(request) if known else None
        if session is None:
            raise MalformedRequestError("No websocket is served under this path.", status=404)
        client_ip = self._apis.client_ip(writer.get_extra_info("peername")[0], request)
        credential = self._apis.credential_of(upstream, request)
        call = self._apis.call(upstream, request, session.opening(), client_ip=client_ip, credential=credential)
        judged = await self._fence.judge(call)
        if not judged.decision.admitted:
            answer(writer, dialect.refuse(self._fence.refusal(judged)))
            return
        usage, status = None, None
        opened: Opened | Answer | None = None
        try:
            opened = await open_upstream(upstream, dialect, handshake, path)
            usage, status = (None, opened.status) if isinstance(opened, Answer) else (Usage(), SWITCHING)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            log.info("the upstream `%s` opens no websocket: %s", upstream.name, error)
            answer(writer, self._apis.refusal(502, _UNREACHABLE, handshake.request.path))
        finally:
            settling = self._begin_settling(judged, usage, status=status)
        if isinstance(opened, Answer):
            answer(writer, opened)
        if opened is None or isinstance(opened, Answer):
            await asyncio.wait([settling])
            return
        api_reader, api_writer, protocol = opened
        writer.write(accepting(handshake.key, protocol))
        bounds = {"message_bytes": self._message_bytes, "idle_s": self._idle_s}
        client = Websocket(reader, writer, is_client=False, **bounds)  # type: ignore[arg-type]
        api = Websocket(api_reader, api_writer, is_client=True, **bounds)  # type: ignore[arg-type]
        await self._talk(_Talk(upstream, request, session, client_ip, credential, client, api))

    async def _talk(self, talk: _Talk) -> None:
        """Pass messages on until one side ends it, or the fence does; then settle what was under way."""
        passing = [asyncio.create_task(self._from_client(talk)), asyncio.create_task(self._from_upstream(talk))]
        code, reason = GOING_AWAY, "the fence stops"
        try:
            done, _ = await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            await _end(passing)
            failure = next(iter(done)).exception()
            match failure:
                case ClosedError():
                    code, reason = failure.code, failure.reason
                case _RefusedError():
                    code, reason = POLICY_VIOLATION, failure.refusal.message
                    await _tell(talk, failure.refusal)
                case MalformedRequestError():
                    code, reason = POLICY_VIOLATION, failure.message
                    self._apis.unjudged(NO_UPSTREAM, OPERATION, Effect.REJECT)
                    await _tell(talk, Refusal(Effect.REJECT, failure.status, failure.message, new_id()))
                case _:
                    code, reason = FAILED, "the fence itself failed"
                    log.error("a realtime session ends: the fence itself failed", exc_info=failure)
                    self._apis.hook_failed()
        except ClosedError as error:
            log.debug("the last words did not arrive: %s", error)
        finally:
            for task in passing:
                task.cancel()
            passed_on = (GOING_AWAY, "") if code in {POLICY_VIOLATION, FAILED} else (code, reason)
            closing = [talk.api.close(*passed_on), talk.client.close(code, reason)]
            # Begun before anything is waited for: the fence may stop now, and waits for it.
            settling = self._begin(self._settle_rest(talk, passing))
            await asyncio.wait([settling, *(asyncio.create_task(one) for one in closing)])

    async def _from_client(self, talk: _Talk) -> None:
        while True:
            message = await talk.client.receive()
            asked = talk.session.from_client(message)
            if asked is not None:
                judged = await self._judge(talk, asked.reading)
                if asked.is_answered:
                    talk.admitted.append(_Answering(judged, name=asked.name))
                    _refuse_too_many(talk)
                else:
                    await self._settled(judged, Usage(), status=None)
            await talk.api.send(message)

    async def _from_upstream(self, talk: _Talk) -> None:
        while True:
            message = await talk.api.receive()
            said = talk.session.from_upstream(message)
            if said.unanswered is not None and (left := _left(talk, said.unanswered)) is not None:
                await self._settled(left.judged, None, status=None)
            if said.begins and said.answer not in talk.under_way:
                # What nobody asked for, the API began by itself; it is judged before a word of it goes on.
                answering = talk.admitted.pop(0) if talk.admitted else None
                if answering is None:
                    answering = _Answering(await self._judge(talk, talk.session.unasked()))
                talk.under_way[said.answer] = answering
                _refuse_too_many(talk)
            under_way = talk.under_way.get(said.answer)
            if under_way is not None:
                under_way.tokens += said.tokens
                if said.usage is not None:
                    del talk.under_way[said.answer]
                    await self._settle(under_way, said.usage)
                elif under_way.judged.reservation.is_used_up(under_way.tokens):
                    await self._pay_step(under_way)
            shown = message if talk.hidden is None else hide_in_message(message, talk.hidden)
            if shown:
                await talk.client.send(shown)

    async def _judge(self, talk: _Talk, reading: Reading) -> Judged:
        """Return what was decided. Raises _RefusedError."""
        call = self._apis.call(
            talk.upstream, talk.request, reading, client_ip=talk.client_ip, credential=talk.credential
        )
        judged = await self._fence.judge(call)
        if not judged.decision.admitted:
            raise _RefusedError(self._fence.refusal(judged))
        hidden = self._apis.hidden.get(talk.upstream.dialect)
        talk.hidden = hidden_in(judged.decision.reshaping, reading=reading, hidden=hidden) or talk.hidden
        most = judged.decision.reshaping.cap.get("output_tokens")
        if most is not None and (reading.output_tokens is None or reading.output_tokens > most):
            # What the client says goes on as it is, so it has to say what the policy asks for.
            await self._settled(judged, None, status=None)
            message = f"Answers are limited to {most} tokens here: ask for no more with `max_output_tokens`."
            raise _RefusedError(Refusal(Effect.DENY, 403, message, call.id))
        return judged

    async def _pay_step(self, answering: _Answering) -> None:
        if not await self._fence.extend(answering.judged, answering.tokens):
            message = "The rate limit of this service is reached."
            raise _RefusedError(Refusal(Effect.THROTTLE, 429, message, answering.judged.call.id))

    async def _settle(self, answering: _Answering, usage: Usage) -> None:
        await self._settled(answering.judged, answering.cost(usage), status=SWITCHING)

    async def _settle_rest(self, talk: _Talk, passing: Sequence[asyncio.Task[None]]) -> None:
        """Settle answers that never ended. One that never began is taken for one that cost its input."""
        await asyncio.wait(passing)  # what was being paid for when they were cancelled is known only now
        left = (*talk.under_way.values(), *talk.admitted)
        for one in left:
            self._begin_settling(one.judged, one.cost(Usage(estimated=True)), status=SWITCHING)

    async def _settled(self, judged: Judged, usage: Usage | None, *, status: int | None) -> None:
        """Settle a call, to the end also when this is cancelled."""
        await asyncio.shield(self._begin_settling(judged, usage, status=status))

    def _begin_settling(self, judged: Judged, usage: Usage | None, *, status: int | None) -> asyncio.Task[None]:
        return self._begin(self._fence.settle(judged, usage, status=status))

    def _begin(self, settling: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(settling)
        self._settling.add(task)
        task.add_done_callback(self._has_settled)
        return task

    def _has_settled(self, settling: asyncio.Task[None]) -> None:
        self._settling.discard(settling)
        if not settling.cancelled() and (failure := settling.exception()) is not None:
            log.error("a call of a realtime session could not be settled: the fence itself failed", exc_info=failure)
            self._apis.hook_failed()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _left(talk: _Talk, name: str) -> _Answering | None:
    """Take what the API does not answer out of what was admitted; None when nothing there is meant."""
    for at in reversed(range(len(talk.admitted))):
        if not name or talk.admitted[at].name == name:
            return talk.admitted.pop(at)
    return None


def _refuse_too_many(talk: _Talk) -> None:
    """Raises MalformedRequestError."""
    if len(talk.admitted) + len(talk.under_way) > MOST_ANSWERS:
        raise MalformedRequestError("Too many answers were asked for at once.", status=429)


async def _tell(talk: _Talk, refusal: Refusal) -> None:
    """Tell the client of a refusal in the API's own words, where it has any. Raises ClosedError."""
    if words := talk.session.refuse(refusal):
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await talk.client.send(words)
