"""Budgets of output tokens, asked for by many at once through the real SDK: what the upstream sent is what counts."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest

from modelfence.demo.standin_api import StandInApi
from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": "Hi"}]
STEP = 256
BUDGET = 1_600
POLICY = f"""\
version: 1
access:
  - {{id: customers, allow: kyc.status == "active"}}
throttle:
  - {{id: tokens, key: account.id, unit: output_tokens, rate: 5 per day, burst: {BUDGET}}}
"""


@pytest.fixture
def policy(tmp_path) -> Path:
    path: Path = tmp_path / "budget.yaml"
    path.write_text(POLICY)
    return path


def client_of(gateway: Gateway, *, max_retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key="sk-acme", base_url=f"http://{gateway.listen}/v1", max_retries=max_retries)


async def ask(client: openai.AsyncOpenAI, **options: Any) -> bool:
    """Make a call to its end and say whether it was let in."""
    try:
        answer = await client.chat.completions.create(model="m", messages=HI, **options)
        if options.get("stream"):
            assert [chunk async for chunk in answer][-1].choices[0].finish_reason in {"stop", "length"}
    except openai.RateLimitError:
        return False
    return True


async def ask_until_refused(client: openai.AsyncOpenAI, **options: Any) -> None:
    while await ask(client, **options):
        pass


@pytest.mark.parametrize("callers", [1, 8, 64])
@pytest.mark.parametrize(
    "options", [{"stream": True}, {"stream": True, "max_completion_tokens": 300}, {"max_completion_tokens": 100}]
)
async def test_a_budget_is_served_and_not_overdrawn(start, store, api: StandInApi, policy, callers, options):
    gateway = await start(store=store, policy=policy)
    api.words_unasked, api.pace_s = 1_000, 0.001  # a model that is faster than any, and takes its time all the same
    async with client_of(gateway) as client:
        await asyncio.gather(*(ask_until_refused(client, **options) for _ in range(callers)))
    open_streams = min(callers, BUDGET // STEP + 1) if options.get("stream") else 0
    assert BUDGET - STEP <= api.sent_tokens <= BUDGET + open_streams * STEP


async def test_several_fences_on_one_redis_share_one_budget(start, redis_server, api: StandInApi, policy):
    with redis_server.client() as client:
        client.select(9)
        client.flushdb()
    gateways = [await start(store=f"{redis_server.url}/9", policy=policy) for _ in range(4)]
    api.words_unasked, api.pace_s = 1_000, 0.001
    clients = [client_of(gateway) for gateway in gateways]
    await asyncio.gather(*(ask_until_refused(client, stream=True) for client in clients for _ in range(4)))
    for client in clients:
        await client.close()
    assert BUDGET - STEP <= api.sent_tokens <= BUDGET + 12 * STEP


async def test_a_stream_that_used_up_its_budget_ends_as_if_it_had_reached_its_limit(start, store, api, policy):
    gateway = await start(store=store, policy=policy)
    api.words_unasked, api.pace_s = 10_000, 0.0005
    async with client_of(gateway) as client:
        stream = await client.chat.completions.create(
            model="m", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
        assert BUDGET - STEP <= len(words) <= BUDGET + STEP
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage.completion_tokens == len(words)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="m", messages=HI)
    assert caught.value.response.headers["x-ratelimit-remaining-tokens"] == str(max(0, BUDGET - len(words)))
    assert api.sent_tokens <= len(words) + STEP  # and the upstream has stopped


async def test_an_answer_says_what_is_left(start, store, api, policy):
    gateway = await start(store=store, policy=policy)
    async with client_of(gateway) as client:
        answer = await client.chat.completions.with_raw_response.create(
            model="m", messages=HI, max_completion_tokens=1_000
        )
    assert answer.headers["x-ratelimit-limit-tokens"] == str(BUDGET)
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(BUDGET - 1_000)
    assert api.requests == 1


async def test_the_sdks_own_back_off_succeeds_on_its_retry(start, store, api, tmp_path):
    path = tmp_path / "brisk.yaml"
    path.write_text(POLICY.replace("5 per day", "2000 per second").replace(f"burst: {BUDGET}", "burst: 1000"))
    gateway = await start(store=store, policy=path)
    async with client_of(gateway, max_retries=1) as client:
        for _ in range(2):  # the second waits half a second, as it is told
            await client.chat.completions.create(model="m", messages=HI, max_completion_tokens=1_000)
    assert api.sent_tokens == 2_000
