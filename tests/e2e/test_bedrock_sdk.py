"""AWS's own SDK through the fence: what it lets in arrives rightly signed, and what it refuses is raised as AWS's errors."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore import UNSIGNED  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from tests.dialects.bedrock.aws import CALLERS_ID, CALLERS_SECRET, FENCES_ID, FENCES_SECRET, signer_of
from tests.wire.outside import Watcher
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from modelfence.core.call import Usage, key_digest
from modelfence.core.upstream import Upstream
from modelfence.dialects.bedrock.event_stream import chunk, message
from modelfence.listening import bind
from modelfence.settings import Address
from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": [{"text": "Hi"}]}]
US, KP = "8.8.8.8", "175.45.176.1"
MODEL = "us.anthropic.claude-3-haiku-20240307-v1:0"
WORDS = ("the ", "fence ", "lets ", "in ", "whom ", "it ", "may ")
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
  - {id: short, remove: [logprobs, logit_bias], cap: {output_tokens: 20, choices: 1}}
"""
ACCOUNTS = f"""\
accounts:
  - id: acme
    keys: ["{key_digest(CALLERS_ID)}", "{key_digest("bedrock-key-acme")}"]
    status: active
    tier: verified
    owners: [{{country: US, share: 1.0}}]
"""
REGION = "eu-west-1"


class StandInBedrock:
    """Bedrock's runtime on loopback: answers of as many words as are allowed, to requests that are rightly signed."""

    def __init__(self) -> None:
        self.most_words = 40
        self.pace_s = 0.0
        self.sent_tokens = 0
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Target, headers by lower name, and body of each."""
        self.signers: list[tuple[str, str] | None] = []
        """Whose key each was signed with, for which region."""
        self.tokens = {"bedrock-api-key-upstream"}
        """What is taken in place of a signature."""
        routes = [
            (r"/model/([^/]+)/converse", _Converse, {"api": self}),
            (r"/model/([^/]+)/converse-stream", _ConverseStream, {"api": self}),
            (r"/model/([^/]+)/invoke", _Invoke, {"api": self}),
            (r"/model/([^/]+)/invoke-with-response-stream", _InvokeStream, {"api": self}),
            (r"/model/([^/]+)/count-tokens", _Count, {"api": self}),
        ]
        self._socket = bind("stand-in", Address("127.0.0.1", 0))
        self._server = HTTPServer(Application(routes, log_function=lambda _: None))

    def start(self) -> None:
        """Start to serve."""
        self._server.add_socket(self._socket)

    def upstream(self, secret: str | None) -> Upstream:
        """Return where it serves, and the fence's credential for it."""
        port = self._socket.getsockname()[1]
        return Upstream("bedrock", "bedrock", "http", "127.0.0.1", port, secret=secret)

    async def stop(self) -> None:
        """Stop serving."""
        self._server.stop()
        await self._server.close_all_connections()


class _Handler(RequestHandler):
    def initialize(self, api: StandInBedrock) -> None:
        self._api = api

    def prepare(self) -> None:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        target, body = self.request.uri or "", self.request.body
        signer = signer_of(self.request.method, target, headers.items(), body)
        self._api.signers.append(signer)
        self._api.requests.append((target, headers, json.loads(body or b"{}")))
        if signer is None and headers.get("authorization", "").removeprefix("Bearer ") not in self._api.tokens:
            self.set_status(403)
            self.set_header("x-amzn-errortype", "InvalidSignatureException")
            self.finish({"message": "The signature does not match."})

    @property
    def asked(self) -> dict[str, Any]:
        return self._api.requests[-1][2]

    def words(self, limit: int | None) -> list[str]:
        return list(islice(cycle(WORDS), min(limit or self._api.most_words, self._api.most_words)))

    async def stream(self, before: list[bytes], words: list[bytes], after: list[bytes]) -> None:
        self.set_header("Content-Type", "application/vnd.amazon.eventstream")
        try:
            for event in (*before, *words, *after):
                self.write(event)
                self._api.sent_tokens += event in words
                await self.flush()
                if self._api.pace_s:
                    await asyncio.sleep(self._api.pace_s)
        except StreamClosedError:
            return


