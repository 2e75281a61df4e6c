"""Gemini's Live API over a websocket.

After the reference of `BidiGenerateContent`. The first message, `setup`, names the model; what comes before it can't be
judged, so nothing does. A turn of the model is asked for by `clientContent` that completes the client's turn, by the
answers to its tools, or begun by the API itself when a speaker falls silent. Turns have no names: one follows another.

Rule: a message that the fence can't read does not go on; nothing the upstream says raises.
"""

import json
import re
from collections import deque
from dataclasses import replace

from modelfence.core.call import Reading, Usage
from modelfence.core.dialect import Json, MalformedRequestError, Refusal, Request
from modelfence.core.extraction import Prompt
from modelfence.core.realtime import Asked, Said
from modelfence.core.strict_json import parse
from modelfence.dialects.gemini.spellings import Names
from modelfence.dialects.shared.counting import Tally, count_in, size_of_media
from modelfence.dialects.shared.fields import Body, array, boolean, integer, mapping, model
from modelfence.dialects.shared.queries import parameters
from modelfence.dialects.shared.tokens import size_of, size_of_json, tokens_in, tokens_in_delta

_PATH = re.compile(r"/ws/google\.ai\.generativelanguage\.v1(?:alpha|beta)\.GenerativeService\.BidiGenerateContent")
_KINDS = ("setup", "clientContent", "realtimeInput", "toolResponse")
_MESSAGE = Names(*_KINDS)
_CONTENT = Names("turns", "turnComplete", "text")
_SETUP = Names("model", "generationConfig", "systemInstruction", "tools")
_CONFIG = Names("maxOutputTokens", "thinkingConfig")
_THINKING = Names("thinkingBudget")
MAX_ITEMS = 32
"""Texts of the conversation that are remembered for the fingerprint of a prompt."""


class GeminiRealtime:
    """Live sessions of the dialect `gemini`."""

    def session(self, request: Request) -> "GeminiSession | None":
        """Return what follows a handshake, None when no websocket is known there."""
        if request.method != "GET" or not _PATH.fullmatch(request.path):
            return None
        parameters(request.query)
        return GeminiSession()


