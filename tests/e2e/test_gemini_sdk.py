"""Google's real client through the fence: what it lets in arrives, and what it refuses is raised as Google's own errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
import openai
import pytest
from google import genai
from google.genai import errors, types
from google.genai.client import AsyncClient
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from modelfence.core.upstream import Upstream
from modelfence.listening import bind
from modelfence.settings import Address
from modelfence.wiring import Gateway

US = "8.8.8.8"
STEP = 256
BUDGET = 1_600
MODEL = "gemini-2.5-flash"
POLICY = f"""\
version: 1
lists:
  reserved: [gemini-2.5-pro]
access:
  - id: reserved-models
    deny: request.model in lists.reserved && kyc.tier < tier.verified
    message: Verify your organisation to use this model.
  - {{id: customers, allow: kyc.status == "active" && request.operation != "unknown"}}
reshape:
  - {{id: no-logits, remove: [logprobs, logit_bias]}}
throttle:
  - {{id: tokens, key: account.id, unit: output_tokens, rate: 5 per day, burst: {BUDGET}, message: Your tokens are used up.}}
"""


class StandIn:
    """A stand-in for Gemini's API: words of one token each, a thought of nine tokens before them."""

    def __init__(self) -> None:
        self.words_unasked = 40
        self.pace_s = 0.0
        self.sent_tokens = 0
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.socket = bind("stand-in", Address("127.0.0.1", 0))
        self.server = HTTPServer(Application([("/.*", _Models, {"api": self})], log_function=lambda _: None))
        self.server.add_socket(self.socket)


class _Models(RequestHandler):
    def initialize(self, api: StandIn) -> None:
        self._api = api

    async def post(self) -> None:
        body = json.loads(self.request.body)
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self._api.requests.append((self.request.uri or "", headers, body))
        words = body.get("generationConfig", {}).get("maxOutputTokens") or self._api.words_unasked
        action = self.request.path.partition(":")[2]
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        if action == "countTokens":
            self.write({"totalTokens": 31})
        elif action == "streamGenerateContent":
            await self._stream(words, is_sse=self.get_query_argument("alt", "") == "sse")
        elif action == "generateContent":
            self._api.sent_tokens += words + 9
            self.write(_piece(" ".join(["word"] * words), words, finish="STOP"))
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 2, "completion_tokens": 40, "total_tokens": 42}
            self.write({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})

    async def _stream(self, words: int, *, is_sse: bool) -> None:
        if is_sse:
            self.set_header("Content-Type", "text/event-stream")
        try:
            for word in range(1, words + 1):
                piece = json.dumps(_piece("word ", word, finish="STOP" if word == words else None))
                self.write(f"data: {piece}\r\n\r\n" if is_sse else f"{',' if word > 1 else '['}\r\n{piece}")
                self._api.sent_tokens += 1
                await self.flush()
                if self._api.pace_s:
                    await asyncio.sleep(self._api.pace_s)
            self.finish("" if is_sse else "]")
        except StreamClosedError:
            return


def _piece(text: str, words: int, *, finish: str | None) -> dict[str, Any]:
    content = {"parts": [{"text": text}], "role": "model"}
    ended = {"finishReason": finish} if finish else {}
    usage = {
        "promptTokenCount": 2,
        "candidatesTokenCount": words,
        "thoughtsTokenCount": 9,
        "totalTokenCount": words + 11,
    }
    return {"candidates": [{"content": content, "index": 0, **ended}], "usageMetadata": usage, "modelVersion": MODEL}


@pytest.fixture
async def google() -> AsyncIterator[StandIn]:
    standing_in = StandIn()
    yield standing_in
    standing_in.server.stop()
    await standing_in.server.close_all_connections()


@pytest.fixture
async def gateway(start, store, google, tmp_path) -> Gateway:
    (tmp_path / "gemini.yaml").write_text(POLICY)
    host, port = google.socket.getsockname()[:2]
    upstream = Upstream("google", "gemini", "http", host, port, secret="sk-upstream")
    return await start(store=store, policy=tmp_path / "gemini.yaml", upstreams=(upstream,))


@asynccontextmanager
async def client_of(gateway: Gateway, key: str = "sk-acme", **options: Any) -> AsyncIterator[AsyncClient]:
    http_options = types.HttpOptions(
        base_url=f"http://{gateway.listen}", headers={"x-forwarded-for": US}, async_client_args=options
    )
    with genai.Client(api_key=key, http_options=http_options) as client:
        async with client.aio as asynchronous:
            yield asynchronous


async def ask(gateway: Gateway, *, key: str = "sk-acme", model: str = MODEL, **config: Any) -> Any:
    async with client_of(gateway, key) as client:
        options = types.GenerateContentConfig(**config)
        return await client.models.generate_content(model=model, contents="Hi there", config=options)


async def stream(gateway: Gateway, **config: Any) -> list[Any]:
    async with client_of(gateway) as client:
        options = types.GenerateContentConfig(**config)
        chunks = await client.models.generate_content_stream(model=MODEL, contents="Hi", config=options)
        return [chunk async for chunk in chunks]


async def refusal(gateway: Gateway, **options: Any) -> errors.ClientError:
    with pytest.raises(errors.ClientError) as caught:
        await ask(gateway, **options)
    return caught.value


