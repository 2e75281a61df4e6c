"""What reaches the upstream: the call that was judged, with the fence's own credential, and nothing about the way."""

import json
import socket
from ipaddress import ip_network

import pytest

from modelfence.core.client_address import SINGLE_HEADERS
from modelfence.wire.sanitise import passed_on

CREDENTIALS = ["Authorization: Bearer sk-acme", "X-Api-Key: sk-acme", "Api-Key: sk-acme", "X-Goog-Api-Key: sk-acme"]


def without_key(wire, *headers: str) -> bytes:
    return wire.post(wire.BODY, *headers).replace(b"Authorization: Bearer sk-acme\r\n", b"", 1)


@pytest.mark.parametrize("header", CREDENTIALS)
async def test_with_a_credential_of_its_own_the_fence_replaces_the_callers(fence, upstream, wire, header):
    data = wire.post(wire.BODY, header) if header.startswith("Auth") else without_key(wire, header)
    assert (await fence.exchange(data)).status == 200
    assert b"sk-acme" not in upstream.received[0]
    assert upstream.requests[0]["authorization"] == "Bearer sk-real"


async def test_the_same_key_in_every_header_is_replaced_in_every_one(fence, upstream, wire):
    assert (await fence.exchange(wire.post(wire.BODY, *CREDENTIALS))).status == 200
    assert b"sk-acme" not in upstream.received[0]


async def test_a_header_that_could_pass_for_a_credential_is_dropped(fence, upstream, wire):
    assert (await fence.exchange(wire.post(wire.BODY, "X_Api_Key: sk-other", "AUTHORIZATION_: x"))).status == 200
    assert b"sk-other" not in upstream.received[0]


@pytest.mark.parametrize("header", CREDENTIALS)
async def test_without_a_credential_of_its_own_the_fence_lets_the_callers_pass(start_fence, upstream, wire, header):
    fence = await start_fence(secret=None)
    data = wire.post(wire.BODY, header) if header.startswith("Auth") else without_key(wire, header)
    assert (await fence.exchange(data)).status == 200
    name, _, value = header.partition(": ")
    assert upstream.requests[0][name.lower()] == value


@pytest.mark.parametrize(("secret", "passes"), [("sk-real", False), (None, True)])
@pytest.mark.parametrize("header", ["OpenAI-Organization: org-other", "OpenAI-Project: proj-other"])
async def test_who_pays_is_chosen_by_whose_credential_it_is(start_fence, upstream, wire, header, secret, passes):
    fence = await start_fence(secret=secret)
    assert (await fence.exchange(wire.post(wire.BODY, header))).status == 200
    assert (b"other" in upstream.received[0]) is passes


async def test_two_different_keys_are_refused(fence, upstream, wire):
    assert (await fence.exchange(wire.post(wire.BODY, "X-Api-Key: sk-other"))).status == 400
    assert upstream.received == []


OF_THE_WAY = [
    "Connection: X-Secret, keep-alive", "X-Secret: a", "Keep-Alive: 5", "Proxy-Connection: keep-alive", "TE: trailers",
    "Proxy-Authorization: Basic x", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Forwarded: for=1.2.3.4", "Via: 1.1 x",
    "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "X_Forwarded_For: 1.2.3.4",
    "X-Real-IP: 1.2.3.4", "CF-Connecting-IP: 1.2.3.4", "Trailer: X", "X-HTTP-Method-Override: DELETE",
    "X-Original-URL: /admin", "Accept-Encoding: gzip", "Content_Length: 3",
]  # fmt: skip


async def test_what_concerns_the_way_here_is_not_passed_on(fence, upstream, wire):
    assert (await fence.exchange(wire.post(wire.BODY, *OF_THE_WAY, "X-Kept: yes"))).status == 200
    assert sorted(upstream.requests[0].fields) == [
        ("accept-encoding", "identity"),
        ("authorization", "Bearer sk-real"),
        ("content-length", str(len(json.dumps(wire.BODY)))),
        ("content-type", "application/json"),
        ("host", f"127.0.0.1:{upstream.port}"),
        ("x-kept", "yes"),
    ]


PATHS = {
    "plain": ("", "", "/v1/chat/completions", "/v1/chat/completions"),
    "a query": ("", "", "/v1/chat/completions?a=b&c=//../%2e", "/v1/chat/completions?a=b&c=//../%2e"),
    "a prefix": ("/openai", "", "/openai/v1/chat/completions?x", "/v1/chat/completions?x"),
    "a base path": ("", "/base", "/v1/chat/completions", "/base/v1/chat/completions"),
    "both": ("/openai", "/base/two", "/openai/v1/chat/completions", "/base/two/v1/chat/completions"),
    "nothing after the prefix": ("/openai", "", "/openai", "/"),
}


