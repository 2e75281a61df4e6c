"""A caller's signature: replaced by the fence's own, or passed on with all that it covers as it was signed."""

import gzip
import json

import pytest
from mitmproxy import http
from tests.dialects.bedrock.aws import CALLERS_ID, FENCES_ID, FENCES_SECRET, signed, signer_of

from modelfence.core.account import UNKNOWN, Account, Check, Found
from modelfence.core.call import key_digest
from modelfence.core.dialect import Request
from modelfence.core.policy import Reshaping
from modelfence.core.upstream import Upstream
from modelfence.dialects.bedrock.api import Bedrock
from modelfence.wire.outgoing import address

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"
BODY = json.dumps(
    {"messages": [{"role": "user", "content": [{"text": "hi"}]}], "inferenceConfig": {"maxTokens": 9}}
).encode()
RESHAPES = "reshape:\n  - {id: short, cap: {output_tokens: 5}}\n"
OWN_KEYS = f"{FENCES_ID}:{FENCES_SECRET}"


@pytest.fixture
def start(start_fence):
    async def started(**options):
        fence = await start_fence(dialect=Bedrock(), **options)

        async def find(digest, _at_us):
            return (
                Found(Check.VALID, Account("acme", "active", "basic")) if digest == key_digest(CALLERS_ID) else UNKNOWN
            )

        fence.accounts.find = find
        return fence

    return started


def call(wire, *headers: str, path=PATH, body=BODY, covered=(), key_id=CALLERS_ID):
    """Return a request that its caller has signed; `headers` come on top, and those `covered` are signed, too."""
    given = dict(line.split(": ", 1) for line in covered)
    fields = signed("POST", f"https://{HOST}{path}", {"Content-Type": "application/json", **given}, body, key_id=key_id)
    lines = [f"Host: {HOST}", *(f"{name}: {value}" for name, value in fields.items()), *headers]
    return wire.post(body, *lines, path=path)


def signer(request):
    method, target, _ = request.first_line.split(" ")
    return signer_of(method, target, request.fields, request.body)


async def test_a_signed_request_goes_up_as_it_was_signed(start, upstream, wire):
    fence = await start(secret=None)
    data = call(wire, "User-Agent: boto", "Accept-Encoding: gzip", covered=["X-Amzn-Bedrock-Trace: ENABLED"])
    assert (await fence.exchange(data)).status == 200
    request = upstream.requests[0]
    assert signer(request) == (CALLERS_ID, "us-east-1")
    assert request.first_line == f"POST {PATH} HTTP/1.1"
    assert request.body == BODY
    assert (request["host"], request["accept-encoding"]) == (HOST, "identity")
    assert fence.watcher.calls[0].call.credential.digest == key_digest(CALLERS_ID)


async def test_with_keys_of_its_own_the_fence_signs_in_place_of_the_caller(start, upstream, wire):
    fence = await start(secret=OWN_KEYS)
    extra = ("X-Amz-Security-Token: callers-token", "X-Amz-Content-Sha256: 00")
    assert (await fence.exchange(call(wire, *extra))).status == 200
    request = upstream.requests[0]
    assert signer(request) == (FENCES_ID, "us-east-1")
    assert request["host"] == f"127.0.0.1:{upstream.port}"
    assert b"callers-token" not in upstream.received[0]
    assert CALLERS_ID.encode() not in upstream.received[0]
    assert len([name for name, _ in request.fields if name in {"authorization", "x-amz-date"}]) == 2


@pytest.mark.parametrize("secret", [OWN_KEYS, "bedrock-api-key-1"])
async def test_what_the_fence_changes_it_signs_as_changed(start, upstream, wire, secret):
    fence = await start(secret=secret, policy=wire.POLICY + RESHAPES, prefix="/bedrock", base_path="/base")
    assert (await fence.exchange(call(wire, path="/bedrock" + PATH))).status == 200
    request = upstream.requests[0]
    assert request.json["inferenceConfig"] == {"maxTokens": 5}
    assert request.first_line == f"POST /base{PATH} HTTP/1.1"
    if secret == OWN_KEYS:
        assert signer(request) == (FENCES_ID, "us-east-1")
    else:
        assert request["authorization"] == "Bearer bedrock-api-key-1"
        assert "x-amz-date" not in request


async def test_a_rule_that_would_change_a_signed_request_refuses_it(start, upstream, wire):
    fence = await start(secret=None, policy=wire.POLICY + RESHAPES)
    answer = await fence.exchange(call(wire))
    assert answer.status == 403
    assert answer["x-amzn-errortype"] == "AccessDeniedException"
    assert "signed" in answer.json["message"]
    assert upstream.received == []
    assert (await fence.watcher.settlement()).usage is None


