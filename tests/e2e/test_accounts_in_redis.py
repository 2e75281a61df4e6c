"""OpenAI's own client before a fence whose accounts are in a real Redis, which goes away."""

import asyncio
from typing import Any

import openai
import pytest

from modelfence.adapters.redis.accounts_writer import RedisAccountsWriter
from modelfence.core.account import Account, Entry, Key
from modelfence.core.call import key_digest
from modelfence.settings import Limits

ACME = Entry(Account("acme", "active", "verified", ownership={}), (Key(key_digest("sk-acme")),))
HI: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
async def redis(start_redis):
    server = start_redis()
    writer = RedisAccountsWriter(server.url)
    await writer.put([ACME])
    await writer.close()
    return server


@pytest.fixture
async def gateway(start, redis):
    return await start(accounts=redis.url.replace("//", "//default:@"), limits=Limits(directory_ms=500))


async def ask(gateway, key):
    base_url, headers = f"http://127.0.0.1:{gateway.listen.port}/v1", {"x-forwarded-for": "8.8.8.8"}
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, default_headers=headers, max_retries=0) as client:
        return await client.chat.completions.create(model="gpt-4o", messages=HI, max_completion_tokens=3)


async def test_who_is_in_redis_is_let_in_and_nobody_else(gateway, redis):
    assert (await ask(gateway, "sk-acme")).choices
    with pytest.raises(openai.AuthenticationError):
        await ask(gateway, "sk-nobody")
    assert (await gateway.readiness()).missing == {}
    assert f"accounts  redis://127.0.0.1:{redis.port}\n" in gateway.banner()


async def test_while_redis_is_away_nobody_is_let_in_and_the_fence_is_not_ready(gateway, redis):
    redis.kill()
    with pytest.raises(openai.InternalServerError) as refused:
        await ask(gateway, "sk-acme")
    assert refused.value.status_code == 503
    assert list((await gateway.readiness()).missing) == ["accounts"]
    redis.start()
    async with asyncio.timeout(20):
        while (await gateway.readiness()).missing:
            pass
    with pytest.raises(openai.AuthenticationError):  # it has come back empty
        await ask(gateway, "sk-acme")
