"""Tokens as they come, and as they are forged: each is what it is, and none that was not signed is valid."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm
from tests.enforcement.outside import NOON_US
from tests.identity_provider import (
    AUDIENCE,
    ISSUER,
    assembled,
    claims,
    identity_provider,
    jwk,
    jwks,
    private_key,
    token,
)

from modelfence.adapters.tokens import verifier as module
from modelfence.adapters.tokens.keys import HeldKeys, KeySetError, read_keys
from modelfence.adapters.tokens.verifier import Tokens
from modelfence.core.account import Check
from modelfence.core.call import Credential
from modelfence.core.token import Terms
from modelfence.core.unavailable import UnavailableError

NOW_S = NOON_US // 1_000_000
TERMS = Terms(ISSUER, frozenset({AUDIENCE}))
ALL = ("RS256", "RS384", "PS256", "ES256", "ES384", "ES512", "EdDSA")


class Asked(HeldKeys):
    """Keys that know how often newer ones were asked for, and may have some."""

    def __init__(self, text, newer=None) -> None:
        super().__init__(read_keys(text))
        self.newer = newer
        self.times = 0

    async def renew(self):
        self.times += 1
        if self.newer is not None:
            self.held = read_keys(self.newer)


def tokens(*keys: dict[str, object], algorithms=("RS256",), terms=TERMS):
    return Tokens(terms, algorithms, Asked(jwks(*keys or [jwk("k1")])))


async def check(text, verifier=None, at_us=NOON_US):
    credential = Credential.of(text)
    assert credential.token == text, "this is no token at all"
    return (await (verifier or tokens()).verify(credential, at_us)).check


async def test_a_token_proves_which_account_calls():
    verified = await tokens().verify(Credential.of(token(claims(NOW_S))), NOON_US)
    assert (verified.check, verified.account_id, verified.stated) == (Check.VALID, "acme", None)


@pytest.mark.parametrize("algorithm", ALL)
async def test_each_algorithm_that_the_settings_allow_is_verified_and_no_other(algorithm):
    kind = algorithm if algorithm[0] == "E" else "RS256"
    published = jwk("k", kind)
    signed = sign(claims(NOW_S), algorithm, kind)
    assert await check(signed, tokens(published, algorithms=ALL)) is Check.VALID
    others = tuple(one for one in ALL if one != algorithm)
    assert await check(signed, tokens(published, algorithms=others)) is Check.UNKNOWN


def sign(said, algorithm, kind):
    return jwt.PyJWS().encode(json.dumps(said).encode(), private_key("k", kind), algorithm, headers={"kid": "k"})


def hs256(secret, **header):
    """Return a token that whoever knows the public key can make."""
    unsigned = assembled({"alg": "HS256", "kid": "k1", **header}, claims(NOW_S)).removesuffix(".")
    mac = hmac.digest(secret, unsigned.encode(), hashlib.sha256)
    return f"{unsigned}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def signed(header):
    """Return a token with a header that no library would write, and a good signature."""
    unsigned = assembled(header, claims(NOW_S)).removesuffix(".")
    signature = private_key("k1").sign(unsigned.encode(), PKCS1v15(), SHA256())
    return f"{unsigned}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def pem():
    public = private_key("k1").public_key()
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def der():
    public = private_key("k1").public_key()
    return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def signature_of(text):
    part = text.rpartition(".")[2]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


GOOD = token(claims(NOW_S))
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
SAID = claims(NOW_S)
EVIL: Any = {"jwk": jwk("evil"), "jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert", "x5c": ["AAAA"]}
FORGED = {
    "no algorithm": (assembled({"alg": "none", "kid": "k1"}, SAID), Check.UNKNOWN),
    "no algorithm, in other letters": (assembled({"alg": "nOnE", "kid": "k1"}, SAID), Check.UNKNOWN),
    "no algorithm, with a signature": (f"{assembled({'alg': 'none'}, SAID)}{SIGNATURE}", Check.UNKNOWN),
    "an empty algorithm": (assembled({"alg": "", "kid": "k1"}, SAID), Check.UNKNOWN),
    "an algorithm that is none at all": (assembled({"alg": ["RS256"], "kid": "k1"}, SAID), Check.UNKNOWN),
    "without an algorithm": (assembled({"kid": "k1"}, SAID, signature_of(GOOD)), Check.UNKNOWN),
    "HS256 with the public key as PEM": (hs256(pem()), Check.UNKNOWN),
    "HS256 with the public key as DER": (hs256(der()), Check.UNKNOWN),
    "HS256 with the modulus": (hs256(str(jwk("k1")["n"]).encode()), Check.UNKNOWN),
    "HS256 with nothing": (hs256(b""), Check.UNKNOWN),
    "an empty signature": (f"{HEADER}.{PAYLOAD}.", Check.UNKNOWN),
    "a signature of zeros": (assembled({"alg": "RS256", "kid": "k1"}, SAID, bytes(256)), Check.UNKNOWN),
    "ES256 with zeros": (assembled({"alg": "ES256", "kid": "k1"}, SAID, bytes(64)), Check.UNKNOWN),
    "the signature of another token": (f"{HEADER}.{PAYLOAD}.{token(claims(NOW_S, sub='x')).rpartition('.')[2]}", Check.UNKNOWN),
    "claims exchanged": (f"{HEADER}.{token(claims(NOW_S, sub='boss')).split('.')[1]}.{SIGNATURE}", Check.UNKNOWN),
    "another's key under the right id": (token(SAID, "evil", kid="k1"), Check.UNKNOWN),
    "a key of its own in the header": (token(SAID, "evil", kid="k1", **EVIL), Check.UNKNOWN),
    "a key of its own, and no id": (token(SAID, "evil", kid=None, **EVIL), Check.UNKNOWN),
    "an unknown key": (token(SAID, "evil"), Check.UNKNOWN),
    "an id that is a path": (token(SAID, "evil", kid="../../../../dev/null"), Check.UNKNOWN),
    "an id that is a query": (token(SAID, "evil", kid="k1' UNION SELECT 'key"), Check.UNKNOWN),
    "an id that is long": (token(SAID, kid="k" * 5000), Check.UNKNOWN),
    "an empty id": (token(SAID, kid=""), Check.UNKNOWN),
    "an id that is no text": (assembled({"alg": "RS256", "kid": ["k1"]}, SAID, signature_of(GOOD)), Check.UNKNOWN),
    "more to be understood": (token(SAID, crit=["exp"], exp=1), Check.UNKNOWN),
    "more to be understood, which is nothing": (signed({"alg": "RS256", "kid": "k1", "crit": ["b64"], "b64": True}), Check.UNKNOWN),
    "a word on its encoding": (signed({"alg": "RS256", "kid": "k1", "b64": True}), Check.UNKNOWN),
    "claims that are no JSON": (jwt.PyJWS().encode(b"{", private_key("k1"), "RS256", headers={"kid": "k1"}), Check.MALFORMED),
    "claims without end": (jwt.PyJWS().encode(b"[" * 5000, private_key("k1"), "RS256", headers={"kid": "k1"}), Check.MALFORMED),
    "a payload that is not encoded": (assembled({"alg": "RS256", "b64": False}, SAID, b"x"), Check.MALFORMED),
    "another audience": (token(claims(NOW_S, aud="billing")), Check.UNKNOWN),
    "another issuer": (token(claims(NOW_S, iss="https://login.example.com.evil.example/")), Check.UNKNOWN),
    "no end": (token(claims(NOW_S, exp=...)), Check.UNKNOWN),
    "expired": (token(claims(NOW_S, exp=NOW_S - 31)), Check.EXPIRED),
    "expired, and not signed": (token(claims(NOW_S, exp=NOW_S - 31), "evil", kid="k1"), Check.UNKNOWN),
    "not valid yet": (token(claims(NOW_S, nbf=NOW_S + 60)), Check.UNKNOWN),
    "from the future": (token(claims(NOW_S, iat=NOW_S + 60)), Check.UNKNOWN),
    "no account": (token(claims(NOW_S, sub=...)), Check.UNKNOWN),
    "claims that are a list": (token([SAID]), Check.MALFORMED),
    "a header that is no JSON": (f"ey.{PAYLOAD}.{SIGNATURE}", Check.MALFORMED),
    "a header that is a text": (f"eyJh.{PAYLOAD}.{SIGNATURE}", Check.MALFORMED),
    "a payload cut short": (f"{HEADER}.{PAYLOAD[:-3]}.{SIGNATURE}", None),
    "nothing but a header": (f"{HEADER}..", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FORGED.values(), ids=FORGED)
async def test_a_forged_token_is_not_valid(text, expected):
    found = await check(text, tokens(jwk("k1"), jwk("other")))
    assert found in ({expected} if expected else {Check.UNKNOWN, Check.MALFORMED})


async def test_a_good_signature_is_one_also_without_a_library():
    assert await check(signed({"alg": "RS256", "kid": "k1"})) is Check.VALID


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS384", "RS999", ""])
async def test_nobody_is_asked_for_the_keys_of_an_algorithm_that_is_not_allowed(algorithm):
    source = Asked(jwks(jwk("k1")))
    await check(assembled({"alg": algorithm, "kid": "k2"}, SAID), Tokens(TERMS, ["RS256"], source))
    assert source.times == 0


async def test_nothing_that_a_token_brings_along_is_fetched():
    with identity_provider() as evil:
        evil.publish("evil")
        brought: Any = {"jku": evil.url, "x5u": evil.url, "jwk": jwk("evil"), "kid": evil.url}
        assert await check(token(SAID, "evil", **brought)) is Check.UNKNOWN
        assert evil.requests == []


@given(at=st.integers(0, len(GOOD) - 1), change=st.integers(1, 255))
async def test_a_token_altered_in_any_byte_is_refused(at, change):
    altered = GOOD[:at] + chr(ord(GOOD[at]) ^ change) + GOOD[at + 1 :]
    credential = Credential.of(altered)
    if credential.token:  # else it is an API key that nobody has
        assert (await tokens().verify(credential, NOON_US)).check in {Check.UNKNOWN, Check.MALFORMED}


async def test_a_signature_has_one_spelling():
    verifier = tokens()
    for last in set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") - {GOOD[-1]}:
        assert await check(GOOD[:-1] + last, verifier) in {Check.UNKNOWN, Check.MALFORMED}
    assert Credential.of(GOOD + "=").token == ""


@given(text=st.text("eyJ0.-_", max_size=60).map(lambda rest: f"ey{rest}"))
async def test_whatever_has_the_form_of_a_token_is_read_without_a_failure(text):
    credential = Credential.of(text)
    if credential.token:
        assert (await tokens().verify(credential, NOON_US)).check in {Check.UNKNOWN, Check.MALFORMED}


async def test_a_token_of_nested_lists_is_malformed():
    deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 5000).rstrip(b"=").decode()
    assert await check(f"{deep}.e30.AAAA") is Check.MALFORMED


async def test_a_token_without_a_key_id_is_tried_with_those_that_fit():
    signed = token(claims(NOW_S), kid=None)
    assert await check(signed, tokens(jwk("a"), jwk("e", "ES256"), jwk("k1"))) is Check.VALID
    assert await check(signed, tokens(*(jwk("a", kid=f"a{n}") for n in range(8)), jwk("k1"))) is Check.UNKNOWN
    assert await check(token(claims(NOW_S)), tokens(jwk("k1", kid=None))) is Check.UNKNOWN
    assert await check(signed, tokens(jwk("k1", kid=None))) is Check.VALID


async def test_a_key_is_asked_for_again_once_a_token_names_one_that_is_not_there():
    source = Asked(jwks(jwk("k1")), newer=jwks(jwk("k2")))
    verifier = Tokens(TERMS, ["RS256"], source)
    old = token(claims(NOW_S))
    assert await check(old, verifier) is Check.VALID
    assert source.times == 0
    assert await check(token(claims(NOW_S), "k2"), verifier) is Check.VALID
    assert source.times == 1
    assert await check(old, verifier) is Check.UNKNOWN, "its key is gone, and what was remembered of it with it"


async def test_without_keys_nobody_knows():
    class Away(Asked):
        def keys(self):
            raise UnavailableError

    with pytest.raises(UnavailableError):
        await Tokens(TERMS, ["RS256"], Away(jwks(jwk("k1")))).verify(Credential.of(GOOD), NOON_US)


async def test_a_token_is_remembered_for_a_minute_and_never_beyond_its_end(monkeypatch):
    source = Asked(jwks(jwk("k1")))
    verifier = Tokens(TERMS, ["RS256"], source)
    read = []
    claims_of = verifier._claims

    async def counted(text):
        read.append(text)
        return await claims_of(text)

    monkeypatch.setattr(verifier, "_claims", counted)
    short = token(claims(NOW_S, exp=NOW_S + 10))
    for text, after_s, expected, times in [
        (GOOD, 0, Check.VALID, 1), (GOOD, 59, Check.VALID, 1), (GOOD, 60, Check.VALID, 2), (GOOD, 331, Check.EXPIRED, 3),
        (short, 0, Check.VALID, 4), (short, 9, Check.VALID, 4), (short, 11, Check.VALID, 5), (short, 39, Check.VALID, 6),
        (short, 40, Check.EXPIRED, 7),
    ]:  # fmt: skip
        assert await check(text, verifier, NOON_US + after_s * 1_000_000) is expected
        assert len(read) == times


async def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 2)
    verifier = tokens()
    for subject in ("a", "b", "c"):
        await check(token(claims(NOW_S, sub=subject)), verifier)
    assert len(verifier._remembered) == 2


async def test_the_record_of_an_account_may_be_stated_by_its_token():
    terms = Terms(ISSUER, frozenset({AUDIENCE}), account="org", facts={"tier": "kyc"})
    signed = token(claims(NOW_S, org="globex", kyc="verified"))
    verified = await tokens(terms=terms).verify(Credential.of(signed), NOON_US)
    assert (verified.account_id, verified.stated.id, verified.stated.tier) == ("globex", "globex", "verified")


SMALL = {"kty": "RSA", "kid": "small", "n": base64.urlsafe_b64encode(b"\xff" * 128).decode().rstrip("="), "e": "AQAB"}


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}, jwk("k1", use="enc"), jwk("k1", key_ops=["encrypt"]),
        jwk("k1", key_ops="verify"), jwk("k1", alg="HS256"), jwk("k1", alg="ES256"), jwk("k1", kid=7), SMALL,
        {"kty": "RSA", "kid": "k1"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, {"kty": ["RSA"]}, {}, "k1", None,
        jwk("k1", n="!"), jwk("k1", e=65537),
    ],
    ids=[f"key{n}" for n in range(17)],  # the keys are others in each process
)  # fmt: skip
def test_a_key_that_cannot_verify_a_signature_is_passed_over(key):
    (left,) = read_keys(jwks(key, jwk("k2"))).keys
    assert left.kid == "k2"
    with pytest.raises(KeySetError, match="no public key"):
        read_keys(jwks(key))


async def test_a_key_verifies_only_the_algorithm_it_was_published_for():
    only = jwk("k", alg="RS384")
    assert await check(sign(SAID, "RS384", "RS256"), tokens(only, algorithms=ALL)) is Check.VALID
    assert await check(sign(SAID, "RS256", "RS256"), tokens(only, algorithms=ALL)) is Check.UNKNOWN
    assert await check(sign(SAID, "PS256", "RS256"), tokens(only, algorithms=ALL)) is Check.UNKNOWN


def test_a_private_key_that_was_published_by_mistake_is_read_as_its_public_half():
    secret = RSAAlgorithm.to_jwk(private_key("k1"), as_dict=True)
    (key,) = read_keys(jwks({**secret, "kid": "k1", "key_ops": ["verify", "sign"]})).keys
    assert not hasattr(key.key, "sign")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "no JSON"), (b"\xff", "no JSON"), (b"[" * 100_000, "no JSON"), (b"[]", "no JWK set"), (b"{}", "no JWK set"),
        (b'{"keys": {}}', "no JWK set"), (b'{"keys": []}', "no public key"),
        (jwks(*[{}] * 101), "more than 100"),
    ],
    ids=["nothing", "no text", "nested", "a list", "no keys", "keys that are no list", "an empty list", "too many"],
)  # fmt: skip
def test_what_is_no_set_of_keys_says_why(text, reason):
    with pytest.raises(KeySetError, match=reason):
        read_keys(text)
