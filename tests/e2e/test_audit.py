"""The audit log of a running fence: what its callers did, and nothing of what they said."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, AuthenticationError, PermissionDeniedError, RateLimitError
from tests.e2e.conftest import POLICY
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from modelfence.adapters.audit.reading import verified
from modelfence.audit.chain import Seals
from modelfence.core.upstream import Upstream
from modelfence.settings import Auditing, CannotStartError

WITHIN_S = 20
SECRET = "the passphrase of the vault is seven blue herons, said nobody"
KEY = "0123456789abcdef0123456789abcdef"
US, KP = {"x-forwarded-for": "8.8.8.8"}, {"x-forwarded-for": "175.45.176.1"}


def lines(folder: Path, seals: Seals = Seals()) -> list[dict[str, Any]]:  # noqa: B008 - frozen
    (chain,) = verified([folder], seals)
    assert (chain.verified.breaks, chain.verified.notes) == ([], ())
    return [json.loads(line) for path in chain.chain.files for line in path.read_bytes().splitlines()]


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def sdk(gateway, key="sk-acme") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"http://{gateway.listen}/v1", api_key=key, max_retries=0)


async def ask(client: AsyncOpenAI, headers=US, **options):
    messages: Any = [{"role": "user", "content": SECRET}]
    return await client.chat.completions.create(model="gpt-4o", messages=messages, extra_headers=headers, **options)


async def test_each_decision_is_a_line_with_its_evidence_and_no_text(start, folder):
    gateway = await start(audit=Auditing(folder / "audit.jsonl"))
    async with sdk(gateway) as client, sdk(gateway, "sk-unknown-to-all") as stranger:
        answer = await ask(client)
        async for _ in await ask(client, stream=True, stream_options={"include_usage": True}):
            pass
        with pytest.raises(PermissionDeniedError):
            await ask(client, KP)
        for _ in range(4):
            await ask(client)
        with pytest.raises(RateLimitError):
            await ask(client)
        with pytest.raises(AuthenticationError):
            await ask(stranger)
    await gateway.stop()
    found = lines(folder)
    assert [line["effect"] for line in found] == ["allow", "allow", "deny", *["allow"] * 4, "throttle", "deny"]
    plain, _stream, denied, *_, throttled, unknown = found
    assert plain["usage"]["output_tokens"] == answer.usage.completion_tokens
    assert (plain["account"], plain["tier"], plain["country"], plain["status"]) == ("acme", "verified", "US", 200)
    assert plain["account_version"] == (await gateway.parts.accounts.get("acme")).version
    assert plain["policy"] == gateway.parts.policy.hash
    assert plain["geo"]["country"] is not None
    assert [charge["throttle"] for charge in plain["charges"]] == ["requests-per-account", "tokens-per-account"]
    assert (denied["rules"], denied["country"], denied["usage"]) == (["embargoed-region"], "KP", None)
    assert throttled["rules"] == ["requests-per-account"]
    assert throttled["retry_after"] > 0
    assert (unknown["account"], unknown["kyc_status"], len(unknown["key"])) == (None, "unknown", 12)
    text = "".join(path.read_text() for path in folder.iterdir())
    assert not [at for at in range(len(SECRET) - 12) if SECRET[at : at + 12] in text]
    assert not [key for key in ("sk-acme", "sk-unknown", "sk-upstream") if key in text]
    assert "Six calls an hour" in POLICY
    assert "Six calls an hour" not in text
    assert b'modelfence_audit_lines_total{outcome="written"} 9.0' in gateway.metrics.render()


async def test_a_call_under_way_when_the_fence_stops_is_settled_and_has_its_line(start, folder):
    gateway = await start(audit=Auditing(folder / "audit.jsonl"))
    async with sdk(gateway) as client:
        stream = await ask(client, stream=True)
        await anext(aiter(stream))
        await gateway.stop()
    (line,) = lines(folder)
    assert (line["effect"], line["settled"]) == ("allow", True)


async def test_each_answer_of_a_realtime_session_is_a_line_with_what_it_used(start, folder):
    async def speak(connection):
        async for _ in connection:
            response = {"id": "resp_1", "usage": {"input_tokens": 12, "output_tokens": 7}}
            await connection.send(json.dumps({"type": "response.created", "response": response}))
            await connection.send(json.dumps({"type": "response.done", "response": response}))

    async with serve(speak, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        upstream = Upstream("openai", "openai", "http", host, port, secret="sk-upstream")
        gateway = await start(upstreams=(upstream,), audit=Auditing(folder / "audit.jsonl"))
        address = f"ws://{gateway.listen}/v1/realtime?model=gpt-realtime"
        async with connect(address, additional_headers={"authorization": "Bearer sk-acme", **US}) as connection:
            await connection.send(json.dumps({"type": "response.create", "response": {"instructions": SECRET}}))
            while json.loads(await connection.recv())["type"] != "response.done":
                pass
        await gateway.stop()
    found = lines(folder)
    assert {line["operation"] for line in found} == {"realtime"}
    assert sorted(line["usage"]["output_tokens"] for line in found) == [0, 7]
    assert all(line["settled"] for line in found)
    assert SECRET not in (folder / "audit.w0.jsonl").read_text()


async def test_the_chain_goes_on_after_a_restart(start, folder):
    audit = Auditing(folder / "audit.jsonl")
    for _ in range(2):
        gateway = await start(audit=audit)
        async with sdk(gateway) as client:
            await ask(client)
        await gateway.stop()
    assert [line["seq"] for line in lines(folder)] == [1, 2]


async def test_addresses_are_hashed_and_lines_sealed_with_the_key_of_a_file(start, folder, tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    gateway = await start(audit=Auditing(folder / "audit.jsonl", key_file=key_file, addresses="hashed"))
    async with sdk(gateway) as client:
        await ask(client)
    await gateway.stop()
    (line,) = lines(folder, Seals(KEY.encode()))
    assert line["address"] is None
    assert line["hash"].startswith("hmac-sha256:")
    assert "8.8.8.8" not in "".join(path.read_text() for path in folder.iterdir())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"addresses": "hashed"}, "`audit.addresses: hashed` needs a key"),
        ({"key_file": Path("/nowhere/key")}, "the key file /nowhere/key can't be read"),
        ({"path": Path("/nowhere/audit.jsonl")}, "can't be written: its folder does not exist"),
    ],
)
async def test_a_log_that_can_not_be_kept_keeps_the_fence_from_starting(start, folder, changes, reason):
    with pytest.raises(CannotStartError, match=reason):
        await start(audit=Auditing(**{"path": folder / "audit.jsonl", **changes}))


async def post(gateway) -> httpx2.Response:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET}]}
    headers = {"authorization": "Bearer sk-acme", **US}
    async with httpx2.AsyncClient(base_url=f"http://{gateway.listen}") as client:
        return await client.post("/v1/chat/completions", json=body, headers=headers)


def put_in_the_way(folder: Path) -> Path:
    """Return a folder that has the name which the first file would get when it is set aside."""
    in_the_way = folder / "audit.w0.000000000001.jsonl"
    in_the_way.mkdir()
    return in_the_way


async def failing(gateway) -> None:
    """Call until it is noticed that the log can't be written."""
    async with asyncio.timeout(WITHIN_S):
        while gateway._audit.is_kept:
            await post(gateway)


