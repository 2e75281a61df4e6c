"""The real Mistral client through the fence: what it lets in arrives, and what it refuses is raised as its own error."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from modelfence.core.upstream import Upstream
from modelfence.listening import bind
from modelfence.settings import Address
from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": "Hi"}]
US, KP = "8.8.8.8", "175.45.176.1"


class StandInMistral:
    """Mistral's API on loopback: chat, agents and code in between, which reports its usage unasked."""

    def __init__(self) -> None:
        self.words = 40
        self.calls: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers by lower name, and body of each call."""
        routes = [(r"/v1/(?:chat|agents|fim)/completions", _Completions, {"api": self}),
                  (r"/v1/embeddings", _Embeddings, {"api": self}),
                  (r"/v1/models", _Models, {"api": self})]  # fmt: skip
        self._socket = bind("stand-in", Address("127.0.0.1", 0))
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    def start(self) -> Upstream:
        """Start to serve; return where."""
        self._server.add_socket(self._socket)
        return Upstream("mistral", "mistral", "http", "127.0.0.1", self._socket.getsockname()[1], secret="key-upstream")

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, api: StandInMistral) -> None:
        self._api = api

    def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self._api.calls.append((self.request.path, headers, json.loads(self.request.body or b"{}")))


class _Models(_Handler):
    def get(self) -> None:
        card = {"id": "codestral-2508", "object": "model", "created": 0, "owned_by": "mistralai", "type": "base"}
        self.write({"object": "list", "data": [{**card, "capabilities": {}}]})


class _Embeddings(_Handler):
    def post(self) -> None:
        usage = {"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0}
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        self.write({"id": "e-1", "object": "list", "model": "mistral-embed", "data": data, "usage": usage})


class _Completions(_Handler):
    async def post(self) -> None:
        body = self._api.calls[-1][2]
        words = min(body.get("max_tokens") or self._api.words, self._api.words)
        usage = {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": 1 + words}
        head = {"id": "c-1", "created": 1, "model": body.get("model") or "m"}
        if not body.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "hm " * words}, "finish_reason": "stop"}
            self.write({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        try:
            for place in range(words):
                thought = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm "}]}]
                self._send(head, {"delta": {"content": "hm " if place % 2 else thought}, "finish_reason": None})
                await self.flush()
            self._send(head, {"delta": {"content": ""}, "finish_reason": "stop"}, usage=usage)
            self.write("data: [DONE]\n\n")
            await self.flush()
        except StreamClosedError:
            return

    def _send(self, head: dict[str, Any], choice: dict[str, Any], **more: object) -> None:
        chunk = {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, **choice}], **more}
        self.write(f"data: {json.dumps(chunk)}\n\n")


@pytest.fixture
async def mistral() -> AsyncIterator[StandInMistral]:
    standing_in = StandInMistral()
    yield standing_in
    await standing_in.stop()


@pytest.fixture
async def gateway(start, mistral: StandInMistral) -> Gateway:
    gateway: Gateway = await start(upstreams=(mistral.start(),))
    return gateway


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(headers={"x-forwarded-for": US}) as client:
        yield client


def client_of(gateway: Gateway, http: httpx2.AsyncClient, key: str = "sk-acme", *, address: str = US) -> Mistral:
    http.headers["x-forwarded-for"] = address
    return Mistral(api_key=key, server_url=f"http://{gateway.listen}", async_client=http)


async def refusal(gateway, http, key="sk-acme", *, address=US, model="mistral-large-latest"):
    with pytest.raises(SDKError) as caught:
        await client_of(gateway, http, key, address=address).chat.complete_async(model=model, messages=HI)
    return caught.value


async def test_a_customer_is_let_in_with_the_fences_own_key(gateway, http, mistral):
    answer = await client_of(gateway, http).chat.complete_async(model="mistral-large-latest", messages=HI)
    assert answer.usage.completion_tokens == 40
    path, headers, body = mistral.calls[-1]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer key-upstream"
    assert "sk-acme" not in str(headers)
    assert (body["model"], body["messages"]) == ("mistral-large-latest", HI)


async def test_agents_code_embeddings_and_models_are_served(gateway, http, mistral):
    client = client_of(gateway, http)
    assert (await client.agents.complete_async(agent_id="ag:1", messages=HI)).usage.completion_tokens == 40
    code = await client.fim.complete_async(model="codestral-latest", prompt="def f(", suffix="return a")
    assert code.usage.completion_tokens == 40
    assert (await client.embeddings.create_async(model="mistral-embed", inputs=["a"])).usage.prompt_tokens == 3
    assert "codestral-2508" in str(await client.models.list_async())
    assert len(mistral.calls) == 4


async def test_an_embargoed_region_is_refused_with_the_rules_message(gateway, http, mistral):
    error = await refusal(gateway, http, address=KP)
    assert error.status_code == 403
    assert json.loads(error.body)["message"].startswith("This service is not available in your region.")
    assert "This service is not available in your region." in error.message
    assert mistral.calls == []


async def test_an_unverified_customer_is_refused_a_reserved_model(gateway, http, mistral):
    error = await refusal(gateway, http, "sk-newcomer", model="o3-deep-research")
    assert (error.status_code, json.loads(error.body)["object"]) == (403, "error")
    assert "Verify your organisation to use this model." in error.message
    assert mistral.calls == []


async def test_an_unknown_key_is_an_authentication_error(gateway, http, mistral):
    error = await refusal(gateway, http, "sk-nobody")
    assert error.status_code == 401
    assert json.loads(error.body).keys() == {"detail"}
    assert mistral.calls == []


async def test_a_malformed_request_names_the_field(gateway, http, mistral):
    http.headers["authorization"] = "Bearer sk-acme"
    url = f"http://{gateway.listen}/v1/chat/completions"
    answer = await http.post(url, json={"model": "m", "messages": HI, "max_completion_tokens": 5})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("Unknown parameter: 'max_completion_tokens'.")
    assert mistral.calls == []


async def test_over_its_rate_a_customer_is_told_when_to_come_back(gateway, http, mistral):
    client = client_of(gateway, http)
    for _ in range(6):
        await client.chat.complete_async(model="m", messages=HI, max_tokens=1)
    error = await refusal(gateway, http)
    assert (error.status_code, json.loads(error.body)["type"]) == (429, "rate_limited")
    assert "Six calls an hour, please." in error.message
    assert 500 <= int(error.headers["retry-after"]) <= 662
    assert error.headers["x-ratelimit-remaining-req-hour"] == "0"
    assert len(mistral.calls) == 6


async def test_a_streams_usage_is_settled_as_it_is_reported(gateway, http, mistral):
    mistral.words = 1_900
    client = client_of(gateway, http)
    stream = await client.chat.stream_async(model="m", messages=HI)
    chunks = [event.data async for event in stream]
    assert chunks[-1].usage.completion_tokens == 1_900
    assert "stream_options" not in mistral.calls[0][2]
    with pytest.raises(SDKError) as caught:
        await client.chat.complete_async(model="m", messages=HI, max_tokens=200)
    left = int(caught.value.headers["x-ratelimit-remaining-tokens-hour"])
    assert 100 <= left <= 110  # one flows back every two seconds


async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(gateway, http, mistral):
    mistral.words = 9_000
    stream = await client_of(gateway, http).chat.stream_async(model="m", messages=HI)
    chunks = [event.data async for event in stream]
    words = sum(1 for chunk in chunks if chunk.choices[0].delta.content)
    assert 2_000 - 256 <= words <= 2_000 + 256
    assert chunks[-1].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == words


async def test_token_probabilities_are_taken_out_below_the_highest_tier(gateway, http, mistral):
    await client_of(gateway, http).chat.complete_async(
        model="m", messages=HI, logprobs=True, top_logprobs=2, prompt_logprobs=True, top_prompt_logprobs=1
    )
    assert not {"logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs"} & mistral.calls[0][2].keys()