@pytest.mark.parametrize("row", PATHS.values(), ids=PATHS)
async def test_the_prefix_is_removed_the_base_path_added_and_the_query_kept(start_fence, upstream, wire, row):
    prefix, base_path, asked, sent = row
    fence = await start_fence(prefix=prefix, base_path=base_path)
    assert (await fence.exchange(wire.post(path=asked))).status == 200
    assert upstream.requests[0].first_line == f"POST {sent} HTTP/1.1"
    assert fence.watcher.calls[0].call.path == sent.removeprefix(base_path).partition("?")[0]


async def test_a_reshaped_call_is_sent_as_it_was_reshaped(start_fence, upstream, wire):
    policy = wire.POLICY + "reshape:\n  - {id: short, cap: {output_tokens: 10}}\n  - {id: no, remove: [logit_bias]}\n"
    fence = await start_fence(policy=policy)
    body = {**wire.BODY, "max_completion_tokens": 500, "logit_bias": {"1": 1}, "user": "ü"}
    assert (await fence.exchange(wire.post(body))).status == 200
    request = upstream.requests[0]
    assert request.json == {**wire.BODY, "max_completion_tokens": 10, "user": "ü"}
    assert int(request["content-length"]) == len(request.body)


TRUSTED = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")]
ADDRESSES = {
    "no proxy is trusted": ([], ["X-Forwarded-For: 192.0.2.1"], "127.0.0.1"),
    "a trusted proxy": (TRUSTED, ["X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
    "what the client wrote": (TRUSTED, ["X-Forwarded-For: 6.6.6.6, 192.0.2.1"], "192.0.2.1"),
    "two trusted proxies": (TRUSTED, ["X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1"], "192.0.2.1"),
    "two headers": (TRUSTED, ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.1"], "192.0.2.1"),
}


@pytest.mark.parametrize("row", ADDRESSES.values(), ids=ADDRESSES)
async def test_the_client_is_the_peer_or_whom_trusted_proxies_name(start_fence, upstream, wire, row):
    trusted, headers, address = row
    fence = await start_fence(trusted_proxies=trusted)
    assert (await fence.exchange(wire.post(wire.BODY, *headers))).status == 200
    assert fence.watcher.calls[0].call.client_ip == address
    assert "x-forwarded-for" not in upstream.requests[0]


HEADERS = {
    "forwarded": 'Forwarded: for=6.6.6.6, for="192.0.2.1:4711";proto=https',
    "cf-connecting-ip": "CF-Connecting-IP: 192.0.2.1",
}


@pytest.mark.parametrize("name", HEADERS)
async def test_the_one_header_that_is_set_names_the_client_and_stays_here(start_fence, upstream, wire, name):
    fence = await start_fence(trusted_proxies=TRUSTED, client_header=name)
    others = [line.replace("192.0.2.1", "6.6.6.6") for other, line in HEADERS.items() if other != name]
    request = wire.post(wire.BODY, "X-Forwarded-For: 6.6.6.6", HEADERS[name], *others)
    assert (await fence.exchange(request)).status == 200
    assert fence.watcher.calls[0].call.client_ip == "192.0.2.1"
    assert all(header not in upstream.requests[0] for header in (*HEADERS, "x-forwarded-for"))


async def test_a_caller_that_names_itself_by_another_header_is_its_proxy(start_fence, wire):
    fence = await start_fence(trusted_proxies=TRUSTED, client_header="cf-connecting-ip")
    assert (await fence.exchange(wire.post(wire.BODY, "X-Forwarded-For: 192.0.2.1"))).status == 200
    assert fence.watcher.calls[0].call.client_ip == "127.0.0.1"


@pytest.mark.parametrize("name", [*sorted(SINGLE_HEADERS), "forwarded", "x-forwarded-for"])
def test_no_header_that_can_name_the_client_is_passed_on(name):
    assert passed_on([(name.title().encode(), b"1"), (name.replace("-", "_").encode(), b"1")]) == []


async def test_an_unreadable_address_from_a_trusted_proxy_is_refused(start_fence, upstream, wire):
    fence = await start_fence(trusted_proxies=TRUSTED)
    assert (await fence.exchange(wire.post(wire.BODY, "X-Forwarded-For: unknown"))).status == 400
    assert upstream.received == []


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv4_client_on_an_ipv6_socket_has_an_ipv4_address(start_fence, upstream, wire):
    fence = await start_fence(host="::")
    client = await fence.connect("127.0.0.1")
    await client.send(wire.post())
    assert (await client.answer()).status == 200
    assert fence.watcher.calls[0].call.client_ip == "127.0.0.1"
    assert len(upstream.requests) == 1
