"""Streams of many accounts on both sides of a canary, through the real SDK: what the upstream sent is what counts."""

import asyncio

import openai
import pytest
from tests.e2e.conftest import ACCOUNTS
from tests.e2e.test_budgets import HI, STEP, ask_until_refused

from modelfence.core.call import key_digest
from modelfence.core.canary import Canary
from modelfence.demo.standin_api import StandInApi
from modelfence.wiring import Gateway

BUDGET = 1_600
NAMES = [f"account-{number}" for number in range(6)]
CAMPAIGN = f"""\
version: 1
access:
  - {{id: customers, allow: kyc.status == "active"}}
throttle:
  - {{id: tokens, key: request.provider, unit: output_tokens, rate: 5 per day, burst: {BUDGET}}}
"""
FREE = CAMPAIGN.partition("throttle:")[0]


@pytest.fixture
def start_with(start, tmp_path):
    async def started(live: str, candidate: str, *, canary: float, store: str) -> Gateway:
        (tmp_path / "live.yaml").write_text(live)
        (tmp_path / "next.yaml").write_text(candidate)
        records = "".join(
            f'  - {{id: {name}, keys: ["{key_digest(f"sk-{name}")}"], status: active, tier: basic}}\n' for name in NAMES
        )
        (tmp_path / "accounts.yaml").write_text(ACCOUNTS.replace("accounts:\n", f"accounts:\n{records}"))
        gateway: Gateway = await start(
            policy=tmp_path / "live.yaml", candidate=tmp_path / "next.yaml", canary=canary, store=store
        )
        return gateway

    return started


def client_of(gateway: Gateway, name: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=f"sk-{name}", base_url=f"http://{gateway.listen}/v1", max_retries=0)


async def test_a_budget_that_accounts_on_both_sides_share_is_not_overdrawn(start_with, store, api: StandInApi):
    sides = [Canary(50, "next.yaml").holds(name) for name in NAMES]
    assert len(set(sides)) == 2
    gateway = await start_with(CAMPAIGN, CAMPAIGN, canary=50.0, store=store)
    api.words_unasked, api.pace_s = 1_000, 0.001
    clients = [client_of(gateway, name) for name in NAMES]
    await asyncio.gather(*(ask_until_refused(client, stream=True) for client in clients for _ in range(2)))
    for client in clients:
        await client.close()
    assert BUDGET - STEP <= api.sent_tokens <= BUDGET + 12 * STEP


async def test_a_throttle_that_only_watches_cuts_no_stream(start_with, store, api: StandInApi):
    gateway = await start_with(FREE, CAMPAIGN, canary=0.0, store=store)
    api.words_unasked, api.pace_s = BUDGET + 10 * STEP, 0.0
    async with client_of(gateway, NAMES[0]) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert api.sent_tokens == BUDGET + 10 * STEP


@pytest.mark.parametrize(
    ("live", "candidate", "canary"), [(CAMPAIGN, FREE, 0.0), (FREE, CAMPAIGN, 100.0)], ids=["live", "candidate"]
)
async def test_the_throttle_of_the_policy_that_acts_cuts_it(start_with, store, api, live, candidate, canary):
    gateway = await start_with(live, candidate, canary=canary, store=store)
    api.words_unasked, api.pace_s = 10_000, 0.0005
    async with client_of(gateway, NAMES[0]) as client:
        stream = await client.chat.completions.create(model="m", messages=HI, stream=True)
        words = [chunk async for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    assert BUDGET - STEP <= len(words) <= BUDGET + STEP
