"""What a running fence records reads back as the calls it judged, with prompts and without."""

import asyncio
import gzip
import json
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from tests.e2e.conftest import StartGateway
from tests.enforcement.outside import Watcher
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from modelfence.core.dialect import Headers
from modelfence.core.upstream import Upstream
from modelfence.dialects.known import DIALECTS
from modelfence.recording.lines import Line, read_line
from modelfence.recording.reading import CallReader
from modelfence.settings import Recording
from modelfence.wire.sanitise import check_request
from modelfence.wiring import Gateway

SECRET = "the passphrase of the vault is seven blue herons, said nobody"
PLAIN: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "system", "content": "You are asked for a judgement: rate the response on a scale of 1 to 10."},
        {"role": "user", "content": SECRET},
        {"role": "assistant", "content": "Indeed"},
        {"role": "user", "content": SECRET * 200},
    ],
    "max_completion_tokens": 12,
    "logprobs": True,
    "logit_bias": {"50256": -100},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
}
STREAM = {**PLAIN, "stream": True}


class Client:
    """Sends calls to a gateway, one after the other."""

    def __init__(self, gateway: Gateway) -> None:
        self._http = httpx2.AsyncClient(base_url=f"http://{gateway.listen}")

    async def post(self, body: bytes, *, key: str | None = "sk-acme", path="/v1/chat/completions", **headers) -> int:
        key_header = {"authorization": f"Bearer {key}"} if key else {}
        answer = await self._http.post(path, content=body, headers={**key_header, **headers})
        return answer.status_code

    async def get(self, path: str, **headers) -> int:
        return (await self._http.get(path, headers={"authorization": "Bearer sk-acme", **headers})).status_code

    async def close(self) -> None:
        await self._http.aclose()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "calls.jsonl"


async def record(start: StartGateway, path, *, prompts: bool) -> tuple[Gateway, Watcher, list[Line]]:
    """Make calls of every kind and return what was judged, in the order of arrival, and what was recorded."""
    watcher = Watcher()
    gateway = await start(watcher, record=Recording(path, prompts=prompts))
    client = Client(gateway)
    plain, indented = json.dumps(PLAIN).encode(), json.dumps(PLAIN, indent=2, ensure_ascii=False).encode() + b"\r\n"
    us = {"x-forwarded-for": "8.8.8.8"}
    assert await client.post(plain, **us) == 200
    assert await client.post(indented, **us) == 200
    assert await client.post(json.dumps(STREAM).encode(), **us) == 200
    assert await client.post(gzip.compress(plain), **us, **{"content-encoding": "gzip"}) == 200
    assert await client.get("/v1/models", **us) == 200
    assert await client.post(plain, key="sk-unknown", **us) == 401
    assert await client.post(plain, key=None, **us) == 401
    assert await client.post(plain, key="not a key", **us) == 401
    assert await client.post(plain, **{"x-forwarded-for": "175.45.176.1"}) == 403
    assert await client.post(b"no json, and of no kind that is known", path="/v1/elsewhere", **us) == 403
    assert await client.post(b"{", **us) == 400  # which is not judged
    statuses = await asyncio.gather(*(client.post(plain, **us) for _ in range(4)))
    assert sorted(statuses) == [200, 429, 429, 429]
    await client.close()
    await gateway.stop()
    lines = [read_line(line) for line in path.read_bytes().removesuffix(b"\n").split(b"\n")]
    watcher.seen.sort(key=lambda judged: judged.call.at_us)
    return gateway, watcher, lines


def reader_of(gateway: Gateway) -> CallReader:
    """Return what replay reads lines with, given the gateway's own settings."""

    def check(method: str, path: str, headers: Headers) -> None:
        check_request(method.encode(), path.encode(), [(name.encode(), value.encode()) for name, value in headers])

    limits = gateway.settings.limits
    return CallReader(gateway.settings.upstreams, DIALECTS, check_head=check, max_request_bytes=limits.request_bytes)


@pytest.mark.parametrize("prompts", [False, True])
async def test_what_was_judged_reads_back_from_its_recording(start, path, prompts):
    gateway, watcher, lines = await record(start, path, prompts=prompts)
    assert len(lines) == len(watcher.seen) == 14
    reader = reader_of(gateway)
    for judged, line in zip(watcher.seen, lines, strict=True):
        call = reader.call_of(line, judged.call.id)
        assert replace(call, fingerprint=None) == judged.call
        if prompts:
            assert call.reading.prompt == judged.call.reading.prompt
        else:
            assert call.fingerprint == judged.extraction.fingerprint
    ended = {settled.judged.call.id: (settled.usage, settled.status) for settled in watcher.ended}
    assert [(line.usage, line.status) for line in lines] == [
        ended.get(judged.call.id, (None, None)) for judged in watcher.seen
    ]
    assert len(ended) == 6


async def test_a_recording_holds_prompts_only_where_it_is_asked_to_and_never_a_key(start, path, tmp_path):
    await record(start, path, prompts=False)
    without = path.read_text()
    await record(start, tmp_path / "with.jsonl", prompts=True)
    held = (tmp_path / "with.jsonl").read_text()
    assert SECRET in held
    assert not [at for at in range(len(SECRET) - 12) if SECRET[at : at + 12] in without]
    assert not [key for key in ("sk-acme", "sk-unknown", "not a key", "sk-upstream") if key in without + held]
    assert "8.8.8.8" in without


async def test_bodies_are_held_for_a_recording_with_prompts_only(start, path):
    _, watcher, _ = await record(start, path, prompts=False)
    assert {judged.call.body for judged in watcher.seen} == {None}


async def test_what_became_of_each_line_is_counted(start, path):
    gateway = await start(record=Recording(path))
    client = Client(gateway)
    for _ in range(3):
        await client.post(json.dumps(PLAIN).encode(), **{"x-forwarded-for": "8.8.8.8"})
    await client.close()
    await gateway.stop()
    assert b'modelfence_recorded_total{outcome="written"} 3.0' in gateway.metrics.render()


@pytest.mark.parametrize("prompts", [False, True])
async def test_realtime_calls_read_back_from_their_recording(start, path, prompts):
    async def speak(connection):
        async for _ in connection:
            response = {"id": "resp_1", "usage": {"input_tokens": 12, "output_tokens": 7}}
            await connection.send(json.dumps({"type": "response.created", "response": response}))
            await connection.send(json.dumps({"type": "response.done", "response": response}))

    watcher = Watcher()
    async with serve(speak, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        upstream = Upstream("openai", "openai", "http", host, port, secret="sk-upstream")
        gateway = await start(watcher, upstreams=(upstream,), record=Recording(path, prompts=prompts))
        headers = {"authorization": "Bearer sk-acme", "x-forwarded-for": "8.8.8.8"}
        address = f"ws://{gateway.listen}/v1/realtime?model=gpt-realtime"
        async with connect(address, additional_headers=headers) as connection:
            await connection.send(json.dumps({"type": "response.create", "response": {"instructions": SECRET}}))
            while json.loads(await connection.recv())["type"] != "response.done":
                pass
        await gateway.stop()
    lines = [read_line(line) for line in path.read_bytes().removesuffix(b"\n").split(b"\n")]
    assert [(line.status, line.usage and line.usage.output_tokens) for line in lines] == [(101, 0), (101, 7)]
    for judged, line in zip(watcher.seen, lines, strict=True):
        assert replace(reader_of(gateway).call_of(line, judged.call.id), fingerprint=None) == judged.call
    assert SECRET not in path.read_text()
    assert b'modelfence_recorded_total{outcome="written"} 2.0' in gateway.metrics.render()
