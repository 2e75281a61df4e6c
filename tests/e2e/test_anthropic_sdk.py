"""The real Anthropic client through the fence: what it lets in arrives, and what it refuses is raised as its own errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
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
INPUT = {"input_tokens": 3, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 20}
STEP = 256
BUDGET = 1_600
BUDGETED = f"""\
version: 1
access:
  - {{id: customers, allow: kyc.status == "active"}}
throttle:
  - {{id: tokens, key: account.id, unit: output_tokens, rate: 5 per day, burst: {BUDGET}}}
"""
CAPPED = """\
version: 1
access:
  - {id: customers, allow: kyc.status == "active" && request.operation != "unknown"}
reshape:
  - {id: short, remove: [logprobs, logit_bias], cap: {output_tokens: 2000, choices: 1}}
"""


class StandInAnthropic:
    """Anthropic's API on loopback: messages of as many words as are allowed, counting of tokens, batches and models."""

    def __init__(self) -> None:
        self.most_words = 40
        self.pace_s = 0.0
        self.calls: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Target, headers by lower name, and body of each call."""
        self.sent_tokens = 0
        routes = [
            (r"/v1/messages", _Messages, {"api": self}),
            (r"/v1/messages/count_tokens", _Tokens, {"api": self}),
            (r"/v1/messages/batches", _Batches, {"api": self}),
            (r"/v1/models", _Models, {"api": self}),
        ]
        self._socket = bind("stand-in", Address("127.0.0.1", 0))
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    def start(self) -> Upstream:
        """Start to serve; return where."""
        self._server.add_socket(self._socket)
        port = self._socket.getsockname()[1]
        return Upstream("anthropic", "anthropic", "http", "127.0.0.1", port, secret="sk-ant-upstream")

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, api: StandInAnthropic) -> None:
        self._api = api

    def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        self._api.calls.append((self.request.uri or "", headers, json.loads(self.request.body or b"{}")))


class _Models(_Handler):
    def get(self) -> None:
        model = {"type": "model", "id": "claude-x", "display_name": "X", "created_at": "2026-01-01T00:00:00Z"}
        self.write({"data": [model], "has_more": False, "first_id": "claude-x", "last_id": "claude-x"})


class _Tokens(_Handler):
    def post(self) -> None:
        self.write({"input_tokens": 11})


class _Batches(_Handler):
    def post(self) -> None:
        self.write({"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress"})


class _Messages(_Handler):
    async def post(self) -> None:
        body = self._api.calls[-1][2]
        words = min(body["max_tokens"], self._api.most_words)
        reason = "max_tokens" if words == body["max_tokens"] else "end_turn"
        message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": []}
        if not body.get("stream"):
            self._api.sent_tokens += words
            content = [{"type": "text", "text": "hm " * words}]
            self.write(
                {**message, "content": content, "stop_reason": reason, "usage": {**INPUT, "output_tokens": words}}
            )
            return
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        try:
            self._send(
                "message_start", message={**message, "stop_reason": None, "usage": {**INPUT, "output_tokens": 1}}
            )
            self._send("content_block_start", index=0, content_block={"type": "text", "text": ""})
            self._send("ping")
            for _ in range(words):
                self._send("content_block_delta", index=0, delta={"type": "text_delta", "text": "hm "})
                self._api.sent_tokens += 1
                await self.flush()
                if self._api.pace_s:
                    await asyncio.sleep(self._api.pace_s)
            self._send("content_block_stop", index=0)
            ended = {"stop_reason": reason, "stop_sequence": None}
            self._send("message_delta", delta=ended, usage={"output_tokens": words})
            self._send("message_stop")
            await self.flush()
        except StreamClosedError:
            return

    def _send(self, kind: str, **fields: object) -> None:
        self.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n")


@pytest.fixture
async def claude() -> AsyncIterator[StandInAnthropic]:
    standing_in = StandInAnthropic()
    yield standing_in
    await standing_in.stop()


@pytest.fixture
async def gateway(start, store, claude: StandInAnthropic) -> Gateway:
    gateway: Gateway = await start(store=store, upstreams=(claude.start(),))
    return gateway


def client_of(gateway: Gateway, key: str = "sk-acme", *, address: str = US, **options: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(
        api_key=key,
        base_url=f"http://{gateway.listen}",
        default_headers={"x-forwarded-for": address},
        **{"max_retries": 0, **options},
    )


async def refusal(gateway: Gateway, error: type[anthropic.APIStatusError], **options: Any) -> anthropic.APIStatusError:
    asked = {"model": "claude-x", "max_tokens": 10, "messages": HI, **options.pop("body", {})}
    async with client_of(gateway, **options) as client:
        with pytest.raises(error) as caught:
            await client.messages.create(**asked)
    return caught.value


def text_of(message: anthropic.types.Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_a_customer_is_let_in(gateway, claude):
    async with client_of(gateway) as client:
        message = await client.messages.create(model="claude-x", max_tokens=10, messages=HI)
    assert text_of(message) == "hm " * 10
    assert (message.usage.output_tokens, message.stop_reason) == (10, "max_tokens")
    target, headers, body = claude.calls[-1]
    assert (target, body["max_tokens"]) == ("/v1/messages", 10)
    assert headers["anthropic-version"]


async def test_a_stream_comes_through_as_it_is(gateway):
    async with (
        client_of(gateway) as client,
        client.messages.stream(model="claude-x", max_tokens=7, messages=HI) as stream,
    ):
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()
    assert texts == ["hm "] * 7
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 7)


async def test_the_beta_of_the_client_is_served_as_well(gateway, claude):
    async with client_of(gateway) as client:
        message = await client.beta.messages.create(
            model="claude-x",
            max_tokens=5,
            messages=HI,
            betas=["interleaved-thinking-2025-05-14"],
            extra_query={"beta": "true"},  # as older clients say by themselves
        )
    assert message.usage.output_tokens == 5
    target, headers, _ = claude.calls[-1]
    assert target == "/v1/messages?beta=true"
    assert headers["anthropic-beta"] == "interleaved-thinking-2025-05-14"


async def test_the_synchronous_client_is_served_as_well(gateway, claude):
    def call() -> tuple[str, str]:
        with anthropic.Anthropic(
            api_key="sk-acme",
            base_url=f"http://{gateway.listen}",
            default_headers={"x-forwarded-for": US},
            max_retries=0,
        ) as client:
            plain = client.messages.create(model="claude-x", max_tokens=3, messages=HI)
            with client.messages.stream(model="claude-x", max_tokens=4, messages=HI) as stream:
                return text_of(plain), stream.get_final_text()

    assert await asyncio.to_thread(call) == ("hm " * 3, "hm " * 4)
    assert len(claude.calls) == 2


async def test_models_are_listed_tokens_counted_and_batches_made(gateway):
    async with client_of(gateway) as client:
        assert [model.id async for model in await client.models.list()] == ["claude-x"]
        assert (await client.messages.count_tokens(model="claude-x", messages=HI)).input_tokens == 11
        asked: Any = {"custom_id": "1", "params": {"model": "claude-x", "max_tokens": 5, "messages": HI}}
        assert (await client.messages.batches.create(requests=[asked])).id == "msgbatch_1"


async def test_the_callers_key_never_reaches_an_upstream_that_has_its_own(gateway, claude):
    async with client_of(gateway) as client:
        await client.messages.create(model="claude-x", max_tokens=3, messages=HI)
    _, headers, _ = claude.calls[-1]
    assert headers["x-api-key"] == "sk-ant-upstream"
    assert "sk-acme" not in str(headers)
    assert "authorization" not in headers


async def test_an_embargoed_region_is_refused_with_the_rules_message(gateway, claude):
    error = await refusal(gateway, anthropic.PermissionDeniedError, address=KP)
    assert "This service is not available in your region." in error.message
    assert error.type == "permission_error"
    assert error.request_id
    assert claude.calls == []


async def test_an_unverified_customer_is_refused_a_reserved_model(gateway, claude):
    body = {"model": "o3-deep-research"}
    error = await refusal(gateway, anthropic.PermissionDeniedError, key="sk-newcomer", body=body)
    assert "Verify your organisation to use this model." in error.message
    assert claude.calls == []


async def test_an_unknown_key_is_an_authentication_error(gateway, claude):
    error = await refusal(gateway, anthropic.AuthenticationError, key="sk-nobody")
    assert error.type == "authentication_error"
    assert claude.calls == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"extra_body": {"max_tokens": "ten"}},
            "Invalid type for 'max_tokens': expected an integer, but got a string instead.",
        ),
        ({"extra_body": {"fallbacks": "default"}}, "Fallback models are not supported by this service"),
        ({"extra_body": {"Model": "other"}}, "'model'"),
    ],
)
async def test_a_call_that_can_be_read_in_two_ways_is_a_bad_request(gateway, claude, body, words):
    error = await refusal(gateway, anthropic.BadRequestError, body=body)
    assert words in error.message
    assert error.type == "invalid_request_error"
    assert claude.calls == []


async def test_what_is_not_known_is_refused(gateway, claude):
    async with client_of(gateway) as client:
        with pytest.raises(anthropic.PermissionDeniedError):
            await client.post("/v1/complete", body={"model": "claude-2", "prompt": "Hi"}, cast_to=object)
    assert claude.calls == []


async def test_over_its_rate_a_customer_is_told_when_to_come_back(gateway, claude):
    async with client_of(gateway) as client:
        for _ in range(6):
            await client.messages.create(model="claude-x", max_tokens=1, messages=HI)
    error = await refusal(gateway, anthropic.RateLimitError)
    assert "Six calls an hour, please." in error.message
    headers = error.response.headers
    assert 500 <= int(headers["retry-after"]) <= 662  # ten minutes, lengthened by 2 s at most
    assert headers["anthropic-ratelimit-requests-limit"] == "6"
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert len(claude.calls) == 6


async def test_usage_is_settled_and_what_was_not_used_given_back(gateway, claude):
    async with client_of(gateway) as client:
        # Each reserves up to 1,500 of 2,000, for an answer of 40.
        await client.messages.create(model="claude-x", max_tokens=1_500, messages=HI)
        async with client.messages.stream(model="claude-x", max_tokens=1_500, messages=HI) as stream:
            await stream.until_done()
        await client.messages.create(model="claude-x", max_tokens=1_500, messages=HI)
        raw = await client.messages.with_raw_response.create(model="claude-x", max_tokens=100, messages=HI)
    assert claude.sent_tokens == 160
    assert raw.headers["anthropic-ratelimit-output-tokens-limit"] == "2000"
    assert int(raw.headers["anthropic-ratelimit-output-tokens-remaining"]) == 2_000 - 3 * 40 - 100


async def test_a_call_that_could_overdraw_the_token_budget_waits_for_the_one_before_it(gateway, claude):
    claude.most_words = 1_900
    async with client_of(gateway) as client:
        await client.messages.create(model="claude-x", max_tokens=1_900, messages=HI)
    error = await refusal(gateway, anthropic.RateLimitError, body={"max_tokens": 600})
    assert error.response.headers["anthropic-ratelimit-output-tokens-limit"] == "2000"
    assert claude.sent_tokens == 1_900


async def test_a_thinking_budget_counts_for_what_is_reserved(gateway, claude):
    thinking: Any = {"type": "enabled", "budget_tokens": 1_500}
    async with client_of(gateway) as client:
        for _ in range(2):  # an answer of 40 takes nothing from what 1,000 need
            await client.messages.create(model="claude-x", max_tokens=1_000, messages=HI)
    await refusal(gateway, anthropic.RateLimitError, body={"max_tokens": 1_000, "thinking": thinking})
    assert len(claude.calls) == 2


@pytest.fixture
def policy_of(tmp_path):
    def written(text: str) -> Path:
        path: Path = tmp_path / "other.yaml"
        path.write_text(text)
        return path

    return written


async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(start, store, claude, policy_of):
    gateway = await start(store=store, upstreams=(claude.start(),), policy=policy_of(BUDGETED))
    claude.most_words, claude.pace_s = 10_000, 0.0005
    async with client_of(gateway) as client:
        async with client.messages.stream(model="claude-x", max_tokens=10_000, messages=HI) as stream:
            message = await stream.get_final_message()
        words = len(text_of(message).split())
        assert BUDGET - STEP <= words <= BUDGET + STEP
        assert message.stop_reason == "max_tokens"
        assert message.usage.output_tokens == words
        with pytest.raises(anthropic.RateLimitError) as caught:
            await client.messages.create(model="claude-x", max_tokens=1_000, messages=HI)
    left = caught.value.response.headers["anthropic-ratelimit-output-tokens-remaining"]
    assert left == str(max(0, BUDGET - words))
    assert claude.sent_tokens <= words + STEP  # and the upstream has stopped


async def test_the_sdks_own_back_off_succeeds_on_its_retry(start, store, claude, policy_of):
    brisk = BUDGETED.replace("5 per day", "2000 per second").replace(f"burst: {BUDGET}", "burst: 1000")
    gateway = await start(store=store, upstreams=(claude.start(),), policy=policy_of(brisk))
    claude.most_words = 1_000
    async with client_of(gateway, max_retries=1) as client:
        for _ in range(2):  # the second waits half a second, as it is told
            await client.messages.create(model="claude-x", max_tokens=1_000, messages=HI)
    assert claude.sent_tokens == 2_000


async def test_a_cap_reaches_the_upstream_as_a_body_that_it_takes(start, store, claude, policy_of):
    gateway = await start(store=store, upstreams=(claude.start(),), policy=policy_of(CAPPED))
    thinking: Any = {"type": "enabled", "budget_tokens": 6_000}
    async with client_of(gateway) as client:
        await client.messages.create(model="claude-x", max_tokens=8_000, messages=HI, thinking=thinking)
    _, _, body = claude.calls[-1]
    assert (body["max_tokens"], body["thinking"]) == (2_000, {"type": "enabled", "budget_tokens": 1_024})
    assert body["messages"] == HI


async def test_a_batch_beyond_its_cap_is_refused_and_not_let_through(start, store, claude, policy_of):
    policy = policy_of(CAPPED.replace("output_tokens: 2000", "output_tokens: 2"))
    gateway = await start(store=store, upstreams=(claude.start(),), policy=policy)
    params = {"model": "claude-x", "max_tokens": 5, "messages": HI}
    asked: Any = [{"custom_id": str(n), "params": params} for n in range(3)]
    async with client_of(gateway) as client:
        with pytest.raises(anthropic.PermissionDeniedError) as caught:
            await client.messages.batches.create(requests=asked)
    assert "A batch of 3 requests is more than may be asked here" in caught.value.message
    assert claude.calls == []
