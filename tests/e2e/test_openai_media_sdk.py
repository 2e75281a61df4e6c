"""The real OpenAI client through the fence: pictures, sound, moderation, files and batches."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from tests.e2e.conftest import ANY_PORT
from tests.wire.outside import Watcher
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

from modelfence.core.call import Usage
from modelfence.core.decision import Effect
from modelfence.core.upstream import Upstream
from modelfence.listening import bind
from modelfence.wiring import Gateway

US = "8.8.8.8"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 2_000_000
"""Larger in base64 than any event that is kept."""
SOUND = b"RIFF\r\n--boundary\r\n\x00\xff" * 100
IMAGE_USAGE = {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106}
OPEN = """\
version: 1
access:
  - id: anyone
    allow: 'true'
"""


@dataclass
class Seen:
    """What the stand-in API received last, and how many calls it received."""

    requests: int = 0
    path: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[bytes]] = field(default_factory=dict)
    body: bytes = b""


class _Media(RequestHandler):
    """Stands in for OpenAI's API; tornado reads the forms."""

    def initialize(self, seen: Seen) -> None:
        self._seen = seen

    async def post(self) -> None:
        seen, request = self._seen, self.request
        seen.requests, seen.path, seen.body = seen.requests + 1, request.path, request.body
        seen.fields = {name: [value.decode() for value in values] for name, values in request.body_arguments.items()}
        seen.files = {name: [one.body for one in files] for name, files in request.files.items()}
        is_json = request.headers.get("Content-Type", "").startswith("application/json")
        asked: Any = json.loads(request.body) if is_json else {name: values[-1] for name, values in seen.fields.items()}
        match request.path.removeprefix("/v1/"):
            case "images/generations" if asked.get("stream"):
                partial_images = asked.get("partial_images", 1)
                png = PNG if partial_images == 1 else PNG[:100]
                picture = {"b64_json": base64.b64encode(png).decode(), "created_at": 0}
                await self._stream(
                    *[{**picture, "type": "image_generation.partial_image", "partial_image_index": 0}] * partial_images,
                    *[{**picture, "type": "image_generation.completed", "usage": IMAGE_USAGE}] * asked.get("n", 1),
                )
            case "images/generations" | "images/edits":
                data = [{"b64_json": "iVBORw0KGgo="}] * int(asked.get("n") or 1)
                self.write({"created": 0, "data": data, "usage": IMAGE_USAGE})
            case "audio/speech":
                self.set_header("Content-Type", "audio/mpeg")
                self.write(b"\xff" * 51_200)
            case "audio/transcriptions" if asked.get("stream"):
                words: list[dict[str, object]] = [{"type": "transcript.text.delta", "delta": " well"}] * 5_000
                await self._stream(*words, {"type": "transcript.text.done", "text": " well" * 5_000})
            case "audio/transcriptions" if asked.get("response_format") == "text":
                self.set_header("Content-Type", "text/plain; charset=utf-8")
                self.write("twelve bytes")
            case "audio/transcriptions":
                usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}
                self.write({"text": "well", "usage": usage})
            case "moderations":
                self.write({"id": "modr-1", "model": "omni-moderation-latest", "results": []})
            case "files":
                self.write({"id": "file-1", "object": "file", "filename": "a.jsonl", "purpose": "batch"})
            case "batches":
                self.write({"id": "batch_1", "object": "batch", "status": "validating"})

    async def _stream(self, *events: dict[str, object]) -> None:
        self.set_header("Content-Type", "text/event-stream")
        try:
            for place, event in enumerate(events):
                self.write(f"data: {json.dumps(event)}\n\n")
                if place % 100 == 0 or len(events) < 100:
                    await self.flush()
                    await asyncio.sleep(0.002)  # so that what is short does not arrive all at once
            await self.flush()
        except StreamClosedError:
            return


@pytest.fixture
async def seen() -> AsyncIterator[tuple[Seen, Upstream]]:
    seen, listening = Seen(), bind("stand-in", ANY_PORT)
    server = HTTPServer(Application([(r"/v1/.*", _Media, {"seen": seen})], log_function=lambda _: None))
    server.add_socket(listening)
    host, port = _address(listening)
    yield seen, Upstream("openai", "openai", "http", host, port, secret="sk-upstream")
    server.stop()
    await server.close_all_connections()


def _address(listening: socket.socket) -> tuple[str, int]:
    host, port = listening.getsockname()[:2]
    return host, port


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
async def gateway(start, seen, watcher) -> Gateway:
    return await start(watcher, upstreams=(seen[1],))


@pytest.fixture
async def open_gateway(start, seen, watcher, tmp_path) -> Gateway:
    (tmp_path / "open.yaml").write_text(OPEN)
    return await start(watcher, upstreams=(seen[1],), policy=tmp_path / "open.yaml")


def _client(gateway: Gateway) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key="sk-acme",
        base_url=f"http://{gateway.listen}/v1",
        default_headers={"x-forwarded-for": US},
        max_retries=0,
    )


async def test_pictures_are_made_and_paid(gateway, watcher):
    async with _client(gateway) as client:
        answer = await client.images.generate(model="gpt-image-1", prompt="A cat in a hat", n=2, size="1024x1024")
    assert len(answer.data) == 2
    settled = await watcher.settlement()
    assert settled.judged.call.reading.operation == "image"
    assert settled.judged.call.reading.choices == 2
    assert settled.usage == Usage(50, 1056)


async def test_a_stream_of_large_pictures_comes_through_and_is_paid_once(gateway, watcher):
    async with _client(gateway) as client:
        stream = await client.images.generate(model="gpt-image-1", prompt="A cat", stream=True, partial_images=1)
        events = [event async for event in stream]
    assert [event.type for event in events] == ["image_generation.partial_image", "image_generation.completed"]
    assert all(base64.b64decode(event.b64_json) == PNG for event in events)
    assert (await watcher.settlement()).usage == Usage(50, 1056)