async def test_while_the_log_can_not_be_written_calls_are_refused_and_then_let_in_again(start, folder, tmp_path):
    (tmp_path / "policy.yaml").write_text("version: 1\naccess: [{id: everyone, allow: 'true'}]\n")
    gateway = await start(audit=Auditing(folder / "audit.jsonl", max_bytes=1))
    in_the_way = put_in_the_way(folder)
    await failing(gateway)
    refused = await post(gateway)
    assert refused.status_code == 503
    assert refused.json()["error"]["message"].startswith("The service can't check this request right now")
    assert "audit" in (await gateway.readiness()).missing
    in_the_way.rmdir()
    async with asyncio.timeout(WITHIN_S):
        while not gateway._audit.is_kept:
            await post(gateway)
    assert (await post(gateway)).status_code == 200
    assert not (await gateway.readiness()).missing
    await gateway.stop()
    effects = {line["effect"] for line in lines(folder)}
    assert effects == {"allow", "error"}


async def test_calls_are_let_in_without_evidence_where_the_settings_say_so(start, folder, tmp_path):
    (tmp_path / "policy.yaml").write_text("version: 1\naccess: [{id: everyone, allow: 'true'}]\n")
    gateway = await start(audit=Auditing(folder / "audit.jsonl", max_bytes=1, on_failure="allow"))
    in_the_way = put_in_the_way(folder)
    await failing(gateway)
    assert (await post(gateway)).status_code == 200
    in_the_way.rmdir()
