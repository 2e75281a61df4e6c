"""The addon under `mitmdump -s`, as anyone would load it."""

import asyncio
import json
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded
from h2.exceptions import ProtocolError

STARTS_WITHIN_S = 30
SCRIPT = Path(__file__).parent / "stock_script.py"
MITMDUMP = Path(sys.executable).parent / "mitmdump"


class Stock:
    """A stock runner that is up: its port, and what it said until then."""

    def __init__(self, port: int, said: str) -> None:
        self.port = port
        self.said = said


@pytest.fixture
async def start_stock(upstream, tmp_path) -> AsyncIterator[object]:
    """A function that starts mitmdump and returns it once it listens, or what it said when it ended instead."""
    async with AsyncExitStack() as ending:

        async def start(*options: str, mode: str | None = None) -> Stock | str:
            mode = mode or f"reverse:http://127.0.0.1:{upstream.port}"
            command = ["-s", str(SCRIPT), "--mode", mode, "--listen-host", "127.0.0.1", "--listen-port", "0"]
            process = await asyncio.create_subprocess_exec(
                MITMDUMP, *command, "--set", f"confdir={tmp_path}", *options,
                env={**os.environ, "UPSTREAM_PORT": str(upstream.port), "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            ending.push_async_callback(_end, process)
            return await asyncio.wait_for(_up(process), STARTS_WITHIN_S)

        yield start


async def _up(process: asyncio.subprocess.Process) -> Stock | str:
    assert process.stdout is not None
    said, port, warned = "", None, False
    while line := (await process.stdout.readline()).decode():
        said += line
        if listening := re.search(r"listening at \S*127\.0\.0\.1:(\d+)", line):
            port = int(listening[1])
        warned = warned or "Use it to look at traffic by hand" in line
        if port and warned:
            return Stock(port, said)
    return said


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await asyncio.wait_for(process.communicate(), STARTS_WITHIN_S)


async def exchange(client_class, port: int, data: bytes):
    client = client_class(*await asyncio.open_connection("127.0.0.1", port))
    try:
        await client.send(data)
        return await client.answer()
    finally:
        client.close()


async def over_http2(port: int, headers: list[tuple[str, str]], *pieces: bytes) -> tuple[int, bytes]:
    """Send one request over TLS and HTTP/2, without a content-length, and return status and body of its answer."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    # What a hostile client sends, its own library would not.
    http2 = H2Connection(H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False))
    http2.initiate_connection()
    http2.send_headers(1, headers, end_stream=not pieces)
    for piece in pieces:
        http2.send_data(1, piece, end_stream=piece is pieces[-1])
    writer.write(http2.data_to_send())
    status, body = 0, b""
    try:
        async with asyncio.timeout(STARTS_WITHIN_S):
            while data := await reader.read(65535):
                for event in http2.receive_data(data):
                    if isinstance(event, ResponseReceived):
                        status = int(dict(event.headers)[b":status"])
                    elif isinstance(event, DataReceived):
                        body += event.data
                    elif isinstance(event, StreamEnded):
                        return status, body
                writer.write(http2.data_to_send())
        raise EOFError
    finally:
        writer.close()


def pseudo(method: str = "POST", path: str = "/v1/chat/completions") -> list[tuple[str, str]]:
    return [
        (":method", method),
        (":authority", "fence"),
        (":scheme", "https"),
        (":path", path),
        ("authorization", "Bearer sk-acme"),
    ]


async def test_the_stock_runner_judges_calls_and_warns_of_what_it_can_not_guard(start_stock, upstream, wire):
    stock = await start_stock()
    assert "which it can't guard" in stock.said
    for word in ("leniently", "memory", "HTML", "502", "trailers", "settling"):
        assert word in stock.said
    assert (await exchange(wire.Client, stock.port, wire.post())).body == wire.PLAIN
    assert (await exchange(wire.Client, stock.port, wire.post(key="sk-nobody"))).status == 401
    assert (await exchange(wire.Client, stock.port, wire.post(path="/v1//x"))).status == 400
    assert (await exchange(wire.Client, stock.port, wire.post(b" " * 200_000))).status == 413
    assert len(upstream.requests) == 1
    assert b"sk-acme" not in upstream.received[0]

    # A client that wants its connection closed is not left waiting, whatever speaks for it.
    for data in (wire.post(wire.BODY, "Connection: close"), wire.post().replace(b"HTTP/1.1", b"HTTP/1.0")):
        client = wire.Client(*await asyncio.open_connection("127.0.0.1", stock.port))
        await client.send(data)
        assert (await client.answer()).status == 200
        assert await client.rest() == b""
        client.close()

    upstream.answers.append(wire.answer(b"can't be counted", "200 OK", "Content-Encoding: br"))
    client = wire.Client(*await asyncio.open_connection("127.0.0.1", stock.port))
    await client.send(wire.post())
    assert await client.rest() == b""
    client.close()

    await _judge_http2(stock.port, upstream, wire)


async def _judge_http2(port, upstream, wire):
    before = len(upstream.requests)
    body = json.dumps(wire.BODY).encode()
    assert await over_http2(port, pseudo(), body[:10], body[10:]) == (200, wire.PLAIN)
    request = upstream.requests[before]
    assert (request.first_line, request.body) == ("POST /v1/chat/completions HTTP/1.1", body)
    assert request["content-length"] == str(len(body))
    assert "transfer-encoding" not in request
    assert request["host"] == f"127.0.0.1:{upstream.port}"
    for hostile in (
        pseudo(path="/v1/models HTTP/1.1\r\nX: y"),
        pseudo(path="/v1/models x"),
        pseudo(path="http://evil/"),
        pseudo(method="GET /x HTTP/1.1\r\n\r\nGET"),
        pseudo(method="GET x"),
    ):
        try:
            status, _ = await over_http2(port, hostile)
        except (EOFError, ConnectionError, ProtocolError):
            continue  # mitmproxy may also end the connection
        assert 400 <= status < 500
    assert len(upstream.requests) == before + 1
    assert sum(map(len, upstream.received)) == sum(request.size for request in upstream.requests)


REFUSED = {
    "bodies that leave before they are judged": (("--set", "stream_large_bodies=1m"), None, "stream_large_bodies"),
    "a mode in which clients choose where to": ((), "regular", "reverse mode only"),
}


@pytest.mark.parametrize(("options", "mode", "said"), REFUSED.values(), ids=REFUSED)
async def test_the_stock_runner_refuses_to_start_with(start_stock, options, mode, said):
    outcome = await start_stock(*options, mode=mode)
    assert isinstance(outcome, str)
    assert said in outcome