async def test_a_customer_is_let_in(gateway, google):
    answer = await ask(gateway)
    assert answer.text.startswith("word word")
    assert answer.usage_metadata.thoughts_token_count == 9
    uri, headers, _ = google.requests[-1]
    assert uri == f"/v1beta/models/{MODEL}:generateContent"
    assert headers["x-goog-api-key"] == "sk-upstream"
    assert "sk-acme" not in str(headers)


async def test_tokens_are_counted_for_free(gateway):
    async with client_of(gateway) as client:
        counted = await client.models.count_tokens(model=MODEL, contents="Hi there")
    assert counted.total_tokens == 31
    assert (await ask(gateway, max_output_tokens=BUDGET - 9)).text


async def test_what_was_thought_is_settled_too(gateway, google):
    for _ in range(2):
        await ask(gateway, max_output_tokens=700)
    error = await refusal(gateway, max_output_tokens=BUDGET - 1400)
    assert error.code == 429
    assert google.sent_tokens == 2 * 709
    await ask(gateway, max_output_tokens=BUDGET - 2 * 709 - 9)


async def test_a_model_that_is_reserved_is_refused_with_the_rules_message(gateway, google):
    error = await refusal(gateway, key="sk-newcomer", model="gemini-2.5-pro")
    assert (error.code, error.status) == (403, "PERMISSION_DENIED")
    assert error.message.startswith("Verify your organisation to use this model. (request id ")
    assert google.requests == []


async def test_an_unknown_key_is_unauthenticated(gateway, google):
    error = await refusal(gateway, key="sk-nobody")
    assert (error.code, error.status) == (401, "UNAUTHENTICATED")
    assert google.requests == []


async def test_probabilities_are_taken_out(gateway, google):
    await ask(gateway, response_logprobs=True, logprobs=5, max_output_tokens=7, temperature=0.5)
    assert google.requests[-1][2]["generationConfig"] == {"maxOutputTokens": 7, "temperature": 0.5}


async def test_over_its_budget_a_customer_is_told_when_to_come_back_and_the_sdk_tries_again(gateway, google):
    await ask(gateway, max_output_tokens=BUDGET)
    calls = count()

    async def counted(_request: httpx.Request) -> None:
        next(calls)

    retries = types.HttpRetryOptions(attempts=3, initial_delay=0.01, max_delay=0.02, jitter=0.01)
    async with client_of(gateway, event_hooks={"request": [counted]}) as client:
        config = types.GenerateContentConfig(http_options=types.HttpOptions(retry_options=retries))
        with pytest.raises(errors.ClientError) as caught:
            await client.models.generate_content(model=MODEL, contents="Hi", config=config)
    error = caught.value
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")
    assert error.message.startswith("Your tokens are used up.")
    detail = error.details["error"]["details"][0]
    assert detail["@type"] == "type.googleapis.com/google.rpc.RetryInfo"
    assert detail["retryDelay"] == f"{error.response.headers['retry-after']}s"
    assert next(calls) == 3
    assert len(google.requests) == 1


async def test_a_stream_comes_through_with_its_usage(gateway):
    chunks = await stream(gateway, max_output_tokens=7)
    assert "".join(chunk.text for chunk in chunks) == "word " * 7
    assert chunks[-1].usage_metadata.candidates_token_count == 7
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(gateway, google):
    google.words_unasked, google.pace_s = 10_000, 0.0005
    chunks = await stream(gateway)
    words = sum(chunk.text == "word " for chunk in chunks)
    assert BUDGET - STEP <= words <= BUDGET + STEP
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    usage = chunks[-1].usage_metadata
    assert (usage.candidates_token_count, usage.thoughts_token_count) == (words, 9)
    assert google.sent_tokens <= words + STEP  # and the upstream has stopped
    assert (await refusal(gateway)).code == 429


async def test_an_array_that_used_up_its_budget_is_whole_all_the_same(gateway, google):
    google.words_unasked, google.pace_s = 10_000, 0.0005
    async with httpx.AsyncClient(headers={"x-goog-api-key": "sk-acme", "x-forwarded-for": US}) as client:
        url = f"http://{gateway.listen}/v1beta/models/{MODEL}:streamGenerateContent"
        answer = await client.post(url, json={"contents": [{"parts": [{"text": "Hi"}]}]}, timeout=60)
    *pieces, last = answer.json()
    assert BUDGET - STEP <= len(pieces) <= BUDGET + STEP
    assert last["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert last["usageMetadata"]["candidatesTokenCount"] == len(pieces)
    assert google.sent_tokens <= len(pieces) + STEP


async def test_a_plain_answer_is_never_cut_off(gateway, google):
    google.words_unasked = 200_000
    answer = await ask(gateway)
    assert answer.usage_metadata.candidates_token_count == 200_000
    assert (await refusal(gateway)).code == 429


async def test_openais_client_is_served_and_refused_in_its_own_words(gateway, google):
    base_url = f"http://{gateway.listen}/v1beta/openai/"
    async with openai.AsyncOpenAI(api_key="sk-acme", base_url=base_url, max_retries=0) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
        assert answer.usage.completion_tokens == 40
        assert google.requests[-1][1]["authorization"] == "Bearer sk-upstream"
        await ask(gateway, max_output_tokens=BUDGET - 40)
        with pytest.raises(openai.RateLimitError, match="Your tokens are used up"):
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
