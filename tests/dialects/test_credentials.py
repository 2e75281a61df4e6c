import pytest

from modelfence.core.call import Credential, CredentialState
from modelfence.core.dialect import MalformedRequestError
from modelfence.core.virtual_key import mint
from modelfence.dialects.shared.credentials import credential

KEY = Credential.of("sk-1")
VIRTUAL = mint(bytes(range(32)))
MISSING = Credential(CredentialState.MISSING)
MALFORMED = Credential(CredentialState.MALFORMED)

READ = {
    "a bearer token": ([("authorization", "Bearer sk-1")], KEY),
    "the scheme in any case": ([("authorization", "bEARER sk-1")], KEY),
    "white space around it": ([("authorization", " Bearer  sk-1\t")], KEY),
    "Anthropic's header": ([("x-api-key", "sk-1")], KEY),
    "Azure's header": ([("api-key", "sk-1")], KEY),
    "Google's header": ([("x-goog-api-key", "sk-1")], KEY),
    "the same key in every header": (
        [("authorization", "Bearer sk-1"), ("x-api-key", "sk-1"), ("api-key", "sk-1"), ("x-goog-api-key", "sk-1")],
        KEY,
    ),
    "the same header twice, alike": ([("authorization", "Bearer sk-1"), ("authorization", "bearer sk-1")], KEY),
    "none": ([("content-type", "application/json")], MISSING),
    "a virtual key": ([("authorization", f"Bearer {VIRTUAL}"), ("x-api-key", VIRTUAL)], Credential.of(VIRTUAL)),
    "a virtual key with a typo": ([("authorization", f"Bearer {VIRTUAL[:-1]}0")], MALFORMED),
    "a virtual key that was cut": ([("x-goog-api-key", VIRTUAL[:20])], MALFORMED),
    "a key of 8192 characters": ([("authorization", "Bearer " + "k" * 8192)], Credential.of("k" * 8192)),
    "a key of 8193 characters": ([("authorization", "Bearer " + "k" * 8193)], MALFORMED),
    "another scheme": ([("authorization", "Basic c2stMTo=")], MALFORMED),
    "no scheme": ([("authorization", "sk-1")], MALFORMED),
    "an empty token": ([("authorization", "Bearer ")], MALFORMED),
    "an empty header": ([("authorization", "")], MALFORMED),
    "an empty key header": ([("x-api-key", "")], MALFORMED),
    "a space inside": ([("authorization", "Bearer sk 1")], MALFORMED),
    "two tokens in one header": ([("authorization", "Bearer sk-1, Bearer sk-2")], MALFORMED),
    "a control character inside": ([("authorization", "Bearer sk\x001")], MALFORMED),
    "a line feed at the end": ([("authorization", "Bearer sk-1\n")], MALFORMED),
    "a character beyond ASCII": ([("x-api-key", "sk-é")], MALFORMED),
}
REFUSED = {
    "two headers that differ": [("authorization", "Bearer sk-1"), ("x-api-key", "sk-2")],
    "two key headers that differ": [("api-key", "sk-1"), ("x-goog-api-key", "sk-2")],
    "the same header twice, different": [("authorization", "Bearer sk-1"), ("authorization", "Bearer sk-2")],
    "keys that differ in case": [("authorization", "Bearer sk-a"), ("x-api-key", "sk-A")],
    "a key beside something that is none": [("authorization", "Basic c2stMTo="), ("x-api-key", "sk-1")],
}


@pytest.mark.parametrize(("headers", "expected"), READ.values(), ids=READ)
def test_a_credential_is_found_in_any_header_that_an_api_would_read(headers, expected):
    assert credential(headers) == expected


@pytest.mark.parametrize("headers", REFUSED.values(), ids=REFUSED)
def test_two_different_credentials_in_one_call_are_refused(headers):
    with pytest.raises(MalformedRequestError) as refused:
        credential(headers)
    assert refused.value.message == "Two different API keys were given in one request; send one."


def test_only_the_digest_of_a_key_is_kept():
    found = credential([("authorization", "Bearer sk-secret")])
    assert found.digest.startswith("sha256:")
    assert "sk-secret" not in repr(found)
