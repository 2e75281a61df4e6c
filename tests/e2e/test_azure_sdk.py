"""OpenAI's clients of Azure through the fence: what it lets in arrives, and what it refuses is raised as their errors."""

import json
from collections.abc import AsyncIterator
from typing import Any

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
VERSION = "2024-10-21"
FILTERED = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}


class StandInAzure:
    """Azure OpenAI on loopback: chat under a deployment and under the v1 API, with the content filter's first chunk."""

    def __init__(self) -> None:
        self.words = 40
        self.calls: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Target, headers by lower name, and body of each call."""
        self.sent_tokens = 0
        routes = [(r"/openai/(?:deployments/[^/]+|v1)/chat/completions", _Chat, {"api": self}),
                  (r"/openai/models", _Models, {"api": self})]  # fmt: skip
        self._socket = bind("stand-in", Address("127.0.0.1", 0))
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    def start(self) -> Upstream:
        """Start to serve; return where."""
        self._server.add_socket(self._socket)
        return Upstream("azure", "azure", "http", "127.0.0.1", self._socket.getsockname()[1], secret="key-upstream")

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, api: StandInAzure) -> None:
        self._api = api

    def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self._api.calls.append((self.request.uri or "", headers, json.loads(self.request.body or b"{}")))


class _Models(_Handler):
    def get(self) -> None:
        self.write({"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 0, "owned_by": "azure"}]})


class _Chat(_Handler):
    async def post(self) -> None:
        body = self._api.calls[-1][2]
        words = min(body.get("max_completion_tokens") or body.get("max_tokens") or self._api.words, self._api.words)
        usage = {"prompt_tokens": 1, "completion_tokens": words, "total_tokens": 1 + words}
        head = {"id": "chatcmpl-1", "created": 1, "model": "gpt-4o-2024-11-20"}
        if not body.get("stream"):
            self._api.sent_tokens += words
            choice = {"index": 0, "message": {"role": "assistant", "content": "hm " * words}, "finish_reason": "stop"}
            self.write({**head, "object": "chat.completion", "choices": [choice], "usage": usage})
            return
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        chunk = {**head, "object": "chat.completion.chunk"}
        try:
            self._send(FILTERED)
            for _ in range(words):
                self._send({**chunk, "choices": [{"index": 0, "delta": {"content": "hm "}, "finish_reason": None}]})
                self._api.sent_tokens += 1
                await self.flush()
            self._send({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
            if (body.get("stream_options") or {}).get("include_usage"):
                self._send({**chunk, "choices": [], "usage": usage})
            self.write("data: [DONE]\n\n")
            await self.flush()
        except StreamClosedError:
            return

    def _send(self, chunk: dict[str, object]) -> None:
        self.write(f"data: {json.dumps(chunk)}\n\n")


@pytest.fixture
async def azure() -> AsyncIterator[StandInAzure]:
    standing_in = StandInAzure()
    yield standing_in
    await standing_in.stop()


@pytest.fixture
async def gateway(start, azure: StandInAzure) -> Gateway:
    gateway: Gateway = await start(upstreams=(azure.start(),))
    return gateway


def client_of(gateway: Gateway, key: str = "sk-acme", *, address: str = US, **options: Any) -> openai.AsyncAzureOpenAI:
    return openai.AsyncAzureOpenAI(
        api_key=key,
        api_version=VERSION,
        azure_endpoint=f"http://{gateway.listen}",
        default_headers={"x-forwarded-for": address},
        max_retries=0,
        **options,
    )


def v1_client_of(gateway: Gateway, key: str = "sk-acme", *, address: str = US) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=f"http://{gateway.listen}/openai/v1/",
        default_headers={"x-forwarded-for": address},
        max_retries=0,
    )


CLIENTS = {"a deployment": client_of, "the v1 API": v1_client_of}


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
async def test_a_customer_is_let_in_with_the_fences_own_key(gateway, azure, make):
    async with make(gateway) as client:
        answer = await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert answer.usage.completion_tokens == 40
    target, headers, body = azure.calls[-1]
    v1, deployed = "/openai/v1/chat/completions", f"/openai/deployments/gpt-4o/chat/completions?api-version={VERSION}"
    assert target == (v1 if make is v1_client_of else deployed)
    assert headers["api-key"] == "key-upstream"
    assert "authorization" not in headers
    assert "sk-acme" not in str(headers)
    assert body == {"model": "gpt-4o", "messages": HI}


async def test_models_are_listed(gateway):
    async with client_of(gateway, azure_deployment="gpt-4o") as client:
        assert [model.id async for model in await client.models.list()] == ["gpt-4o"]


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
async def test_an_embargoed_region_is_refused_with_the_rules_message(gateway, azure, make):
    async with make(gateway, address=KP) as client:
        with pytest.raises(openai.PermissionDeniedError, match="This service is not available in your region") as error:
            await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert (error.value.code, error.value.type) == ("403", None)
    assert error.value.request_id
    assert azure.calls == []


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
async def test_an_unverified_customer_is_refused_a_reserved_deployment(gateway, azure, make):
    async with make(gateway, "sk-newcomer") as client:
        with pytest.raises(openai.PermissionDeniedError, match="Verify your organisation"):
            await client.chat.completions.create(model="o3-deep-research", messages=HI)
    assert azure.calls == []


async def test_a_model_beside_another_deployment_is_refused(gateway, azure):
    async with client_of(gateway, azure_deployment="o3-deep-research") as client:
        with pytest.raises(openai.BadRequestError, match="names the deployment 'o3-deep-research'") as error:
            await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert error.value.code == "400"
    assert azure.calls == []


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
async def test_an_unknown_key_is_an_authentication_error(gateway, azure, make):
    async with make(gateway, "sk-nobody") as client:
        with pytest.raises(openai.AuthenticationError) as error:
            await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert error.value.code == "401"
    assert azure.calls == []


async def test_over_its_rate_a_customer_is_told_when_to_come_back(gateway, azure):
    async with client_of(gateway) as client:
        for _ in range(6):
            await client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=1)
        with pytest.raises(openai.RateLimitError, match="Six calls an hour, please") as error:
            await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert error.value.code == "429"
    assert 500 <= int(error.value.response.headers["retry-after"]) <= 662
    assert error.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert len(azure.calls) == 6


async def test_a_streams_usage_is_asked_for_settled_and_not_shown_unasked(gateway, azure):
    azure.words = 1_900
    async with client_of(gateway) as client:
        stream = await client.chat.completions.create(model="gpt-4o", messages=HI, stream=True)
        chunks = [chunk async for chunk in stream]
        with pytest.raises(openai.RateLimitError) as error:
            await client.chat.completions.create(model="gpt-4o", messages=HI, max_tokens=200)
    assert azure.calls[0][2]["stream_options"] == {"include_usage": True}
    assert all(chunk.usage is None for chunk in chunks)
    left = int(error.value.response.headers["x-ratelimit-remaining-tokens"])
    assert 100 <= left <= 110  # one flows back every two seconds


@pytest.mark.parametrize("make", CLIENTS.values(), ids=CLIENTS)
async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(gateway, azure, make):
    azure.words = 9_000
    async with make(gateway) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    words = sum(1 for chunk in chunks if chunk.choices and chunk.choices[0].delta.content)
    assert 2_000 - 256 <= words <= 2_000 + 256
    assert chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].usage.completion_tokens == words


async def test_token_probabilities_are_taken_out_below_the_highest_tier(gateway, azure):
    async with client_of(gateway) as client:
        await client.chat.completions.create(model="gpt-4o", messages=HI, logprobs=True, logit_bias={"50256": -100})
    assert azure.calls[0][2] == {"model": "gpt-4o", "messages": HI}
