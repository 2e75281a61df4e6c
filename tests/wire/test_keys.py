"""Whose key an upstream receives: the fence's own where it has one, in the API's own header, and never the caller's too."""

import json

import pytest
from tests.dialects.profile import profiles

PROFILES = profiles()
NAMES = list(PROFILES)
OURS = "AKIDOFTHEFENCE00:secret-of-the-fence-0123456789"
"""Reads as a key, and for Bedrock as a pair of keys to sign with."""
WAYS = {
    "authorization": (("Authorization: Bearer sk-acme",), ""),
    "x-api-key": (("x-api-key: sk-acme",), ""),
    "api-key": (("api-key: sk-acme",), ""),
    "x-goog-api-key": (("x-goog-api-key: sk-acme",), ""),
    "query": ((), "?key=sk-acme"),
    "several at once": (("Authorization: Bearer sk-acme", "x-api-key: sk-acme", "api-key: sk-acme"), "?key=sk-acme"),
}


def request_of(profile, headers, query):
    """Return a call that any policy may let through: a listing, or else a body that names a model."""
    method, path = next((call for call in profile.calls if call[0] == "GET"), profile.calls[0])
    body = b"" if method == "GET" else json.dumps({"model": "m-1", "messages": []}).encode()
    lines = [f"{method} {path}{query} HTTP/1.1", "Host: fence", *headers]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
async def test_the_callers_key_never_reaches_an_upstream_that_gets_the_fences(start_fence, upstream, name, way):
    fence = await start_fence(dialect=PROFILES[name].dialect, secret=OURS)
    answer = await fence.exchange(request_of(PROFILES[name], *WAYS[way]))
    assert fence.watcher.calls[0].account is not None, answer.body
    assert b"sk-acme" not in upstream.received[0]
    assert OURS.partition(":")[0].encode() in upstream.received[0]
    assert b"key=" not in upstream.received[0].partition(b" HTTP/1.1")[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
async def test_without_one_of_its_own_the_fence_passes_the_callers_on(start_fence, upstream, name, way):
    fence = await start_fence(dialect=PROFILES[name].dialect, secret=None)
    await fence.exchange(request_of(PROFILES[name], *WAYS[way]))
    assert b"sk-acme" in upstream.received[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (("Authorization: Bearer sk-acme", "x-api-key: sk-other"), ""),
        (("api-key: sk-acme", "x-goog-api-key: sk-other"), ""),
        (("Authorization: Bearer sk-acme",), "?key=sk-other"),
        (("Authorization: Bearer sk-acme",), "?%6bey=sk-other"),
        ((), "?key=sk-acme&KEY=sk-other"),
    ],
)
async def test_two_keys_that_differ_are_refused(start_fence, upstream, name, headers, query):
    fence = await start_fence(dialect=PROFILES[name].dialect)
    assert (await fence.exchange(request_of(PROFILES[name], headers, query))).status == 400
    assert upstream.received == []