async def test_a_rule_that_changes_nothing_of_a_signed_request_lets_it_pass(start, upstream, wire):
    fence = await start(secret=None, policy=wire.POLICY + RESHAPES.replace("5", "5000"))
    assert (await fence.exchange(call(wire))).status == 200
    assert signer(upstream.requests[0]) == (CALLERS_ID, "us-east-1")


@pytest.mark.parametrize("covered", ["Via: 1.1 x", "X-Forwarded-For: 1.2.3.4", "Accept-Encoding: gzip"])
async def test_a_signed_header_that_is_not_passed_on_refuses_the_request(start, upstream, wire, covered):
    fence = await start(secret=None)
    answer = await fence.exchange(call(wire, covered=[covered]))
    assert answer.status == 400
    assert f"'{covered.partition(':')[0].lower()}'" in answer.json["message"]
    assert upstream.received == []


async def test_a_signed_header_that_the_connection_names_refuses_the_request(start, upstream, wire):
    fence = await start(secret=None)
    answer = await fence.exchange(call(wire, "Connection: X-Amz-Date, keep-alive"))
    assert (answer.status, upstream.received) == (400, [])


@pytest.mark.parametrize("covered", ["Accept-Encoding: identity", f"Content-Length: {len(BODY)}"])
async def test_a_signed_header_that_arrives_as_it_was_is_no_hindrance(start, upstream, wire, covered):
    fence = await start(secret=None)
    assert (await fence.exchange(call(wire, covered=[covered]))).status == 200
    assert signer(upstream.requests[0]) == (CALLERS_ID, "us-east-1")


@pytest.mark.parametrize("change", [{"prefix": "/bedrock"}, {"base_path": "/base"}])
async def test_a_path_that_would_change_refuses_a_signed_request(start, upstream, wire, change):
    fence = await start(secret=None, **change)
    answer = await fence.exchange(call(wire, path=change.get("prefix", "") + PATH))
    assert answer.status == 400
    assert "path" in answer.json["message"]
    assert upstream.received == []


async def test_a_body_that_was_signed_compressed_is_refused(start, upstream, wire):
    fence = await start(secret=None)
    packed = gzip.compress(BODY)
    answer = await fence.exchange(call(wire, "Content-Encoding: gzip", body=packed))
    assert answer.status == 400
    assert "compressed" in answer.json["message"]
    assert upstream.received == []


async def test_without_a_signature_the_host_is_the_upstreams(start, upstream, wire):
    fence = await start(secret=None)
    await fence.exchange(wire.post(BODY, f"Host: {HOST}", path=PATH, key=CALLERS_ID))
    assert upstream.requests[0]["host"] == f"127.0.0.1:{upstream.port}"
    assert upstream.requests[0]["authorization"] == f"Bearer {CALLERS_ID}"


async def test_an_empty_query_is_kept_as_it_was_signed_or_refused(start, upstream, wire):
    fence = await start(secret=None)
    answer = await fence.exchange(call(wire, path=PATH + "?"))
    assert (answer.status, upstream.received) == (400, [])


def test_the_host_is_kept_as_it_was_signed_where_http2_names_it_apart():
    message = http.Request.make("POST", f"https://fence{PATH}", BODY)
    fields = signed("POST", f"https://{HOST}{PATH}", {"content-type": "application/json"}, BODY)
    message.headers = http.Headers([(name.lower().encode(), value.encode()) for name, value in fields.items()])
    message.data.authority = HOST.encode()
    headers = tuple((name.lower(), value) for name, value in fields.items())
    request = Request("POST", PATH, headers, BODY, json.loads(BODY))
    upstream = Upstream("bedrock", "bedrock", "https", "upstream.test", 443)
    address(message, upstream, Bedrock(), request=request, reshaping=Reshaping())
    arrived = [(name.decode().lower(), value.decode()) for name, value in message.data.headers.fields]
    assert signer_of("POST", message.path, arrived, message.content) == (CALLERS_ID, "us-east-1")
    assert (message.data.authority, message.data.host) == (HOST.encode(), "upstream.test")


@pytest.mark.parametrize("secret", [None, OWN_KEYS])
async def test_two_signatures_are_refused(start, upstream, wire, secret):
    fence = await start(secret=secret)
    other = signed("POST", f"https://{HOST}{PATH}", {}, b"", key_id=FENCES_ID)["Authorization"]
    assert (await fence.exchange(call(wire, f"Authorization: {other}"))).status == 400
    assert upstream.received == []
