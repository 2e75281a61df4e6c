"""The real OpenAI client through the fence: what it lets in arrives, and what it refuses is raised as OpenAI's own errors."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from modelfence.wiring import Gateway

HI: Any = [{"role": "user", "content": "Hi"}]
US, KP = "8.8.8.8", "175.45.176.1"


@pytest.fixture
async def gateway(start, store) -> Gateway:
    return await start(store=store)


@pytest.fixture
async def client(gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with _client(gateway) as client:
        yield client


def _client(gateway: Gateway, key: str = "sk-acme", address: str = US) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=key,
        base_url=f"http://{gateway.listen}/v1",
        default_headers={"x-forwarded-for": address},
        max_retries=0,
    )


async def _refusal(gateway, error, *, key="sk-acme", address=US, model="gpt-4o"):
    async with _client(gateway, key, address) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(model=model, messages=HI)
    return caught.value


async def test_a_customer_is_let_in(client, api):
    answer = await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert answer.choices[0].message.content
    assert answer.usage.completion_tokens == 40
    assert api.requests == 1


async def test_a_stream_comes_through_with_its_usage(client):
    stream = await client.chat.completions.create(
        model="gpt-4o", messages=HI, stream=True, max_completion_tokens=7, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(words) == 7
    assert chunks[-1].usage.completion_tokens == 7


async def test_the_synchronous_client_is_served_as_well(gateway, api):
    def call() -> tuple[str, int]:
        with openai.OpenAI(
            api_key="sk-acme",
            base_url=f"http://{gateway.listen}/v1",
            default_headers={"x-forwarded-for": US},
            max_retries=0,
        ) as client:
            answer = client.chat.completions.create(model="gpt-4o", messages=HI)
            stream = client.chat.completions.create(model="gpt-4o", messages=HI, stream=True)
            return answer.choices[0].message.content, sum(1 for _ in stream)

    text, chunks = await asyncio.to_thread(call)
    assert text
    assert chunks == 41
    assert api.requests == 2


async def test_models_are_listed(client):
    assert "gpt-4o" in [model.id async for model in await client.models.list()]


async def test_an_embargoed_region_is_refused_with_the_rules_message(gateway, api):
    error = await _refusal(gateway, openai.PermissionDeniedError, address=KP)
    assert "This service is not available in your region." in str(error)
    assert error.request_id
    assert api.requests == 0


async def test_an_unverified_customer_is_refused_a_reserved_model(gateway, api):
    error = await _refusal(gateway, openai.PermissionDeniedError, key="sk-newcomer", model="o3-deep-research")
    assert "Verify your organisation to use this model." in str(error)
    assert api.requests == 0


async def test_indirect_ownership_counts(gateway, api):
    error = await _refusal(gateway, openai.PermissionDeniedError, key="sk-holding")
    assert "not available to your organisation" in str(error)
    assert api.requests == 0


async def test_owners_never_stated_count_against_a_verified_customer(gateway, api):
    await _refusal(gateway, openai.PermissionDeniedError, key="sk-undisclosed")
    assert api.requests == 0


async def test_an_expired_verification_is_the_lowest_tier(gateway, api):
    await _refusal(gateway, openai.PermissionDeniedError, key="sk-lapsed")
    assert api.requests == 0


async def test_an_unknown_key_is_an_authentication_error(gateway, api):
    await _refusal(gateway, openai.AuthenticationError, key="sk-nobody")
    assert api.requests == 0


async def test_over_its_rate_a_customer_is_told_when_to_come_back(gateway, api):
    async with _client(gateway) as client:
        for _ in range(6):
            await client.chat.completions.create(model="gpt-4o", messages=HI, max_completion_tokens=1)
    error = await _refusal(gateway, openai.RateLimitError)
    assert "Six calls an hour, please." in str(error)
    assert 500 <= int(error.response.headers["retry-after"]) <= 662  # ten minutes, lengthened by 2 s at most
    assert error.response.headers["x-ratelimit-limit-requests"] == "6"
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert api.requests == 6


async def test_a_call_that_could_overdraw_the_token_budget_waits_for_the_one_before_it(gateway, api):
    async with _client(gateway) as client:
        await client.chat.completions.create(model="gpt-4o", messages=HI, max_completion_tokens=1500)
        error = None
        try:
            await client.chat.completions.create(model="gpt-4o", messages=HI, max_completion_tokens=600)
        except openai.RateLimitError as caught:
            error = caught
    assert error is not None
    assert error.response.headers["x-ratelimit-limit-tokens"] == "2000"
    assert api.sent_tokens == 1500


async def test_what_was_reserved_and_not_used_is_given_back(gateway, api):
    async with _client(gateway) as client:
        for _ in range(3):  # each reserves 1024 for an answer of 40; three together would not fit into 2000
            await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert api.requests == 3


async def test_a_streams_tokens_are_charged_when_it_ends(gateway, api):
    async with _client(gateway) as client:
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=HI, stream=True, max_completion_tokens=1900
        )
        async for _ in stream:
            pass
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="gpt-4o", messages=HI, max_completion_tokens=200)
    assert api.sent_tokens == 1900


async def test_token_probabilities_are_taken_out_below_the_highest_tier(gateway, api):
    async with _client(gateway) as client:
        await client.chat.completions.create(
            model="gpt-4o", messages=HI, logprobs=True, top_logprobs=5, logit_bias={"50256": -100}
        )
    assert {"logprobs", "top_logprobs", "logit_bias"}.isdisjoint(api.last_body)
    assert api.last_body["messages"] == HI


async def test_the_callers_key_never_reaches_an_upstream_that_has_its_own(client, api):
    await client.chat.completions.create(model="gpt-4o", messages=HI)
    assert api.last_headers["authorization"] == "Bearer sk-upstream"
    assert "sk-acme" not in str(api.last_headers)
    assert "x-forwarded-for" not in api.last_headers
