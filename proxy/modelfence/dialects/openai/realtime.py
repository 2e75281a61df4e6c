"""OpenAI's realtime API over a websocket.

After OpenAI's API reference, "Realtime": the model is named in the handshake's query, and may be changed by
`session.update` before the first answer; what holds meanwhile: `openai.realtime_settings`. An answer is asked for by
`response.create`, or begun by the API itself when a speaker falls silent; `response.done` tells what it cost.

Rule: a message that the fence can't read does not go on; nothing the upstream says raises.
"""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from modelfence.core.call import Reading, Usage
from modelfence.core.dialect import Json, MalformedRequestError, Refusal, Request
from modelfence.core.extraction import Prompt
from modelfence.core.realtime import Asked, Said
from modelfence.core.strict_json import parse
from modelfence.dialects.openai.realtime_settings import LIMITS, SettingsOfSession
from modelfence.dialects.shared.counting import Tally, count_in, size_of_media
from modelfence.dialects.shared.fields import Body, array, integer, mapping, model, refuse_other_cases, string
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.refusing import message_of
from modelfence.dialects.shared.tokens import size_of, size_of_json, tokens_in, tokens_in_delta

PATH = "/v1/realtime"
MAX_ITEMS = 32
"""Texts of the conversation that are remembered for the fingerprint of a prompt."""
_PROTOCOL = "sec-websocket-protocol"
_PROTOCOLS = {"realtime", "openai-beta.realtime-v1"}
_NO_LIMIT = "inf"
_SPEAKS_ALREADY = "conversation_already_has_active_response"
"""The error that answers a client who asks for an answer while one is given."""
_READ = ("type", "session", "response", "item", "audio", "model")
_AUDIO_DELTAS = ("response.audio.delta", "response.output_audio.delta")


class OpenAIRealtime:
    """Realtime sessions of the dialect `openai`."""

    def session(self, request: Request) -> "OpenAISession | None":
        """Return what follows a handshake, None when no websocket is known there."""
        if (request.method, request.path) != ("GET", PATH):
            return None
        protocols = {one.strip() for name, value in request.headers if name == _PROTOCOL for one in value.split(",")}
        if not protocols <= _PROTOCOLS:
            # Some name a key there, which may be another than the one that is judged.
            raise MalformedRequestError("The subprotocols of this service are: realtime.")
        given = parameters(request.query, ("model", "intent", "call_id"))
        if "call_id" in given or "intent" in given:
            raise MalformedRequestError("Only sessions that name their model are supported by this service.")
        return OpenAISession(model({"model": given.get("model")}))


