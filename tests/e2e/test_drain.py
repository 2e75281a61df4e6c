"""A gateway that drains, as the APIs' own SDKs see it: no exception, and the connections of a pool are exchanged."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from tests.e2e.test_anthropic_sdk import StandInAnthropic
from tests.tls_front import Authority, TlsFront

from modelfence.core.upstream import Upstream
from modelfence.settings import Egress, Limits, Recording
from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": "Hi"}]
WITHIN_S = 15
AT_ONCE, IN_TIME = Limits(drain_s=0), Limits(drain_s=60)
BUDGET = 1_600
POLICY = f"""\
version: 1
access:
  - {{id: customers, allow: kyc.status == "active"}}
throttle:
  - {{id: tokens, key: account.id, unit: output_tokens, rate: 5 per day, burst: {BUDGET}}}
"""


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "budget.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
async def claude() -> AsyncIterator[StandInAnthropic]:
    standing_in = StandInAnthropic()
    yield standing_in
    await standing_in.stop()


def openai_of(gateway: Gateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="sk-acme", base_url=f"http://{gateway.listen}/v1", max_retries=0)


async def read_while_it_drains(gateway: Gateway, stream: Any, times: int = 1) -> list[Any]:
    """Begin to drain after so many chunks; return all of them."""
    chunks, draining = [], None
    async with asyncio.timeout(WITHIN_S):
        async for chunk in stream:
            chunks.append(chunk)
            if len(chunks) == times:
                draining = asyncio.create_task(gateway.drain())
        assert draining is not None
        await draining
    return chunks


async def test_openais_sdk_reads_a_stream_to_its_end(start, api, policy):
    gateway = await start(policy=policy, limits=IN_TIME)
    api.words_unasked, api.pace_s = 100, 0.001
    async with openai_of(gateway) as client:
        stream = await client.chat.completions.create(
            model="m", messages=HI, stream=True, extra_headers={"Connection": "close"}
        )
        *chunks, last = await read_while_it_drains(gateway, stream)
    assert len(chunks) == 100
    assert last.choices[0].finish_reason == "stop"


async def test_openais_sdk_sees_a_stream_end_at_the_deadline_and_the_rest_is_given_back(start, api, policy, tmp_path):
    record = Recording(path=tmp_path / "calls.jsonl")
    gateway = await start(policy=policy, limits=AT_ONCE, record=record)
    api.words_unasked, api.pace_s = 1_000, 0.001
    async with openai_of(gateway) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        *chunks, last = await read_while_it_drains(gateway, stream, times=30)
    assert last.choices[0].finish_reason == "length"
    assert 30 <= len(chunks) < 1_000
    [line] = map(json.loads, record.path.read_text().splitlines())
    assert line["usage"]["output_tokens"] == len(chunks)


async def test_anthropics_sdk_sees_a_message_end_at_the_deadline(start, claude, policy):
    gateway = await start(policy=policy, limits=AT_ONCE, upstreams=(claude.start(),))
    claude.most_words, claude.pace_s = 1_000, 0.001
    async with (
        anthropic.AsyncAnthropic(api_key="sk-acme", base_url=f"http://{gateway.listen}", max_retries=0) as client,
        client.messages.stream(model="claude-x", max_tokens=1_000, messages=HI) as stream,
    ):
        await read_while_it_drains(gateway, stream, times=10)
        message = await stream.get_final_message()
    assert message.stop_reason == "max_tokens"
    assert [block.type for block in message.content] == ["text"]


async def test_what_was_reserved_is_there_for_the_next_fence(start, api, policy, redis_server):
    with redis_server.client() as client:
        client.select(9)
        client.flushdb()
    store = f"{redis_server.url}/9"
    old, new = [await start(policy=policy, limits=AT_ONCE, store=store) for _ in range(2)]
    api.words_unasked, api.pace_s = 1_000, 0.001
    async with openai_of(old) as client, openai_of(new) as next_client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        *chunks, _last = await read_while_it_drains(old, stream, times=10)
        answer = await next_client.chat.completions.with_raw_response.create(model="m", messages=HI, max_tokens=1)
    left = int(answer.headers["x-ratelimit-remaining-tokens"])
    assert left == BUDGET - len(chunks) - 1


async def test_a_gateway_that_drains_is_not_ready_and_lives(start, api, policy):
    gateway = await start(policy=policy, limits=IN_TIME)
    api.words_unasked, api.pace_s = 100, 0.001
    async with openai_of(gateway) as client, httpx2.AsyncClient(base_url=f"http://{gateway.admin}") as operator:
        stream = await client.chat.completions.create(
            model="m", messages=HI, stream=True, extra_headers={"Connection": "close"}
        )
        await anext(stream)
        draining = asyncio.create_task(gateway.drain())
        readiness, liveness = await operator.get("/readyz"), await operator.get("/livez")
        async with asyncio.timeout(WITHIN_S):
            assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"
            await draining
    assert (readiness.status_code, readiness.json()["missing"]) == (503, {"fence": "it is stopping"})
    assert liveness.status_code == 200


async def test_tunnels_of_egress_drain_as_well(start, api, policy, tmp_path):
    authority = Authority(tmp_path, "upstream-authority")
    front = TlsFront(authority, authority.certificate("localhost"), int(api.url.rpartition(":")[2]), asks=False)
    try:
        upstream = Upstream(
            "openai", "openai", "https", "localhost", front.port, secret="sk-up", ca=str(authority.file)
        )
        egress = Egress(enabled=True, authority=tmp_path / "ca")
        gateway = await start(policy=policy, limits=IN_TIME, upstreams=(upstream,), egress=egress)
        api.words_unasked, api.pace_s = 100, 0.001
        trusting = ssl.create_default_context(cafile=tmp_path / "ca" / "modelfence-ca-cert.pem")
        http = httpx2.AsyncClient(proxy=f"http://{gateway.listen}", verify=trusting)
        url = f"https://localhost:{front.port}/v1"
        async with openai.AsyncOpenAI(api_key="sk-acme", base_url=url, http_client=http, max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="m", messages=HI, stream=True, extra_headers={"Connection": "close"}
            )
            *chunks, last = await read_while_it_drains(gateway, stream)
    finally:
        front.close()
    assert (len(chunks), last.choices[0].finish_reason) == (100, "stop")
