"""A stand-in for OpenAI's API: chat completions, plain and streamed, with usage. For the demo, tests and benchmarks.

It answers with as many words as it is allowed, one token each, and counts what it really sent.
"""

import asyncio
import json
import socket
import time
from itertools import cycle, islice
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

MODELS = ("gpt-4o", "gpt-4o-mini", "o3-deep-research")
WORDS_UNASKED = 40
"""Length of an answer to a call that sets no limit."""
_SENTENCE = "the fence lets in whom the policy names and tells the others why in words that clients understand"


class StandInApi:
    """The API on a listening socket.

    `words_unasked` is the length of an answer to a call that sets no limit, `pace_s` the time a stream takes for a
    word. `sent_tokens` counts the tokens that left, `requests` the calls that arrived; `last_headers` (names in lower
    case) and `last_body` are of the last of them.
    """

    def __init__(self, listening: socket.socket, *, words_unasked: int = WORDS_UNASKED, pace_s: float = 0.0) -> None:
        self.words_unasked = words_unasked
        self.pace_s = pace_s
        self.sent_tokens = 0
        self.requests = 0
        self.last_headers: dict[str, str] = {}
        self.last_body: dict[str, Any] = {}
        routes = [("/v1/chat/completions", _Chat, {"api": self}), ("/v1/models", _Models, {"api": self})]
        self._socket = listening
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    @property
    def url(self) -> str:
        """Return the API's address."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{host}:{port}"

    def start(self) -> None:
        """Start to serve in the running event loop."""
        self._server.add_socket(self._socket)

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, api: StandInApi) -> None:
        self._api = api

    def prepare(self) -> None:
        self._api.requests += 1
        self._api.last_headers = {name.lower(): value for name, value in self.request.headers.get_all()}


class _Models(_Handler):
    def get(self) -> None:
        self.write(
            {"object": "list", "data": [{"id": model, "object": "model", "owned_by": "demo"} for model in MODELS]}
        )


class _Chat(_Handler):
    async def post(self) -> None:
        try:
            body = json.loads(self.request.body)
            self._api.last_body = body
            prompt = "".join(str(message["content"]) for message in body["messages"])
        except (ValueError, KeyError, TypeError):
            raise HTTPError(400) from None
        asked = body.get("max_completion_tokens") or body.get("max_tokens")
        words = list(islice(cycle(_SENTENCE.split()), min(asked or self._api.words_unasked, 10_000)))
        usage = {
            "prompt_tokens": -(-len(prompt) // 4),
            "completion_tokens": len(words),
            "total_tokens": -(-len(prompt) // 4) + len(words),
        }
        head = {"id": f"chatcmpl-{self._api.requests}", "created": int(time.time()), "model": body.get("model")}
        if body.get("stream"):
            with_usage = (body.get("stream_options") or {}).get("include_usage", False)
            await self._stream(head, words, usage if with_usage else None)
            return
        message = {"role": "assistant", "content": " ".join(words), "refusal": None}
        finish = "length" if asked else "stop"
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        self._api.sent_tokens += len(words)
        self.write({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

    async def _stream(self, head: dict[str, object], words: list[str], usage: dict[str, int] | None) -> None:
        self.set_header("Content-Type", "text/event-stream")
        try:
            for word in words:
                self.write(_chunk(head, {"content": word + " "}, None))
                self._api.sent_tokens += 1
                await self.flush()
                if self._api.pace_s:
                    await asyncio.sleep(self._api.pace_s)
            self.write(_chunk(head, {}, "stop"))
            if usage:
                self.write(_event({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}))
            self.write("data: [DONE]\n\n")
            await self.flush()
        except StreamClosedError:
            return


def _chunk(head: dict[str, object], delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({**head, "object": "chat.completion.chunk", "choices": [choice]})


def _event(chunk: dict[str, object]) -> str:
    return f"data: {json.dumps(chunk)}\n\n"
