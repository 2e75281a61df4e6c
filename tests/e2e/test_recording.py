"""What a running fence records reads back as the calls it judged, with prompts and without."""

import asyncio
import gzip
import json
from typing import Any

import httpx2
import pytest
from tests.e2e.conftest import StartGateway
from tests.enforcement.outside import Watcher

from modelfence.core.call import Call
from modelfence.core.dialect import Request
from modelfence.core.strict_json import parse
from modelfence.dialects.openai import OpenAI
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.recording.lines import Line, read_line
from modelfence.settings import Recording
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


async def record(start: StartGateway, path, *, prompts: bool) -> tuple[Watcher, list[Line]]:
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
    return watcher, lines


def call_of(line: Line, *, id: str) -> Call:  # noqa: A002 - its name in a call
    """Return the call of a line that was recorded in front of OpenAI's API."""
    body = parse(line.body) if line.body else None
    reading = line.reading or OpenAI().read(Request(line.method, line.path, (), line.body, body))
    return Call(
        id=id,
        at_us=line.at_us,
        client_ip=line.client_ip,
        credential=line.credential,
        provider=line.provider,
        method=line.method,
        path=line.path,
        bytes=line.bytes,
        reading=reading,
        max_output_tokens=line.max_output_tokens,
    )


@pytest.mark.parametrize("prompts", [False, True])
async def test_what_was_judged_reads_back_from_its_recording(start, path, prompts):
    watcher, lines = await record(start, path, prompts=prompts)
    assert len(lines) == len(watcher.seen) == 14
    assert [call_of(line, id=judged.call.id) for judged, line in zip(watcher.seen, lines, strict=True)] == [
        judged.call for judged in watcher.seen
    ]
    ended = {settled.judged.call.id: settled for settled in watcher.ended}
    for judged, line in zip(watcher.seen, lines, strict=True):
        settled = ended.get(judged.call.id)
        assert (line.usage, line.status) == ((settled.usage, settled.status) if settled else (None, None))
        read_again = call_of(line, id="")
        fingerprint = line.fingerprint or Fingerprints().of(read_again.reading.prompt)
        assert fingerprint == judged.extraction.fingerprint
    assert sum(line.usage is not None for line in lines) == len(ended) == 6


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
    watcher, _ = await record(start, path, prompts=False)
    assert {judged.call.body for judged in watcher.seen} == {None}


async def test_what_became_of_each_line_is_counted(start, path):
    gateway = await start(record=Recording(path))
    client = Client(gateway)
    for _ in range(3):
        await client.post(json.dumps(PLAIN).encode(), **{"x-forwarded-for": "8.8.8.8"})
    await client.close()
    await gateway.stop()
    assert b'modelfence_recorded_total{outcome="written"} 3.0' in gateway.metrics.render()
