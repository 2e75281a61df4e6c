"""What the runner refuses to start with, and how its sockets are set."""

import socket

import pytest
from mitmproxy import exceptions, http, version

from modelfence.wire.guard import leave_types_unchecked, require_tested_version
from modelfence.wire.meter import Meter


def test_a_mitmproxy_the_guard_was_not_tested_with_is_refused(monkeypatch):
    require_tested_version()
    monkeypatch.setattr(version, "VERSION", "12.2.4")
    with pytest.raises(RuntimeError, match=r"12\.2\.4 is not one of the tested versions"):
        require_tested_version()


def test_the_types_of_messages_are_not_checked_each_time_one_is_made():
    leave_types_unchecked()
    assert http.ResponseData(1, *[None] * 7)  # type: ignore[arg-type]  # of which nothing is what it should be


async def test_bodies_can_not_be_let_through_before_they_are_judged(fence, upstream, wire):
    with pytest.raises(exceptions.OptionsError, match="stream_large_bodies"):
        fence.proxy._master.options.update(stream_large_bodies="1")
    assert (await fence.exchange(wire.post(key="sk-nobody"))).status == 401
    assert upstream.received == []


async def test_nothing_of_a_stream_waits_for_acknowledgements(fence, upstream, wire):
    client = await fence.connect()
    await client.send(wire.post())
    await client.answer()
    (handler,) = fence.proxy._handlers
    assert len(handler.transports) == 2
    for transport in handler.transports.values():
        connected = transport.writer.get_extra_info("socket")
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert len(upstream.requests) == 1


def test_a_meter_never_returns_an_empty_piece_which_would_end_a_chunked_answer():
    meter = Meter(None, counts=True)
    assert meter(b"") == []
    assert meter(b"abcde") == b"abcde"
    assert meter.usage().output_tokens == 2