class GeminiSession:
    """One connection."""

    def __init__(self) -> None:
        self._setup: Reading | None = None
        self._system = ""
        self._heard: deque[str] = deque(maxlen=MAX_ITEMS)
        self._size = 0
        """Bytes of the conversation so far, all of which is input of every turn."""
        self._turns = 0
        self._is_speaking = False
        self._reported: dict[str, object] = {}

    def opening(self) -> Reading:
        """Return what the handshake asks for, which is nothing yet."""
        return Reading("realtime", stream=True, output_tokens=0)

    def unasked(self) -> Reading:
        """Return what a turn asks for that the API begins by itself."""
        return self._answer()

    def from_client(self, message: str | bytes) -> Asked | None:
        """Take a message of the client; return what has to be judged, if anything. Raises MalformedRequestError."""
        given = parse(message.encode() if isinstance(message, str) else message)
        if not isinstance(given, dict):
            raise MalformedRequestError("A message must be a JSON object.")
        body = _MESSAGE.read(given)
        kinds = [name for name in body if name in _KINDS]
        if len(kinds) != 1 or len(body) != 1:
            raise MalformedRequestError(f"A message must hold one of: {', '.join(_KINDS)}.")
        [kind] = kinds
        if kind == "setup":
            return self._begin(_SETUP.read(mapping(body, kind) or {}))
        content = _CONTENT.read(mapping(body, kind) or {})
        if self._setup is None:
            raise MalformedRequestError("The first message must be `setup`.")
        self._size += size_of_media(size_of_json(content)) if kind == "realtimeInput" else size_of_json(content)
        self._heard.extend(_texts(content.get("turns") if kind == "clientContent" else content.get("text")))
        if (kind == "clientContent" and boolean(content, "turnComplete")) or kind == "toolResponse":
            return Asked(self._answer(), is_answered=True)
        return None

    def from_upstream(self, message: str | bytes) -> Said:
        """Take a message of the upstream. Never raises."""
        try:
            body = json.loads(message)
        except (ValueError, RecursionError):
            return Said()
        if not isinstance(body, dict):
            return Said()
        if isinstance(usage := body.get("usageMetadata"), dict):
            self._reported = usage
        content, called = body.get("serverContent"), body.get("toolCall")
        said = content if isinstance(content, dict) else {}
        # A turn that says nothing but to call tools ends there: their answers ask for the next one.
        ends = isinstance(called, dict) or said.get("turnComplete") is True
        begins = not self._is_speaking and ("modelTurn" in said or (ends and bool(called or self._reported)))
        if begins:
            self._is_speaking, self._turns = True, self._turns + 1
        if not self._is_speaking:
            return Said()
        name = f"turn {self._turns}"
        tokens = sum(_tokens(said.get("modelTurn"))) + (tokens_in(size_of_json(called)) if called else 0)
        if not ends:
            return Said(name, begins=begins, tokens=tokens)
        self._is_speaking = False
        usage, self._reported = self._reported, {}
        return Said(name, begins=begins, tokens=tokens, usage=_usage(usage))

    def refuse(self, refusal: Refusal) -> str:  # noqa: ARG002 - see Session
        """Return nothing: this API tells what went wrong as the reason for which it closes, and in no message."""
        return ""

    def _begin(self, setup: Body) -> Asked:
        if self._setup is not None:
            raise MalformedRequestError("A session has one `setup`.")
        config = _CONFIG.read(mapping(setup, "generationConfig") or {})
        thinking = _THINKING.read(mapping(config, "thinkingConfig") or {})
        limit, budget = integer(config, "maxOutputTokens", least=1), integer(thinking, "thinkingBudget", least=-1) or 0
        tools = array(setup, "tools")
        self._system = "\n".join(_texts(setup.get("systemInstruction")))
        self._size += size_of(self._system) + (size_of_json(tools) if tools else 0)
        self._setup = Reading(
            "realtime",
            model=model(setup).removeprefix("models/"),
            stream=True,
            tools=len(tools),
            reasoning=budget != 0,
            output_tokens=None if limit is None else limit + max(0, budget),
        )
        return Asked(replace(self._setup, output_tokens=0), is_answered=False)

    def _answer(self) -> Reading:
        setup = self._setup or self.opening()
        prompt = Prompt((self._system,) if self._system else (), tuple(self._heard))
        return replace(setup, input_tokens=tokens_in(self._size), prompt=prompt)


def _texts(value: Json) -> list[str]:
    """Return the texts of contents and their parts."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value[:MAX_ITEMS] for text in _texts(one)]
    if isinstance(value, dict) and value.get("role") != "model":
        text = value.get("text")
        return [text] if isinstance(text, str) else _texts(value.get("parts"))
    return []


def _tokens(turn: object) -> list[int]:
    parts = turn.get("parts") if isinstance(turn, dict) else None
    tokens = []
    for part in parts if isinstance(parts, list) else ():
        text = part.get("text") if isinstance(part, dict) else None
        media = part.get("inlineData") if isinstance(part, dict) else None
        data = media.get("data") if isinstance(media, dict) else None
        if isinstance(text, str):
            tokens.append(tokens_in_delta(size_of(text)))
        elif isinstance(data, str):
            tokens.append(tokens_in(size_of_media(len(data))))
        elif isinstance(part, dict):
            tokens.append(tokens_in(size_of_json(part)))
    return tokens


def _usage(reported: dict[str, object]) -> Usage:
    """Return what was reported; of several counts of the output the largest, and without any an estimate."""
    prompt, tools = count_in(reported, "promptTokenCount"), count_in(reported, "toolUsePromptTokenCount") or 0
    answered, thought = count_in(reported, "responseTokenCount"), count_in(reported, "thoughtsTokenCount")
    total = count_in(reported, "totalTokenCount")
    given = None if prompt is None else prompt + tools
    outputs = [] if answered is None and thought is None else [(answered or 0) + (thought or 0)]
    if given is not None and total is not None:
        outputs.append(max(0, total - given))
    if not outputs:
        return Usage(estimated=True)
    tally = Tally()
    cached = count_in(reported, "cachedContentTokenCount") or 0
    tally.report(given, max(outputs), cached_tokens=cached, reasoning_tokens=thought or 0)
    return tally.usage() or Usage(estimated=True)
