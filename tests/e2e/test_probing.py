"""Keys are tried out against a running fence, which soon looks at no more of them."""

from dataclasses import replace

import openai
import pytest

from modelfence.settings import Limits

HERE, THERE = "8.8.8.8", "8.8.4.4"


async def ask(gateway, key, address=HERE):
    async with openai.AsyncOpenAI(
        base_url=f"http://{gateway.listen}/v1",
        api_key=key,
        max_retries=0,
        default_headers={"x-forwarded-for": address},
    ) as client:
        await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])


async def test_a_network_that_tries_out_keys_is_held_off_and_its_other_callers_are_not(start):
    gateway = await start(limits=replace(Limits(), bad_credentials_per_minute=2))
    await ask(gateway, "sk-acme")
    for number in range(2):
        with pytest.raises(openai.AuthenticationError):
            await ask(gateway, f"sk-guess-{number}")
    with pytest.raises(openai.RateLimitError, match="without a valid API key") as held_off:
        await ask(gateway, "sk-guess-2")
    assert 1 <= int(held_off.value.response.headers["retry-after"]) <= 33
    await ask(gateway, "sk-acme")
    with pytest.raises(openai.RateLimitError):
        await ask(gateway, "sk-newcomer")
    await ask(gateway, "sk-newcomer", THERE)
    metrics = gateway.metrics.render().decode()
    assert 'modelfence_credentials_total{check="unasked"} 2.0' in metrics
    assert 'effect="throttle",mode="enforce",operation="chat",provider="openai"} 2.0' in metrics
