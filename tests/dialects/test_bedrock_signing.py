"""The fence signs as AWS's own SDK does, and reads what that signs."""

from datetime import UTC, datetime

import botocore.auth  # type: ignore[import-untyped]
import pytest
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Credential, CredentialState
from modelfence.core.dialect import MalformedRequestError, Outgoing
from modelfence.dialects.bedrock.api import Bedrock
from modelfence.dialects.bedrock.signing import region

NOW_US = 1_790_000_000_000_000
NOW = datetime.fromtimestamp(NOW_US / 1_000_000, UTC)
ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//////token=="
HOST = "bedrock-runtime.eu-west-3.amazonaws.com"
PATH = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"
DIALECT = Bedrock(now_us=lambda: NOW_US)


def signed_by_botocore(outgoing, *, token=None, region_name="eu-west-3"):
    """Return the headers that botocore adds."""
    url = f"https://{outgoing.authority}{outgoing.path}" + (f"?{outgoing.query}" if outgoing.query else "")
    request = AWSRequest(outgoing.method, url, data=outgoing.body)
    for name, value in outgoing.headers:
        request.headers[name] = value
    botocore.auth.SigV4Auth(Credentials(ID, SECRET, token), "bedrock", region_name).add_auth(request)
    given = {name for name, _ in outgoing.headers}
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in given}


@pytest.fixture(autouse=True)
def _same_time(monkeypatch):
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)


JSON = (b"Content-Type", b"application/json")
REQUESTS = {
    "a call": Outgoing("POST", HOST, PATH, "", (JSON,), b'{"messages": []}'),
    "a colon as it is": Outgoing("POST", HOST, PATH.replace("%3A", ":"), "", (JSON,), b"{}"),
    "nothing": Outgoing("GET", HOST, "/async-invoke", "", (), b""),
    "a query": Outgoing("GET", HOST, "/async-invoke", "b=2&a=x%2Fy&a=b&c", (), b""),
    "headers of AWS's own": Outgoing(
        "POST",
        HOST,
        PATH,
        "",
        (JSON, (b"x-amzn-bedrock-trace", b"  ENABLED   now "), (b"x-amzn-trace-id", b"Root=1")),
        b"{}",
    ),
    "a header given twice": Outgoing(
        "POST", HOST, PATH, "", (JSON, (b"x-amz-meta", b"b"), (b"x-amz-meta", b"a")), b"{}"
    ),
    "another port": Outgoing("POST", HOST + ":8443", PATH, "", (JSON,), "grüße".encode()),
}


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("outgoing", REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_signed_as_awss_own_signer_would(outgoing, token):
    secret = ":".join((ID, SECRET, *([token] if token else [])))
    assert dict(DIALECT.credential_headers(secret, outgoing)) == signed_by_botocore(outgoing, token=token)


@given(body=st.binary(), name=st.text("abc:.-~_%", min_size=1))
def test_any_body_and_path_are_signed_as_awss_own_signer_would(body, name):
    path = "/model/" + name.replace("%", "%25").replace(".", "x") + "/invoke"
    outgoing = Outgoing("POST", HOST, path, "", (JSON,), body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: NOW)
        expected = signed_by_botocore(outgoing)
    assert dict(DIALECT.credential_headers(f"{ID}:{SECRET}", outgoing)) == expected


REGIONS = {
    HOST: "eu-west-3",
    HOST.upper(): "eu-west-3",
    "bedrock-runtime-fips.us-gov-west-1.amazonaws.com:443": "us-gov-west-1",
    "vpce-0a1.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com": "ap-southeast-2",
    "bedrock-runtime.cn-north-1.amazonaws.com.cn": "cn-north-1",
    "127.0.0.1:8080": "us-east-1",
    "bedrock-runtime.example.com": "us-east-1",
}


@pytest.mark.parametrize(("authority", "expected"), REGIONS.items(), ids=REGIONS)
def test_the_region_is_the_one_the_upstream_is_named_after(authority, expected):
    assert region(Outgoing("POST", authority, PATH, "", (), b"")) == expected


def authorization(key_id=ID, *, service="bedrock", region="eu-central-1", signed="content-type;host;x-amz-date"):
    scope = f"{key_id}/20260922/{region}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={signed}, Signature={'0f' * 32}"


def test_the_region_is_else_the_one_that_the_caller_signed_for():
    received = (("authorization", authorization()),)
    assert region(Outgoing("POST", "bedrock.internal", PATH, "", (), b"", received)) == "eu-central-1"
    assert region(Outgoing("POST", HOST, PATH, "", (), b"", received)) == "eu-west-3"


def test_the_caller_is_known_by_the_id_of_the_key_it_signed_with():
    outgoing = REQUESTS["a call"]
    signed = signed_by_botocore(outgoing)["authorization"]
    assert DIALECT.credential([("authorization", signed)]) == Credential.of(ID)
    assert list(DIALECT.signed_headers([("authorization", signed)])) == ["content-type", "host", "x-amz-date"]


MALFORMED = {
    "another service": authorization(service="s3"),
    "no region": authorization(region=""),
    "an id that is too short": authorization("AKIA"),
    "a host that is not signed": authorization(signed="content-type;x-amz-date"),
    "an empty name": authorization(signed="host;;x-amz-date"),
    "names in capitals": authorization(signed="Host"),
    "a signature cut short": authorization()[:-1],
    "something after it": authorization() + ", Extra=1",
    "two credentials": authorization() + ", " + authorization("AKIAOTHEROTHEROTHER1"),
    "another version": authorization().replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
    "in lower case": authorization().replace("AWS4-HMAC", "aws4-hmac"),
    "nothing but the scheme": "AWS4-HMAC-SHA256",
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_a_signature_that_can_be_read_in_two_ways_is_malformed(value):
    assert DIALECT.credential([("authorization", value)]) == Credential(CredentialState.MALFORMED)
    assert not DIALECT.signed_headers([("authorization", value)])


def test_two_signatures_or_a_signature_and_another_key_are_refused():
    for other in (("authorization", authorization("AKIAOTHEROTHEROTHER1")), ("x-api-key", "sk-1")):
        with pytest.raises(MalformedRequestError, match="Two different API keys"):
            DIALECT.credential([("authorization", authorization()), other])


@pytest.mark.parametrize("query", ["X-Amz-Signature=00", "a=b&x-amz-credential=AKIA%2F20260922", "%58-Amz-Algorithm=x"])
def test_a_signature_in_the_query_is_refused(query):
    with pytest.raises(MalformedRequestError, match="query"):
        DIALECT.credential([], query)


BEARERS = [
    "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl+/==",
    "bedrock-api-key-YmVkcm9jaw==",
    "AKIA:short",
    "sk-1",
    f"{ID}:{SECRET}:a:b",
]


@pytest.mark.parametrize("secret", BEARERS)
def test_any_other_credential_of_the_fences_own_is_a_bearer_token(secret):
    assert DIALECT.credential_headers(secret, REQUESTS["a call"]) == (("authorization", f"Bearer {secret}"),)


def test_the_secret_key_is_in_no_header_and_not_shown():
    headers = DIALECT.credential_headers(f"{ID}:{SECRET}", REQUESTS["a call"])
    assert SECRET not in repr(headers)
