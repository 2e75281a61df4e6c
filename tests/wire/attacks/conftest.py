"""Fences whose upstream must have received, byte for byte, what was judged: after every test, whatever it sent."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.wire.attacks.outside import only_judged
from tests.wire.conftest import RecordingUpstream, RunningFence


@pytest.fixture
async def start_fence(
    start_fence: Callable[..., Awaitable[RunningFence]], upstream: RecordingUpstream
) -> AsyncIterator[Callable[..., Awaitable[RunningFence]]]:
    """Like the one it replaces, and strict about what the upstream has received in the end."""
    fences: list[RunningFence] = []

    async def start(**options: Any) -> RunningFence:
        fence = await start_fence(**options)
        fence.addon._keeps_bodies = True
        fences.append(fence)
        return fence

    yield start
    only_judged([bytes(record) for record in upstream.received], [one for f in fences for one in f.watcher.calls])
