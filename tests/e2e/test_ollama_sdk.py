"""Ollama's own client through the fence: what it lets in arrives, and what it refuses is raised as Ollama's errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import ollama
import openai
import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from modelfence.core.upstream import Upstream
from modelfence.listening import bind
from modelfence.settings import Address
from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": "Hi"}]
US, KP = "8.8.8.8", "175.45.176.1"
STEP = 256


class StandInOllama:
    """Ollama on loopback: chat and completions in its own words, chat in OpenAI's, embeddings and models."""

    def __init__(self) -> None:
        self.words = 40
        """Length of an answer to a call that sets no limit."""
        self.calls: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers by lower name, and body of each call."""
        self.sent_tokens = 0
        routes: list[Any] = [
            (r"/api/chat", _Generate, {"api": self, "added": _as_message}),
            (r"/api/generate", _Generate, {"api": self, "added": _as_response}),
            (r"/api/embed", _Embed, {"api": self}),
            (r"/api/tags", _Tags, {"api": self}),
            (r"/v1/chat/completions", _OpenAIChat, {"api": self}),
        ]
        self._socket = bind("stand-in", Address("127.0.0.1", 0))
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    def start(self) -> Upstream:
        """Start to serve; return where."""
        self._server.add_socket(self._socket)
        return Upstream("ollama", "ollama", "http", "127.0.0.1", self._socket.getsockname()[1], secret="key-upstream")

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


def _as_message(text: str) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": text}}


def _as_response(text: str) -> dict[str, Any]:
    return {"response": text}


class _Handler(RequestHandler):
    def initialize(self, api: StandInOllama) -> None:
        self._api = api

    def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self._api.calls.append((self.request.path, headers, json.loads(self.request.body or b"{}")))
        self._body = self._api.calls[-1][2]


class _Tags(_Handler):
    def get(self) -> None:
        self.write({"models": [{"name": "llama3.2:latest", "model": "llama3.2:latest"}]})


class _Embed(_Handler):
    def post(self) -> None:
        self.write({"model": "m", "embeddings": [[0.1, 0.2]], "prompt_eval_count": 3})


class _Generate(_Handler):
    def initialize(self, api: StandInOllama, added: Any) -> None:  # type: ignore[override]
        super().initialize(api)
        self._added = added

    async def post(self) -> None:
        asked = (self._body.get("options") or {}).get("num_predict") or 0
        words = asked if asked > 0 else self._api.words
        head = {"model": self._body["model"], "created_at": "2025-12-01T10:00:00Z"}
        end = {"done": True, "done_reason": "stop", "prompt_eval_count": 7, "eval_count": words}
        if self._body.get("stream") is False:
            self._api.sent_tokens += words
            self.write({**head, **self._added("hm " * words), **end})
            return
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            for _ in range(words):
                self.write(json.dumps({**head, **self._added("hm "), "done": False}) + "\n")
                self._api.sent_tokens += 1
                await self.flush()
            self.write(json.dumps({**head, **self._added(""), **end}) + "\n")
            await self.flush()
        except StreamClosedError:
            return


class _OpenAIChat(_Handler):
    def post(self) -> None:
        words = self._body.get("max_tokens") or self._api.words
        self._api.sent_tokens += words
        message = {"role": "assistant", "content": "hm " * words}
        usage = {"prompt_tokens": 7, "completion_tokens": words, "total_tokens": 7 + words}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
        self.write({**head, "choices": [choice], "usage": usage})


@pytest.fixture
async def standing_in() -> AsyncIterator[StandInOllama]:
    api = StandInOllama()
    yield api
    await api.stop()


@pytest.fixture
def upstream(standing_in: StandInOllama) -> Upstream:
    return standing_in.start()


@pytest.fixture
async def gateway(start, upstream) -> Gateway:
    gateway: Gateway = await start(upstreams=(upstream,))
    return gateway


def headers_of(key: str = "sk-acme", address: str = US) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "x-forwarded-for": address}


def client_of(gateway: Gateway, **caller: str) -> Any:
    return ollama.AsyncClient(host=f"http://{gateway.listen}", headers=headers_of(**caller))


async def answer_of(client: Any, model: str, *, stream: bool) -> Any:
    answer = await client.chat(model=model, messages=HI, stream=stream)
    return [part async for part in answer] if stream else answer


def openai_client_of(gateway: Gateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="sk-acme",
        base_url=f"http://{gateway.listen}/v1",
        default_headers={"x-forwarded-for": US},
        max_retries=0,
    )


async def test_a_customer_is_let_in_with_the_fences_own_key(gateway, standing_in):
    async with client_of(gateway) as client:
        answer = await client.chat(model="llama3.2", messages=HI)
    assert answer.message.content == "hm " * 40
    assert answer.eval_count == 40
    path, headers, body = standing_in.calls[-1]
    assert path == "/api/chat"
    assert headers["authorization"] == "Bearer key-upstream"
    assert "sk-acme" not in str(headers)
    assert (body["model"], body["messages"], body["stream"]) == ("llama3.2", HI, False)


@pytest.mark.parametrize("call", ["chat", "generate"])
async def test_a_stream_comes_through_with_its_counts(gateway, call):
    asked = {"messages": HI} if call == "chat" else {"prompt": "Hi"}
    async with client_of(gateway) as client:
        stream = await getattr(client, call)(model="m", stream=True, options={"num_predict": 7}, **asked)
        parts = [part async for part in stream]
    assert len(parts) == 8
    assert (parts[-1].done, parts[-1].eval_count) == (True, 7)


async def test_the_synchronous_client_is_served_as_well(gateway, standing_in):
    def call() -> tuple[str, int]:
        client = ollama.Client(host=f"http://{gateway.listen}", headers=headers_of())
        with client:
            answer = client.generate(model="m", prompt="Hi")
            parts = list(client.chat(model="m", messages=HI, stream=True))
            return answer.response, len(parts)

    text, parts = await asyncio.to_thread(call)
    assert (text, parts) == ("hm " * 40, 41)
    assert standing_in.sent_tokens == 80


async def test_embeddings_and_models_come_through(gateway):
    async with client_of(gateway) as client:
        embedded = await client.embed(model="m", input="hi")
        listed = await client.list()
    assert embedded.embeddings == [[0.1, 0.2]]
    assert [model.model for model in listed.models] == ["llama3.2:latest"]


REFUSED: dict[str, tuple[int, dict[str, str], str, str]] = {
    "an embargoed region": (403, {"address": KP}, "m", "This service is not available in your region."),
    "a reserved model": (403, {"key": "sk-newcomer"}, "o3-deep-research", "Verify your organisation to use this model."),
    "another spelling of it": (403, {"key": "sk-newcomer"}, "library/O3-Deep-Research:latest", "Verify your organisation"),
    "an unknown key": (401, {"key": "sk-nobody"}, "m", "(request id"),
    "a model that is none": (400, {}, "a/b/c/d", "Invalid value for 'model'"),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "caller", "model", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_is_raised_as_ollamas_own_error_with_the_rules_message(
    gateway, standing_in, status, caller, model, message, stream
):
    async with client_of(gateway, **caller) as client:
        with pytest.raises(ollama.ResponseError) as caught:
            await answer_of(client, model, stream=stream)
    assert caught.value.status_code == status
    assert message in caught.value.error
    assert standing_in.calls == []


async def test_what_changes_a_servers_models_is_refused(gateway, standing_in):
    async with client_of(gateway) as client:
        with pytest.raises(ollama.ResponseError) as caught:
            await client.pull("m")
    assert caught.value.status_code == 403
    assert standing_in.calls == []


async def test_over_its_rate_a_customer_is_told_so(gateway, standing_in):
    async with client_of(gateway) as client:
        for _ in range(6):
            await client.chat(model="m", messages=HI, options={"num_predict": 1})
        with pytest.raises(ollama.ResponseError) as caught:
            await client.chat(model="m", messages=HI)
    assert caught.value.status_code == 429
    assert "Six calls an hour, please." in caught.value.error
    assert len(standing_in.calls) == 6


async def test_what_was_used_is_settled_by_what_ollama_reports(gateway, standing_in):
    async with client_of(gateway) as client:
        await client.chat(model="m", messages=HI, options={"num_predict": 1500})
        with pytest.raises(ollama.ResponseError):
            await client.chat(model="m", messages=HI, options={"num_predict": 600})
        await client.chat(model="m", messages=HI, options={"num_predict": 400})
    assert standing_in.sent_tokens == 1900


async def test_token_probabilities_are_taken_out_below_the_highest_tier(gateway, standing_in):
    async with client_of(gateway) as client:
        await client.chat(model="m", messages=HI, logprobs=True, top_logprobs=5, options={"seed": 1})
    body = standing_in.calls[-1][2]
    assert {"logprobs", "top_logprobs"}.isdisjoint(body)
    assert body["options"] == {"seed": 1}


@pytest.mark.parametrize("call", ["chat", "generate"])
async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(gateway, standing_in, call):
    standing_in.words = 10_000
    asked = {"messages": HI} if call == "chat" else {"prompt": "Hi"}
    async with client_of(gateway) as client:
        parts = [part async for part in await getattr(client, call)(model="m", stream=True, **asked)]
        with pytest.raises(ollama.ResponseError) as caught:
            await client.chat(model="m", messages=HI)
    assert caught.value.status_code == 429
    assert 2000 - STEP <= len(parts) - 1 <= 2000 + STEP
    assert (parts[-1].done, parts[-1].done_reason, parts[-1].eval_count) == (True, "length", len(parts) - 1)


async def test_a_stream_that_nobody_asked_for_by_name_is_one_all_the_same(gateway, standing_in):
    standing_in.words = 10_000
    async with httpx.AsyncClient(base_url=f"http://{gateway.listen}", headers=headers_of(), timeout=20) as client:
        answer = await client.post("/api/chat", json={"model": "m", "messages": HI})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert 2000 - STEP <= len(lines) - 1 <= 2000 + STEP
    assert lines[-1]["done_reason"] == "length"


async def test_openais_client_is_served_in_its_own_words(gateway, standing_in):
    async with openai_client_of(gateway) as client:
        answer = await client.chat.completions.create(model="m", messages=HI, max_tokens=1500)
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="m", messages=HI, max_tokens=600)
    assert answer.usage.completion_tokens == 1500
    assert standing_in.calls[0][0] == "/v1/chat/completions"
