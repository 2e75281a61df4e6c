"""What the fence believed of a call is what a strict upstream reads, for every dialect and however it is written."""

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.dialects.profile import profiles

PROFILES = profiles()
NAMES = list(PROFILES)
WAYS = {
    "as it is": lambda path, _: path,
    "in capitals": lambda path, _: path.upper(),
    "a letter in capitals": lambda path, random: _changed(path, random, str.swapcase),
    "a letter encoded": lambda path, random: _changed(path, random, lambda one: f"%{ord(one):02X}"),
    "a letter encoded in lower case": lambda path, random: _changed(path, random, lambda one: f"%{ord(one):02x}"),
    "a letter encoded twice": lambda path, random: _changed(path, random, lambda one: f"%25{ord(one):02x}"),
    "a slash doubled": lambda path, random: _changed(path, random, lambda one: one * 2, of="/"),
    "a slash encoded": lambda path, random: _changed(path, random, lambda _: "%2f", of="/"),
    "a backslash": lambda path, random: _changed(path, random, lambda _: "\\", of="/"),
    "a dot segment": lambda path, random: _changed(path, random, lambda one: f"{one}./", of="/"),
    "a way up": lambda path, random: _changed(path, random, lambda one: f"{one}x/../", of="/"),
    "an encoded way up": lambda path, random: _changed(path, random, lambda one: f"{one}x/%2e%2e/", of="/"),
    "a slash at the end": lambda path, _: path + "/",
    "a dot at the end": lambda path, _: path + ".",
    "a space at the end": lambda path, _: path + "%20",
    "a parameter": lambda path, _: path + ";model=other",
    "a parameter of a segment": lambda path, random: _changed(path, random, lambda one: f";a=b{one}", of="/"),
    "a model in the query": lambda path, _: path + "?model=other",
    "a model in the query, encoded": lambda path, _: path + "?%6dodel=other",
    "an empty query": lambda path, _: path + "?",
    "a fragment": lambda path, _: path + "#x",
    "a line end": lambda path, _: path + "%0d%0a",
    "a zero": lambda path, _: path + "%00",
    "a long form of a slash": lambda path, random: _changed(path, random, lambda _: "%c0%af", of="/"),
}


def _changed(path, random, change, *, of=""):
    places = [at for at, one in enumerate(path) if (one == of if of else one.isalpha())]
    at = random.choice(places)
    return path[:at] + change(path[at]) + path[at + 1 :]


async def _send(fence, upstream, wire, method, path, body):
    """Send a request; return what the upstream received, and what was judged, each None when there is none."""
    received, judged = len(upstream.requests), len(fence.watcher.calls)
    request = wire.post(body, path=path).replace(b"POST ", f"{method} ".encode(), 1)
    await fence.exchange(request)
    assert len(upstream.requests) - received <= len(fence.watcher.calls) - judged
    return (
        upstream.requests[-1] if len(upstream.requests) > received else None,
        fence.watcher.calls[-1].call if len(fence.watcher.calls) > judged else None,
    )


PLACES = {
    "/converse": (("inferenceConfig",), ("maxTokens",)),
    "/invoke": ((), ()),  # each family has its own; `tests/dialects/test_bedrock.py` has them
    "/api/": (("options",), ("num_predict",)),
    "/models/": (("generationConfig", "generation_config"), ("maxOutputTokens", "max_output_tokens")),
}
"""By a part of a path: where in a body its limits stand, and what they are called. Others stand at the top."""
LIMITS = {
    "chat": ("max_tokens", "max_completion_tokens"),
    "completion": ("max_tokens",),
    "responses": ("max_output_tokens",),
}


def _most(call, body):
    """Return the most tokens that a plain reader finds a call to ask for; 0 when it finds no limit."""
    inside, names = [body], LIMITS[call.reading.operation]
    for part, (places, others) in PLACES.items():
        if part in call.path:
            inside, names = [body.get(place) or {} for place in places], others
    limits = (one.get(name) for one in inside for name in names)
    return max((limit for limit in limits if type(limit) is int), default=0)


def _has_one_meaning(profile, message, call):
    method, target, _ = message.first_line.split(" ")
    path, _, query = target.partition("?")
    assert (method, path) == (call.method, call.path)
    assert profile.dialect.operation(method, path) == call.reading.operation
    if call.reading.operation != "unknown":
        assert "model=" not in query
        assert "%6d" not in query
    if call.reading.operation in {"chat", "completion", "responses", "embeddings"}:
        assert call.reading.model == profile.model_of(path, message.body)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
async def test_a_path_is_read_as_the_upstream_reads_it_or_refused(start_fence, upstream, wire, name, way):
    profile, random = PROFILES[name], Random(f"{name} {way}")  # noqa: S311 - which letter, not a secret
    fence = await start_fence(dialect=profile.dialect)
    for method, path in profile.calls:
        body = json.dumps({"model": "m-1", "messages": [], "prompt": "hi", "input": "hi"}).encode()
        message, call = await _send(
            fence, upstream, wire, method, WAYS[way](path, random), body if method == "POST" else b""
        )
        if message is not None:
            _has_one_meaning(profile, message, call)


@pytest.fixture
async def fence_of(start_fence):
    """Return a function that starts a fence for a dialect, once."""
    started = {}

    async def fence(name):
        if name not in started:
            started[name] = await start_fence(dialect=PROFILES[name].dialect)
        return started[name]

    return fence


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
async def test_a_body_is_read_as_the_upstream_reads_it_or_refused(fence_of, upstream, wire, name, data):
    profile, fence = PROFILES[name], await fence_of(name)
    method, path = data.draw(st.sampled_from([call for call in profile.calls if call[0] == "POST"]))
    body = json.dumps(data.draw(profile.bodies)).encode()
    message, call = await _send(fence, upstream, wire, method, path, body)
    if message is not None:
        _has_one_meaning(profile, message, call)
        # The fence asks for the usage of a stream.
        received, sent = json.loads(message.body), json.loads(body)
        if call.reading.operation in LIMITS and call.reading.output_tokens is not None:
            assert call.reading.output_tokens >= _most(call, received)
        assert {**received, "stream_options": sent.get("stream_options")} == {"stream_options": None, **sent}
