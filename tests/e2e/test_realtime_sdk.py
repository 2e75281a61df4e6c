"""Realtime sessions through the whole fence, with OpenAI's and Google's own clients."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import openai
import pytest
from google import genai
from google.genai import types
from tests.tls_front import Authority
from tests.wire.outside import Watcher
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from modelfence.core.upstream import Upstream
from modelfence.settings import Tls

US = {"x-forwarded-for": "216.160.83.56"}
WITHIN_S = 10
LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


class Api:
    """Stands in for both APIs."""

    def __init__(self) -> None:
        self.headers: list[Any] = []
        self.received: list[Any] = []
        self.port = 0

    async def serve(self, connection):
        self.headers.append(connection.request.headers)
        talk = self.speak_gemini if connection.request.path.startswith(LIVE) else self.speak_openai
        with suppress(ConnectionClosed):
            await talk(connection)

    async def speak_openai(self, connection):
        await connection.send(json.dumps({"type": "session.created", "event_id": "e", "session": {"type": "realtime"}}))
        async for message in connection:
            self.received.append(json.loads(message))
            if self.received[-1]["type"] != "response.create":
                continue
            response: Any = {"id": "resp_1", "object": "realtime.response", "status": "completed", "output": []}
            await connection.send(json.dumps({"type": "response.created", "event_id": "e", "response": response}))
            delta = {"response_id": "resp_1", "item_id": "i", "output_index": 0, "content_index": 0, "delta": "hi"}
            await connection.send(json.dumps({"type": "response.output_text.delta", "event_id": "e", **delta}))
            response["usage"] = {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19}
            await connection.send(json.dumps({"type": "response.done", "event_id": "e", "response": response}))

    async def speak_gemini(self, connection):
        async for message in connection:
            self.received.append(json.loads(message))
            if "setup" in self.received[-1]:
                await connection.send(json.dumps({"setupComplete": {}}))
                continue
            turn = {"parts": [{"text": "hi"}], "role": "model"}
            await connection.send(json.dumps({"serverContent": {"modelTurn": turn}}))
            usage = {"promptTokenCount": 12, "responseTokenCount": 7, "totalTokenCount": 19}
            await connection.send(json.dumps({"serverContent": {"turnComplete": True}, "usageMetadata": usage}))


@pytest.fixture
async def realtime_api():
    api = Api()
    async with serve(api.serve, "127.0.0.1", 0) as server:
        api.port = server.sockets[0].getsockname()[1]
        yield api


@pytest.fixture
async def watcher():
    return Watcher()


@pytest.fixture
async def upstreams(realtime_api):
    at = ("http", "127.0.0.1", realtime_api.port)
    return (
        Upstream("openai", "openai", *at, secret="sk-upstream"),
        Upstream("gemini", "gemini", *at, prefix="/gemini", secret="sk-upstream"),
    )


@pytest.fixture
async def gateway(start, upstreams, watcher):
    return await start(watcher, upstreams=upstreams)


@pytest.fixture
async def gateway_with_tls(start, upstreams, watcher, tmp_path, monkeypatch):
    """Google's client speaks to websockets over TLS only."""
    authority = Authority(tmp_path, "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return await start(watcher, upstreams=upstreams, tls=Tls(cert=authority.certificate("localhost")))


def openai_client(gateway, key="sk-acme"):
    return openai.AsyncOpenAI(
        api_key=key, base_url=f"http://{gateway.listen}/v1", websocket_base_url=f"ws://{gateway.listen}/v1"
    )


def gemini_client(gateway, key="sk-acme"):
    options = types.HttpOptions(base_url=f"https://localhost:{gateway.listen.port}/gemini", headers=US)
    return genai.Client(api_key=key, http_options=options)


async def usages(watcher, count):
    await watcher.settlement(count)
    return [(one.usage.input_tokens, one.usage.output_tokens) for one in watcher.settlements]


async def test_openais_client_talks_and_what_it_is_answered_is_settled(gateway, realtime_api, watcher):
    async with (
        openai_client(gateway) as client,
        client.realtime.connect(model="gpt-realtime", extra_headers=US) as connection,
    ):
        await connection.session.update(session={"type": "realtime", "instructions": "be brief"})
        await connection.response.create()
        async with asyncio.timeout(WITHIN_S):
            async for event in connection:
                if event.type == "response.done":
                    break
    assert (await usages(watcher, 2))[:2] == [(0, 0), (12, 7)]
    assert realtime_api.headers[0]["authorization"] == "Bearer sk-upstream"
    assert "x-forwarded-for" not in realtime_api.headers[0]


async def test_openais_client_is_told_of_a_refusal(gateway, realtime_api):
    async with openai_client(gateway, "sk-nobody") as client:
        with pytest.raises(InvalidStatus) as error:
            async with client.realtime.connect(model="gpt-realtime", extra_headers=US):
                pass
    assert error.value.response.status_code == 401
    assert realtime_api.headers == []


async def ask_on(connection):
    """Ask again and again; collect what goes wrong into the list that is returned when the connection is closed."""
    errors = []
    async with asyncio.timeout(WITHIN_S):
        try:
            while True:
                await connection.response.create()
                while (event := await connection.recv()).type != "response.done":
                    errors += [event.error.message] if event.type == "error" else []
        except ConnectionClosed as closed:
            return errors, closed.rcvd.code


async def test_openais_client_is_cut_off_when_it_asks_too_often(gateway):
    async with (
        openai_client(gateway) as client,
        client.realtime.connect(model="gpt-realtime", extra_headers=US) as connection,
    ):
        errors, code = await ask_on(connection)
    assert code == 1008
    assert "Six calls an hour, please." in errors[0]


async def test_googles_client_talks_and_what_it_is_answered_is_settled(gateway_with_tls, realtime_api, watcher):
    async with gemini_client(gateway_with_tls).aio.live.connect(model="gemini-live", config={}) as session:
        await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="hi")]))
        async with asyncio.timeout(WITHIN_S):
            texts = [message.text async for message in session.receive() if message.text]
    assert texts == ["hi"]
    assert (await usages(watcher, 3))[:3] == [(0, 0), (0, 0), (12, 7)]
    assert [judged.call.reading.model for judged in watcher.calls] == ["", "gemini-live", "gemini-live"]
    assert realtime_api.headers[0]["x-goog-api-key"] == "sk-upstream"
    assert realtime_api.received[0]["setup"]["model"] == "models/gemini-live"


async def test_googles_client_is_cut_off_before_a_model_that_is_not_for_it(gateway_with_tls, realtime_api):
    client = gemini_client(gateway_with_tls, "sk-newcomer")
    with pytest.raises(genai.errors.APIError, match="Verify your organisation") as error:
        await client.aio.live.connect(model="o3-deep-research", config={}).__aenter__()
    assert error.value.code == 1008
    assert realtime_api.received == []