async def test_pictures_to_edit_arrive_as_they_were_sent(gateway, seen, watcher):
    async with _client(gateway) as client:
        await client.images.edit(model="gpt-image-1", image=[PNG, SOUND], mask=PNG, prompt="Ein größerer Hut", n=3)
    assert seen[0].files == {"image[]": [PNG, SOUND], "mask": [PNG]}
    assert seen[0].fields == {"model": ["gpt-image-1"], "prompt": ["Ein größerer Hut"], "n": ["3"]}
    reading = (await watcher.settlement()).judged.call.reading
    assert (reading.model, reading.choices) == ("gpt-image-1", 3)


async def test_speech_comes_through_and_is_counted_as_sound(gateway, watcher):
    async with _client(gateway) as client:
        answer = await client.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    assert answer.content == b"\xff" * 51_200
    assert (await watcher.settlement()).usage.output_tokens == 100


async def test_sound_is_written_down(gateway, seen, watcher):
    async with _client(gateway) as client:
        answer = await client.audio.transcriptions.create(
            model="gpt-4o-transcribe",
            file=("größe (1).wav", SOUND),
            prompt="a prompt\r\nof two lines",
            timestamp_granularities=["word", "segment"],
        )
    assert answer.text == "well"
    assert seen[0].files == {"file": [SOUND]}
    assert seen[0].fields["timestamp_granularities[]"] == ["word", "segment"]
    assert seen[0].fields["prompt"] == ["a prompt\r\nof two lines"]
    settled = await watcher.settlement()
    assert settled.usage == Usage(14, 45)
    assert settled.judged.call.reading.model == "gpt-4o-transcribe"


async def test_what_is_written_down_as_text_is_counted_by_its_size(gateway, watcher):
    async with _client(gateway) as client:
        answer = await client.audio.transcriptions.create(model="whisper-1", file=SOUND, response_format="text")
    assert answer == "twelve bytes"
    assert (await watcher.settlement()).usage.output_tokens == 3


async def test_a_transcript_is_ended_in_its_own_words_when_the_budget_is_used_up(gateway, watcher):
    async with _client(gateway) as client:
        stream = await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=SOUND, stream=True)
        events: list[Any] = [event async for event in stream]
    deltas = "".join(event.delta for event in events[:-1])
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == deltas
    assert 2_000 <= events[-1].usage.output_tokens <= 2_256
    assert watcher.cuts == ["tokens-per-account"]


async def test_a_picture_that_could_not_be_finished_is_an_error(gateway, watcher):
    async with _client(gateway) as client:
        stream = await client.images.generate(model="gpt-image-1", prompt="A cat", stream=True, partial_images=50)
        with pytest.raises(openai.APIError, match="not finished"):
            async for _ in stream:
                pass
    assert watcher.cuts == ["tokens-per-account"]


async def test_after_a_whole_picture_a_stream_just_ends(gateway, watcher):
    async with _client(gateway) as client:
        stream = await client.images.generate(model="gpt-image-1", prompt="A cat", stream=True, n=9)
        events = [event async for event in stream]
    assert [event.type for event in events[1:]] == ["image_generation.completed"] * (len(events) - 1)
    assert 1 < len(events) < 10
    assert watcher.cuts == ["tokens-per-account"]


async def test_moderation_passes_and_costs_its_input(gateway, watcher):
    async with _client(gateway) as client:
        answer = await client.moderations.create(input=["Say hi", "Say it again"])
    assert answer.id == "modr-1"
    settled = await watcher.settlement()
    assert settled.judged.call.reading.model == ""
    assert settled.usage.output_tokens == 0
    assert settled.usage.input_tokens == 5


async def test_files_and_batches_pass_where_a_policy_opens_them(open_gateway, seen, watcher):
    async with _client(open_gateway) as client:
        file = await client.files.create(file=("a.jsonl", b'{"custom_id": "1"}\n'), purpose="batch")
        assert seen[0].files == {"file": [b'{"custom_id": "1"}\n']}
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert batch.id == "batch_1"
    assert json.loads(seen[0].body)["input_file_id"] == "file-1"
    assert [call.call.reading.operation for call in watcher.calls] == ["files", "batch"]
    assert [call.call.reading.model for call in watcher.calls] == [None, None]


async def test_a_batch_is_refused_where_its_calls_would_have_to_be_reshaped(gateway, seen):
    async with _client(gateway) as client:
        with pytest.raises(openai.PermissionDeniedError, match="what is in them can't be limited"):
            await client.batches.create(
                input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
            )
    assert seen[0].requests == 0


async def test_probabilities_of_a_transcript_are_refused_where_they_would_have_to_be_removed(gateway, seen, watcher):
    async with _client(gateway) as client:
        with pytest.raises(openai.PermissionDeniedError, match="Token probabilities"):
            await client.audio.transcriptions.create(model="gpt-4o-transcribe", file=SOUND, include=["logprobs"])
    assert seen[0].requests == 0
    assert (await watcher.settlement()).usage is None


async def test_a_form_that_could_be_read_otherwise_never_arrives(gateway, seen, watcher):
    async with _client(gateway) as client:
        with pytest.raises(openai.BadRequestError, match="Did you mean 'model'"):
            await client.audio.transcriptions.create(
                model="whisper-1", file=SOUND, extra_body={"model": ["whisper-1", "other"]}
            )
    assert seen[0].requests == 0
    assert watcher.refusals == [Effect.REJECT]