def _limit(body: dict[str, Any]) -> int | None:
    found: int | None = (body.get("inferenceConfig") or {}).get("maxTokens")
    return found


def _usage(count: int) -> dict[str, int]:
    return {"inputTokens": 3, "outputTokens": count, "totalTokens": 3 + count}


class _Converse(_Handler):
    def post(self, _model: str) -> None:
        words = self.words(_limit(self.asked))
        self._api.sent_tokens += len(words)
        said = {"message": {"role": "assistant", "content": [{"text": "".join(words)}]}}
        self.write({"output": said, "stopReason": "end_turn", "usage": _usage(len(words)), "metrics": {"latencyMs": 1}})


class _ConverseStream(_Handler):
    async def post(self, _model: str) -> None:
        words = self.words(_limit(self.asked))
        deltas = [
            message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}, "p": "abc"})
            for word in words
        ]
        after = [
            message("contentBlockStop", {"contentBlockIndex": 0}),
            message("messageStop", {"stopReason": "end_turn"}),
            message("metadata", {"usage": _usage(len(words)), "metrics": {"latencyMs": 1}}),
        ]
        await self.stream([message("messageStart", {"role": "assistant"})], deltas, after)


class _Invoke(_Handler):
    def post(self, _model: str) -> None:
        words = self.words(self.asked.get("max_tokens"))
        self._api.sent_tokens += len(words)
        usage = {"input_tokens": 3, "output_tokens": len(words)}
        self.write({"type": "message", "content": [{"type": "text", "text": "".join(words)}], "usage": usage})


