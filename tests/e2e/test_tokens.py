"""Callers with tokens of an identity provider, through the fence as it runs, with OpenAI's SDK and Anthropic's."""

import json
import logging
import time
from dataclasses import replace
from pathlib import Path

import httpx2
import openai
import pytest
from tests.e2e.conftest import ACCOUNTS
from tests.identity_provider import AUDIENCE, ISSUER, claims, identity_provider, jwk, jwks, token

from modelfence.settings import Auditing, CannotStartError, Jwt, Limits, Recording

JWT = Jwt(ISSUER, (AUDIENCE,))
US = {"x-forwarded-for": "8.8.8.8"}


@pytest.fixture
def provider():
    with identity_provider() as serving:
        yield serving


@pytest.fixture
def by_file(tmp_path) -> Jwt:
    (tmp_path / "jwks.json").write_bytes(jwks(jwk("k1")))
    return replace(JWT, keys=tmp_path / "jwks.json")


def fresh(key="k1", **changes):
    return token(claims(time.time(), **changes), key)


async def ask(gateway, key):
    async with openai.AsyncOpenAI(
        base_url=f"http://{gateway.listen}/v1", api_key=key, max_retries=0, default_headers=US
    ) as client:
        return await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])


async def refusal(gateway, key, error=openai.AuthenticationError):
    with pytest.raises(error) as refused:
        await ask(gateway, key)
    return refused.value.status_code, refused.value.body["message"].partition(" (")[0]


async def test_a_token_lets_its_account_in_and_is_written_nowhere(start, provider, api, tmp_path, caplog):
    kept = {"record": Recording(tmp_path / "calls.jsonl"), "audit": Auditing(tmp_path / "audit.jsonl")}
    with caplog.at_level(logging.DEBUG):
        gateway = await start(jwt=replace(JWT, keys=provider.url), **kept)
        assert f"  tokens    of {ISSUER}\n" in gateway.banner()
        good, bad = fresh(), fresh(aud="billing")
        assert (await ask(gateway, good)).usage.completion_tokens == 40
        assert api.last_headers["authorization"] == "Bearer sk-upstream"
        assert good not in str(api.last_headers)
        assert (await refusal(gateway, bad))[0] == 401
        metrics = gateway.metrics.render().decode()
        await gateway.stop()
    assert 'modelfence_credentials_total{check="valid"} 1.0' in metrics
    assert 'modelfence_jwks_fetches_total{result="fetched"} 1.0' in metrics
    (recording,), (audit,) = tmp_path.glob("calls*"), tmp_path.glob("audit*.jsonl")
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    assert [line.get("account") for line in lines] == ["acme", None]
    judged = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["account"], line["credential"]) for line in judged] == [("acme", "valid"), (None, "unknown")]
    for written in (recording.read_text(), audit.read_text(), caplog.text, metrics):
        for text in (good, bad):
            assert not any(part in written for part in text.split("."))


async def test_an_api_key_is_one_all_the_same_and_a_token_for_any_header_that_has_one(start, by_file):
    gateway = await start(jwt=by_file)
    await ask(gateway, "sk-acme")
    async with httpx2.AsyncClient(base_url=f"http://{gateway.listen}") as client:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}
        for name in ("x-api-key", "api-key", "x-goog-api-key"):
            answer = await client.post("/v1/chat/completions", json=body, headers={name: fresh(), **US})
            assert answer.status_code == 200, answer.text
    assert await refusal(gateway, fresh(sub="nobody")) == await refusal(gateway, "sk-nobody")


async def test_without_the_setting_a_token_is_a_key_that_nobody_has(start):
    assert (await refusal(await start(), fresh()))[0] == 401


async def test_whatever_is_wrong_with_a_token_the_answer_is_one(start, by_file):
    gateway = await start(jwt=by_file, limits=replace(Limits(), bad_credentials_per_minute=0))
    wrong = [
        fresh(exp=int(time.time()) - 31), fresh(aud="x"), fresh(iss="x"), fresh("k2"), fresh()[:-9], "eyJ.e30.", "sk-1",
        "mf_cut",
    ]  # fmt: skip
    answers = {await refusal(gateway, one) for one in wrong}
    assert answers == {(401, "The API key is missing, malformed or not known to this service.")}
    found = gateway.metrics.render().decode()
    assert [f'{{check="{check}"}} {count}.0' in found for check, count in
            {"expired": 1, "unknown": 4, "malformed": 3}.items()] == [True] * 3, found  # fmt: skip


async def test_an_account_that_is_suspended_is_refused_at_once_whatever_its_token_says(start, by_file, tmp_path):
    stated = replace(by_file, claims={"tier": "kyc_tier", "status": "kyc_status"})
    gateway = await start(jwt=stated)
    said = fresh(kyc_tier="enhanced", kyc_status="active")
    await ask(gateway, said)
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS.replace("status: active", "status: suspended", 1))
    assert (await gateway.reload()).changed == ("accounts",)
    assert (await refusal(gateway, said, openai.PermissionDeniedError))[0] == 403


async def test_a_token_may_say_all_of_an_account_that_no_directory_has(start, by_file):
    gateway = await start(jwt=replace(by_file, claims={"tier": "kyc_tier"}))
    await ask(gateway, fresh(sub="globex", kyc_tier="basic"))
    for tier in ("none", "no-such-tier", ...):
        assert (await refusal(gateway, fresh(sub="globex", kyc_tier=tier), openai.PermissionDeniedError))[0] == 403


async def test_keys_of_a_file_are_exchanged_while_it_runs(start, by_file, tmp_path):
    gateway = await start(jwt=by_file)
    old, new = fresh("k1"), fresh("k2")
    await ask(gateway, old)
    assert (await refusal(gateway, new))[0] == 401
    (tmp_path / "jwks.json").write_bytes(b"{}")
    reloaded = await gateway.reload()
    assert (reloaded.changed, list(reloaded.failures)) == ((), ["keys"])
    assert "it is no JWK set" in reloaded.failures["keys"]
    await ask(gateway, old)
    (tmp_path / "jwks.json").write_bytes(jwks(jwk("k2")))
    assert tmp_path / "jwks.json" in gateway.stamps
    assert (await gateway.reload()).changed == ("keys",)
    await ask(gateway, new)
    assert (await refusal(gateway, old))[0] == 401


async def test_a_provider_that_is_away_leaves_those_with_keys_served_and_tokens_for_later(start, provider):
    provider.status = 503
    gateway = await start(jwt=replace(JWT, keys=provider.url))
    await ask(gateway, "sk-acme")
    assert (await refusal(gateway, fresh(), openai.InternalServerError))[0] == 503
    assert 'modelfence_credentials_total{check="unchecked"} 1.0' in gateway.metrics.render().decode()


@pytest.mark.parametrize(
    ("text", "reason"), [(None, "No such file"), (b"{}", "no JWK set"), (b'{"keys": [{}]}', "no public key")]
)
async def test_keys_that_cannot_be_used_keep_it_from_starting(start, tmp_path: Path, text, reason):
    if text is not None:
        (tmp_path / "jwks.json").write_bytes(text)
    with pytest.raises(CannotStartError, match=reason):
        await start(jwt=replace(JWT, keys=tmp_path / "jwks.json"))
