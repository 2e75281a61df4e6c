"""The operators' port, whoever else connects to it."""

import asyncio
from contextlib import suppress

import pytest

from modelfence.adapters.admin_server import AdminServer, Readiness
from modelfence.adapters.bounded_server import CONNECTIONS
from modelfence.listening import listen


@pytest.fixture
async def address():
    """Of a server, which is up meanwhile."""

    async def ready() -> Readiness:
        return Readiness({}, {})

    async def no_cohorts() -> list[dict[str, object]]:
        return []

    listening = listen("127.0.0.1", 0)
    server = AdminServer(
        listening, render=lambda: b"counts", liveness=lambda: True, readiness=ready, cohorts=no_cohorts
    )
    server.start()
    yield listening.getsockname()
    await server.stop()


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def ask(address, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET %s HTTP/1.0\r\n\r\n" % path.encode())
    answer = await reader.read()
    await leave(writer)
    return answer


async def test_who_holds_all_connections_keeps_no_probe_out(address):
    held = [await asyncio.open_connection(*address) for _ in range(CONNECTIONS)]
    for _, writer in held:
        writer.write(b"GET /metrics HTTP/1.0\r\n")  # and never the rest
    assert (await ask(address, "/livez")).endswith(b"alive\n")
    assert await held[0][0].read() == b""
    held[-1][1].write(b"\r\n")
    assert (await held[-1][0].read()).endswith(b"counts")
    for _, writer in held:
        await leave(writer)


async def test_those_who_have_left_are_not_counted(address):
    reader, writer = await asyncio.open_connection(*address)
    for _ in range(2 * CONNECTIONS):
        await ask(address, "/livez")
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(b"counts")
    await leave(writer)
