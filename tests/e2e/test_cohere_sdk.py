"""Cohere's own client through the fence: what it lets in arrives, and what it refuses is raised as Cohere's errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.request_options import RequestOptions
from cohere.errors import (
    BadRequestError,
    ForbiddenError,
    ServiceUnavailableError,
    TooManyRequestsError,
    UnauthorizedError,
)
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from modelfence.core.upstream import Upstream
from modelfence.listening import bind
from modelfence.settings import Address
from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": "Hi"}]
US, KP = "8.8.8.8", "175.45.176.1"
ONCE = RequestOptions(max_retries=0)
STEP = 256


class StandInCohere:
    """Cohere's API on loopback: chat of both versions, plain and streamed, embeddings and models."""

    def __init__(self) -> None:
        self.words = 40
        """Length of an answer to a call that sets no limit."""
        self.calls: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers by lower name, and body of each call."""
        self.sent_tokens = 0
        routes = [
            (r"/v2/chat", _Chat, {"api": self}),
            (r"/v1/chat", _OldChat, {"api": self}),
            (r"/v2/embed", _Embed, {"api": self}),
            (r"/v1/models", _Models, {"api": self}),
        ]
        self._socket = bind("stand-in", Address("127.0.0.1", 0))
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    def start(self) -> Upstream:
        """Start to serve; return where."""
        self._server.add_socket(self._socket)
        return Upstream("cohere", "cohere", "http", "127.0.0.1", self._socket.getsockname()[1], secret="key-upstream")

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, api: StandInCohere) -> None:
        self._api = api

    def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self._api.calls.append((self.request.path, headers, json.loads(self.request.body or b"{}")))
        self._body = self._api.calls[-1][2]
        self._words = self._body.get("max_tokens") or self._api.words

    def _usage(self) -> dict[str, Any]:
        counts = {"input_tokens": 7, "output_tokens": self._words}
        return {"billed_units": {**counts, "input_tokens": 1}, "tokens": counts}


class _Models(_Handler):
    def get(self) -> None:
        self.write({"models": [{"name": "command-a", "endpoints": ["chat"]}]})


class _Embed(_Handler):
    def post(self) -> None:
        meta = {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}}
        self.write({"id": "e1", "embeddings": {"float": [[0.1, 0.2]]}, "texts": ["hi"], "meta": meta})


class _Chat(_Handler):
    async def post(self) -> None:
        if not self._body.get("stream"):
            self._api.sent_tokens += self._words
            message = {"role": "assistant", "content": [{"type": "text", "text": "hm " * self._words}]}
            self.write({"id": "c1", "message": message, "finish_reason": "COMPLETE", "usage": self._usage()})
            return
        self.set_header("Content-Type", "text/event-stream")
        empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        try:
            self._send({"id": "c1", "type": "message-start", "delta": {"message": empty}})
            self._send(_content("content-start", {"type": "text", "text": ""}))
            for _ in range(self._words):
                self._send(_content("content-delta", {"text": "hm "}))
                self._api.sent_tokens += 1
                await self.flush()
            self._send({"type": "content-end", "index": 0})
            end = {"finish_reason": "COMPLETE", "usage": self._usage()}
            self._send({"id": "c1", "type": "message-end", "delta": end})
            await self.flush()
        except StreamClosedError:
            return

    def _send(self, event: dict[str, Any]) -> None:
        self.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n")


def _content(kind: str, content: dict[str, str]) -> dict[str, Any]:
    return {"type": kind, "index": 0, "delta": {"message": {"content": content}}}


class _OldChat(_Handler):
    async def post(self) -> None:
        self.set_header("Content-Type", "application/stream+json")
        try:
            self._send({"is_finished": False, "event_type": "stream-start", "generation_id": "g1"})
            for _ in range(self._words):
                self._send({"is_finished": False, "event_type": "text-generation", "text": "hm "})
                self._api.sent_tokens += 1
                await self.flush()
            response = {"text": "hm " * self._words, "finish_reason": "COMPLETE", "meta": self._usage()}
            end = {"is_finished": True, "event_type": "stream-end", "finish_reason": "COMPLETE", "response": response}
            self._send(end)
            await self.flush()
        except StreamClosedError:
            return

    def _send(self, event: dict[str, Any]) -> None:
        self.write(json.dumps(event) + "\n")


@pytest.fixture
async def standing_in() -> AsyncIterator[StandInCohere]:
    api = StandInCohere()
    yield api
    await api.stop()


@pytest.fixture
def upstream(standing_in: StandInCohere) -> Upstream:
    return standing_in.start()


@pytest.fixture
async def gateway(start_for) -> Gateway:
    gateway: Gateway = await start_for()
    return gateway


@pytest.fixture
async def start_for(start, upstream: Upstream) -> Any:
    async def started(**changes: Any) -> Any:
        return await start(upstreams=(upstream,), **changes)

    return started


def client_of(gateway: Gateway, key: str = "sk-acme", *, address: str = US, old: bool = False) -> Any:
    http = httpx.AsyncClient(headers={"x-forwarded-for": address}, timeout=20)
    make = cohere.AsyncClient if old else cohere.AsyncClientV2
    return make(api_key=key, base_url=f"http://{gateway.listen}", httpx_client=http)


async def test_a_customer_is_let_in_with_the_fences_own_key(gateway, standing_in):
    async with client_of(gateway) as client:
        answer = await client.chat(model="command-a", messages=HI, request_options=ONCE)
    assert answer.message.content[0].text.startswith("hm")
    assert answer.usage.tokens.output_tokens == 40
    path, headers, body = standing_in.calls[-1]
    assert path == "/v2/chat"
    assert headers["authorization"] == "Bearer key-upstream"
    assert "sk-acme" not in str(headers)
    assert body == {"model": "command-a", "messages": HI, "stream": False}


async def test_a_stream_comes_through_with_its_usage(gateway):
    async with client_of(gateway) as client:
        events = [event async for event in client.chat_stream(model="command-a", messages=HI, max_tokens=7)]
    assert [event.type for event in events].count("content-delta") == 7
    assert events[-1].delta.finish_reason == "COMPLETE"
    assert events[-1].delta.usage.tokens.output_tokens == 7


async def test_the_old_version_streams_as_well(gateway):
    async with client_of(gateway, old=True) as client:
        stream = client.chat_stream(model="command-r", message="Hi", max_tokens=7, request_options=ONCE)
        events = [event async for event in stream]
    assert [event.event_type for event in events].count("text-generation") == 7
    assert events[-1].response.text == "hm " * 7


async def test_embeddings_and_models_come_through(gateway):
    async with client_of(gateway) as client:
        embedded = await client.embed(
            model="embed-v4.0", input_type="search_query", texts=["hi"], embedding_types=["float"], request_options=ONCE
        )
        listed = await client.models.list(request_options=ONCE)
    assert embedded.embeddings.float_ == [[0.1, 0.2]]
    assert [model.name for model in listed.models] == ["command-a"]


REFUSED = {
    "an embargoed region": (ForbiddenError, {"address": KP}, "command-a", "This service is not available in your region."),
    "a reserved model": (ForbiddenError, {"key": "sk-newcomer"}, "o3-deep-research", "Verify your organisation to use this model."),
    "an unknown key": (UnauthorizedError, {"key": "sk-nobody"}, "command-a", ""),
    "a model that is none": (BadRequestError, {}, " ", "Invalid value for 'model'"),
}  # fmt: skip


@pytest.mark.parametrize(("error", "caller", "model", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_is_raised_as_coheres_own_error_with_the_rules_message(
    gateway, standing_in, error, caller, model, message
):
    async with client_of(gateway, **caller) as client:
        with pytest.raises(error) as caught:
            await client.chat(model=model, messages=HI, request_options=ONCE)
    assert message in caught.value.body["message"]
    assert caught.value.body["id"] in caught.value.body["message"]
    assert standing_in.calls == []


async def test_over_its_rate_a_customer_is_told_when_to_come_back(gateway, standing_in):
    async with client_of(gateway) as client:
        for _ in range(6):
            await client.chat(model="m", messages=HI, max_tokens=1, request_options=ONCE)
        with pytest.raises(TooManyRequestsError) as caught:
            await client.chat(model="m", messages=HI, request_options=ONCE)
    assert "Six calls an hour, please." in caught.value.body["message"]
    assert 500 <= int(caught.value.headers["retry-after"]) <= 662
    assert caught.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(standing_in.calls) == 6


async def test_a_stores_failure_is_the_services(start_for, standing_in):
    gateway = await start_for(store="redis://127.0.0.1:1/0")
    async with client_of(gateway) as client:
        with pytest.raises(ServiceUnavailableError):
            await client.chat(model="m", messages=HI, request_options=ONCE)
    assert standing_in.calls == []


async def test_what_was_used_is_settled_by_what_cohere_reports(gateway, standing_in):
    async with client_of(gateway) as client:
        await client.chat(model="m", messages=HI, max_tokens=1500, request_options=ONCE)
        with pytest.raises(TooManyRequestsError) as caught:
            await client.chat(model="m", messages=HI, max_tokens=600, request_options=ONCE)
        assert caught.value.headers["x-ratelimit-remaining-tokens"] == "500"
        await client.chat(model="m", messages=HI, max_tokens=400, request_options=ONCE)
    assert standing_in.sent_tokens == 1900


async def test_token_probabilities_are_taken_out_below_the_highest_tier(gateway, standing_in):
    async with client_of(gateway) as client:
        await client.chat(model="m", messages=HI, logprobs=True, request_options=ONCE)
    assert standing_in.calls[-1][2] == {"model": "m", "messages": HI, "stream": False}


async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(gateway, standing_in):
    standing_in.words = 10_000
    async with client_of(gateway) as client:
        events = [event async for event in client.chat_stream(model="m", messages=HI)]
        with pytest.raises(TooManyRequestsError):
            await client.chat(model="m", messages=HI, request_options=ONCE)
    words = [event for event in events if event.type == "content-delta"]
    assert 2000 - STEP <= len(words) <= 2000 + STEP
    assert [event.type for event in events[-2:]] == ["content-end", "message-end"]
    assert events[-1].delta.finish_reason == "MAX_TOKENS"
    assert events[-1].delta.usage.tokens.output_tokens == len(words)


async def test_an_old_stream_that_used_up_its_budget_ends_likewise(gateway, standing_in):
    standing_in.words = 10_000
    async with client_of(gateway, old=True) as client:
        events = [event async for event in client.chat_stream(model="m", message="Hi", request_options=ONCE)]
    words = [event for event in events if event.event_type == "text-generation"]
    assert 2000 - STEP <= len(words) <= 2000 + STEP
    assert events[-1].finish_reason == "MAX_TOKENS"
    assert events[-1].response.text == "hm " * len(words)
    assert events[-1].response.meta.tokens.output_tokens == len(words)


async def test_the_synchronous_client_is_served_as_well(gateway, standing_in):
    def call() -> tuple[str, int]:
        http = httpx.Client(headers={"x-forwarded-for": US})
        with cohere.ClientV2(api_key="sk-acme", base_url=f"http://{gateway.listen}", httpx_client=http) as client:
            answer: Any = client.chat(model="m", messages=HI, request_options=ONCE)
            events = list(client.chat_stream(model="m", messages=HI, request_options=ONCE))
            return answer.message.content[0].text, len(events)

    text, events = await asyncio.to_thread(call)
    assert text == "hm " * 40
    assert events == 44
    assert standing_in.sent_tokens == 80
