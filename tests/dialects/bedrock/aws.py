"""What AWS does with a signed request: make the signature again, by its own SDK's signer, and compare."""

import re

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

CALLERS_ID, CALLERS_SECRET = "AKIACALLERCALLER0001", "caller-secret/caller-secret+caller-secret"
FENCES_ID, FENCES_SECRET = "AKIAFENCEFENCE000001", "fence-secret/fence-secret+fence-secret-00"
SECRETS = {CALLERS_ID: CALLERS_SECRET, FENCES_ID: FENCES_SECRET}
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/bedrock/aws4_request, SignedHeaders=([^,]+), Signature=(\w{64})"
)


def signed(method, url, headers, body, *, key_id=CALLERS_ID, region="us-east-1"):
    """Return the headers of a request as a caller's SDK signs it."""
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    SigV4Auth(Credentials(key_id, SECRETS[key_id]), "bedrock", region).add_auth(request)
    return dict(request.headers.items())


def signer_of(method, target, headers, body):
    """Return the id of the key that a request is rightly signed with, and the region; None where it is not.

    `headers` are as they arrived, with names in lower case; the host is among them.
    """
    given = dict(headers)
    found = _AUTHORIZATION.fullmatch(given.get("authorization", ""))
    if found is None or found[1] not in SECRETS:
        return None
    key_id, day, region, names, stated = found.groups()
    covered = {name: given.get(name, "") for name in names.split(";") if name != "host"}
    request = AWSRequest(method, f"http://{given['host']}{target}", data=body, headers=covered)
    request.context["timestamp"] = given["x-amz-date"]
    signer = SigV4Auth(Credentials(key_id, SECRETS[key_id]), "bedrock", region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    is_right = signer.signature(text, request) == stated and given["x-amz-date"].startswith(day)
    must = {"host", *(name for name in given if name.startswith("x-amz") and name != "x-amzn-trace-id")}
    return (key_id, region) if is_right and must <= set(names.split(";")) else None