class OpenAISession:
    """One connection."""

    def __init__(self, name: str) -> None:
        self._model = name
        """As it was asked for last."""
        self._settings = SettingsOfSession(name)
        self._instructions = ""
        self._instructions_size = 0
        self._heard: deque[str] = deque(maxlen=MAX_ITEMS)
        self._size = 0
        """Bytes of the conversation so far, all of which is input of every answer."""

    def opening(self) -> Reading:
        """Return what the handshake asks for."""
        return Reading("realtime", model=self._model, stream=True, output_tokens=0)

    def unasked(self) -> Reading:
        """Return what an answer asks for that the API begins by itself."""
        return self._answer({})

    def from_client(self, message: str | bytes) -> Asked | None:
        """Take a message of the client; return what has to be judged, if anything. Raises MalformedRequestError."""
        if isinstance(message, bytes):
            raise MalformedRequestError("Messages of this API are texts.")
        body = parse(message.encode())
        if not isinstance(body, dict):
            raise MalformedRequestError("A message must be a JSON object.")
        refuse_other_cases(body, _READ)
        match string(body, "type"):
            case "session.update":
                return self._update(mapping(body, "session") or {})
            case "response.create":
                reading = self._answer(mapping(body, "response") or {})
                return Asked(reading, is_answered=True, name=string(body, "event_id") or "")
            case "conversation.item.create":
                self._take(mapping(body, "item") or {})
            case "input_audio_buffer.append":
                self._size += size_of_media(len(string(body, "audio") or ""))
            case None:
                raise MalformedRequestError("A message must have a type.")
        return None

    def from_upstream(self, message: str | bytes) -> Said:
        """Take a message of the upstream. Never raises."""
        try:
            body = json.loads(message)
        except (ValueError, RecursionError):
            return Said()
        kind = body.get("type") if isinstance(body, dict) else None
        if kind == "session.updated":
            self._settings.granted(session if isinstance(session := body.get("session"), dict) else {})
        if kind == "error":
            return Said(unanswered=_unanswered(body.get("error")))
        return _said(kind, body) if isinstance(kind, str) and kind.startswith("response.") else Said()

    def refuse(self, refusal: Refusal) -> str:
        """Return the API's own message that something went wrong."""
        kind = "rate_limit_error" if refusal.status == 429 else "invalid_request_error"  # noqa: PLR2004
        code = "rate_limit_exceeded" if refusal.status == 429 else "request_forbidden"  # noqa: PLR2004
        error = {"type": kind, "code": code, "message": message_of(refusal), "param": None, "event_id": None}
        return json.dumps({"type": "error", "event_id": f"event_{refusal.call_id}", "error": error})

    def _update(self, session: Body) -> Asked | None:
        refuse_other_cases(session, ("model", "instructions", "tools", *LIMITS))
        asked = self._settings.last_asked
        if any(name in session for name in LIMITS):
            asked = replace(asked, limit=_limit(session))
        if "tools" in session:
            asked = replace(asked, tools=len(array(session, "tools")))
            self._size += size_of_json(session["tools"])
        if "instructions" in session:
            self._instructions = string(session, "instructions") or ""
            self._instructions_size = size_of(self._instructions)
        named = self._model if session.get("model") is None else model(session)
        self._settings.ask(replace(asked, model=named))
        if named == self._model:
            return None
        self._model = named
        return Asked(self.opening(), is_answered=False)

    def _take(self, item: Body) -> None:
        self._size += size_of_json(cast("Json", {**item, "content": None}))
        for part in array(item, "content"):
            if not isinstance(part, dict):
                raise MalformedRequestError("Invalid type for 'item.content': expected an array of objects.")
            text = part.get("text")
            self._size += size_of_media(size_of_json(part)) if "audio" in part else size_of_json(part)
            if isinstance(text, str) and item.get("role") != "assistant":
                self._heard.append(text)

    def _answer(self, response: Body) -> Reading:
        refuse_other_cases(response, ("instructions", "tools", "input", *LIMITS))
        for item in array(response, "input"):
            if isinstance(item, dict):
                self._take(item)
        instructions = string(response, "instructions") or ""
        size = self._size + self._instructions_size + size_of(instructions)
        tools, settings = array(response, "tools"), self._settings.possible
        reading = Reading(
            "realtime",
            model=settings.model,
            stream=True,
            tools=len(tools) or settings.tools,
            input_tokens=tokens_in(size + (size_of_json(cast("Json", tools)) if tools else 0)),
            output_tokens=_limit(response) if any(name in response for name in LIMITS) else settings.limit,
        )
        system = tuple(text for text in (self._instructions, instructions) if text)
        return replace(reading, prompt=Prompt(system, tuple(self._heard)))


def _limit(body: Body) -> int | None:
    """Return the most tokens that an answer may have; None where there is no limit."""
    limits: list[int] = []
    for name in LIMITS:
        if body.get(name) == _NO_LIMIT:
            return None
        if (limit := integer(body, name, least=1)) is not None:
            limits.append(limit)
    return max(limits, default=None)


def _said(kind: str, body: Mapping[str, object]) -> Said:
    """Return what an event of an answer tells."""
    response = body.get("response")
    if isinstance(response, dict) and isinstance(name := response.get("id"), str):
        if kind == "response.done":
            return Said(name, usage=_usage(response.get("usage")))
        return Said(name, begins=kind == "response.created")
    name, delta = body.get("response_id"), body.get("delta")
    if not isinstance(name, str) or not isinstance(delta, str):
        return Said()
    size = size_of_media(len(delta)) if kind in _AUDIO_DELTAS else 0
    # What is spoken is told twice, as sound and as a transcript.
    return Said(name, tokens=tokens_in(size) if size else tokens_in_delta(size_of(delta)))


def _unanswered(error: object) -> str | None:
    """Return which event of the client an error is about; empty for the last that asked for an answer."""
    if not isinstance(error, dict):
        return None
    if isinstance(name := error.get("event_id"), str) and name:
        return name
    return "" if error.get("code") == _SPEAKS_ALREADY else None


def _usage(usage: object) -> Usage:
    tally = Tally()
    tally.served = True
    if isinstance(usage, dict):
        details = usage.get("input_token_details")
        cached = count_in(details, "cached_tokens") if isinstance(details, dict) else 0
        tally.report(count_in(usage, "input_tokens"), count_in(usage, "output_tokens"), cached_tokens=cached or 0)
    return tally.usage() or Usage(estimated=True)