class _InvokeStream(_Handler):
    async def post(self, _model: str) -> None:
        words = self.words(self.asked.get("max_tokens"))
        before = [
            chunk({"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 3, "output_tokens": 1}}}),
            chunk({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        ]
        deltas = [
            chunk({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}})
            for word in words
        ]
        metrics = {"inputTokenCount": 3, "outputTokenCount": len(words)}
        after = [
            chunk({"type": "content_block_stop", "index": 0}),
            chunk(
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": len(words)}}
            ),
            chunk({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}),
        ]
        await self.stream(before, deltas, after)


class _Count(_Handler):
    def post(self, _model: str) -> None:
        self.write({"inputTokens": 812})


@pytest.fixture
async def bedrock() -> AsyncIterator[StandInBedrock]:
    api = StandInBedrock()
    api.start()
    yield api
    await api.stop()


@pytest.fixture
def accounts(tmp_path) -> Path:
    path: Path = tmp_path / "bedrock-accounts.yaml"
    path.write_text(ACCOUNTS)
    return path


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def start_bedrock(start, bedrock, accounts, watcher, tmp_path):
    """Starts a gateway in front of the stand-in, with keys of its own, or the secret given."""

    async def started(*, secret: str | None = f"{FENCES_ID}:{FENCES_SECRET}", policy: str = "") -> Gateway:
        changes: dict[str, Any] = {"upstreams": (bedrock.upstream(secret),), "accounts": accounts}
        if policy:
            changes["policy"] = tmp_path / "bedrock-policy.yaml"
            changes["policy"].write_text(policy)
        gateway: Gateway = await start(watcher, **changes)
        return gateway

    return started


@pytest.fixture(autouse=True)
def _no_credentials_from_outside(monkeypatch):
    for name in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client_of(start_bedrock):  # noqa: ARG001 - clients are closed before the gateway stops
    """Makes clients of a gateway."""
    made = []

    def make(
        gateway: Gateway, *, key_id: str = CALLERS_ID, address: str = US, attempts: int = 1, api_key: str = ""
    ) -> Any:
        client = boto3.client(
            "bedrock-runtime",
            region_name=REGION,
            endpoint_url=f"http://{gateway.listen}",
            aws_access_key_id=key_id,
            aws_secret_access_key=CALLERS_SECRET,
            config=Config(
                retries={"total_max_attempts": attempts, "mode": "standard"},
                read_timeout=20,
                signature_version=UNSIGNED if api_key else None,
            ),
        )

        def pass_by_a_proxy(request: Any, **_: Any) -> None:
            request.headers["x-forwarded-for"] = address  # after it was signed, as a proxy on the way would
            if api_key:  # which the SDK itself sends by TLS only
                request.headers["authorization"] = f"Bearer {api_key}"

        client.meta.events.register("before-send.bedrock-runtime.*", pass_by_a_proxy)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


async def converse(client: Any, **options: Any) -> Any:
    return await asyncio.to_thread(client.converse, modelId=MODEL, messages=HI, **options)


async def error_of(client: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        await converse(client)
    error: ClientError = caught.value
    return error


def streamed(client: Any, **options: Any) -> list[dict[str, Any]]:
    return list(client.converse_stream(modelId=MODEL, messages=HI, **options)["stream"])


def invoked(client: Any, **fields: Any) -> list[dict[str, Any]]:
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "messages": [], **fields})
    answer = client.invoke_model_with_response_stream(modelId=MODEL, body=body)
    return [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]


async def test_a_customer_is_let_in_and_the_fence_signs_with_its_own_keys(start_bedrock, client_of, bedrock, watcher):
    answer = await converse(client_of(await start_bedrock()))
    assert answer["output"]["message"]["content"][0]["text"].startswith("the fence")
    assert answer["usage"]["outputTokens"] == 40
    assert bedrock.signers == [(FENCES_ID, REGION)]
    assert "x-forwarded-for" not in bedrock.requests[0][1]
    assert CALLERS_ID not in str(bedrock.requests)
    assert (await watcher.settlement()).usage == Usage(3, 40)


async def test_without_keys_of_its_own_the_callers_signature_arrives_whole(start_bedrock, client_of, bedrock):
    client = client_of(await start_bedrock(secret=None))
    assert (await converse(client, inferenceConfig={"maxTokens": 5}))["usage"]["outputTokens"] == 5
    assert len(await asyncio.to_thread(streamed, client)) == 44
    assert len(await asyncio.to_thread(invoked, client, max_tokens=5)) == 10
    assert bedrock.signers == [(CALLERS_ID, REGION)] * 3


async def test_an_api_key_of_the_callers_is_read_and_one_of_the_fences_sent(start_bedrock, client_of, bedrock, watcher):
    gateway = await start_bedrock(secret="bedrock-api-key-upstream")
    client = client_of(gateway, api_key="bedrock-key-acme")
    await converse(client)
    assert bedrock.requests[0][1]["authorization"] == "Bearer bedrock-api-key-upstream"
    assert watcher.calls[0].call.credential.digest == key_digest("bedrock-key-acme")


async def test_a_conversation_streams_through_with_its_usage(start_bedrock, client_of, watcher):
    events = await asyncio.to_thread(streamed, client_of(await start_bedrock()), inferenceConfig={"maxTokens": 7})
    words = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert words == list(WORDS)
    assert events[-1]["metadata"]["usage"] == _usage(7)
    assert (await watcher.settlement()).usage == Usage(3, 7)


async def test_a_models_own_body_is_read_and_its_answer_counted(start_bedrock, client_of, watcher):
    client = client_of(await start_bedrock())
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5})
    answer = await asyncio.to_thread(client.invoke_model, modelId=MODEL, body=body)
    assert json.loads(answer["body"].read())["usage"]["output_tokens"] == 5
    assert (await watcher.settlement()).usage == Usage(3, 5)
    events = await asyncio.to_thread(invoked, client, max_tokens=7)
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 7
    assert (await watcher.settlement(2)).usage == Usage(3, 7)
    assert watcher.calls[1].call.reading.model == MODEL


async def test_tokens_are_counted(start_bedrock, client_of, watcher):
    client = client_of(await start_bedrock())
    answer = await asyncio.to_thread(client.count_tokens, modelId=MODEL, input={"converse": {"messages": HI}})
    assert answer["inputTokens"] == 812
    assert watcher.calls[0].call.reading.operation == "tokens"


async def test_an_embargoed_region_is_denied_access_with_the_rules_message(start_bedrock, client_of, bedrock):
    error = await error_of(client_of(await start_bedrock(), address=KP))
    assert error.response["Error"]["Code"] == "AccessDeniedException"
    assert "This service is not available in your region." in error.response["Error"]["Message"]
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert error.response["ResponseMetadata"]["RequestId"]
    assert bedrock.requests == []


async def test_a_key_that_no_account_owns_is_not_recognised(start_bedrock, client_of, bedrock):
    error = await error_of(client_of(await start_bedrock(), key_id="AKIANOBODYNOBODY0001"))
    assert error.response["Error"]["Code"] == "UnrecognizedClientException"
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 401
    assert bedrock.requests == []


async def test_over_its_rate_a_customer_is_throttled_and_the_sdk_gives_up_in_the_end(start_bedrock, client_of, bedrock):
    gateway = await start_bedrock()
    client = client_of(gateway)
    for _ in range(6):
        await converse(client, inferenceConfig={"maxTokens": 1})
    error = await error_of(client_of(gateway, attempts=2))
    assert error.response["Error"]["Code"] == "ThrottlingException"
    assert "Six calls an hour, please." in error.response["Error"]["Message"]
    metadata = error.response["ResponseMetadata"]
    assert metadata["RetryAttempts"] == 1
    assert 500 <= int(metadata["HTTPHeaders"]["retry-after"]) <= 662
    assert metadata["HTTPHeaders"]["x-ratelimit-remaining-requests"] == "0"
    assert len(bedrock.requests) == 6


async def test_what_can_be_read_in_two_ways_is_a_validation_error(start_bedrock, client_of, bedrock):
    client = client_of(await start_bedrock())
    with pytest.raises(ClientError) as caught:
        await asyncio.to_thread(invoked, client, maxTokens=5)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "'maxTokens'" in caught.value.response["Error"]["Message"]
    assert bedrock.requests == []


async def test_a_call_is_reshaped_and_signed_as_it_is_then(start_bedrock, client_of, bedrock):
    client = client_of(await start_bedrock(policy=CAPPED))
    assert (await converse(client, inferenceConfig={"maxTokens": 30, "topP": 0.5}))["usage"]["outputTokens"] == 20
    assert bedrock.requests[0][2]["inferenceConfig"] == {"maxTokens": 20, "topP": 0.5}
    assert len(await asyncio.to_thread(invoked, client)) == 25
    assert bedrock.requests[1][2]["max_tokens"] == 20
    assert bedrock.signers == [(FENCES_ID, REGION)] * 2


async def test_a_call_that_its_caller_signed_is_not_reshaped_but_refused(start_bedrock, client_of, bedrock):
    error = await error_of(client_of(await start_bedrock(secret=None, policy=CAPPED)))
    assert error.response["Error"]["Code"] == "AccessDeniedException"
    assert bedrock.requests == []


async def test_a_conversation_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(
    start_bedrock, client_of, bedrock, watcher
):
    gateway = await start_bedrock(policy=BUDGETED)
    bedrock.most_words, bedrock.pace_s = 10_000, 0.0005
    events = await asyncio.to_thread(streamed, client_of(gateway))
    words = [event for event in events if "contentBlockDelta" in event]
    assert BUDGET - STEP <= len(words) <= BUDGET + STEP
    assert [next(iter(event)) for event in events[-3:]] == ["contentBlockStop", "messageStop", "metadata"]
    assert events[-2]["messageStop"] == {"stopReason": "max_tokens"}
    assert events[-1]["metadata"]["usage"]["outputTokens"] == len(words)
    assert bedrock.sent_tokens <= len(words) + STEP  # and the upstream has stopped
    assert (await watcher.settlement()).usage.output_tokens == len(words)
    assert (await error_of(client_of(gateway))).response["Error"]["Code"] == "ThrottlingException"


async def test_a_models_own_stream_that_used_up_its_budget_ends_likewise(start_bedrock, client_of, bedrock):
    gateway = await start_bedrock(policy=BUDGETED)
    bedrock.most_words, bedrock.pace_s = 10_000, 0.0005
    events = await asyncio.to_thread(invoked, client_of(gateway))
    words = [event for event in events if event["type"] == "content_block_delta"]
    assert BUDGET - STEP <= len(words) <= BUDGET + STEP
    assert [event["type"] for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == len(words)
