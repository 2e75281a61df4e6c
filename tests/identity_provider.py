"""A stand-in for an identity provider: keys made up for tests, tokens signed with them, and where keys are published."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.example.com/", "modelfence"
_PUBLISHED = {"kid", "use", "kty", "crv", "n", "e", "x", "y"}
CURVES: dict[str, type[Any]] = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}


def private_key(name: str, algorithm: str = "RS256") -> Any:
    """Return the key of that name, the same whenever it is asked for: making one of RSA takes a while."""
    return _made(name, algorithm)


@cache
def _made(name: str, algorithm: str) -> Any:  # noqa: ARG001 - each name has a key of its own
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm]())
    return ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa.generate_private_key(65537, 2048)


def jwk(name: str, algorithm: str = "RS256", **said: object) -> dict[str, object]:
    """Return the public half as it is published; None leaves a member out."""
    public = private_key(name, algorithm).public_key()
    kind = ECAlgorithm if algorithm in CURVES else OKPAlgorithm if algorithm == "EdDSA" else RSAAlgorithm
    described = {"kid": name, "use": "sig", **kind.to_jwk(public, as_dict=True), **said}
    return {
        member: value for member, value in described.items() if value is not None and member in _PUBLISHED | said.keys()
    }


def jwks(*keys: dict[str, object]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(now_s: float, **changes: object) -> dict[str, object]:
    """Return what a token of the account `acme` says; `...` leaves a claim out."""
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "acme", "iat": int(now_s), "exp": int(now_s) + 300}
    return {name: value for name, value in {**usual, **changes}.items() if value is not ...}


def token(said: object, key: str = "k1", algorithm: str = "RS256", **header: object) -> str:
    """Return a token signed with the key of that name; None leaves a part of the header out."""
    named = {name: value for name, value in {"kid": key, **header}.items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(said).encode(), private_key(key, algorithm), algorithm, headers=named)


def assembled(header: object, said: object, signature: bytes = b"") -> str:
    """Return a token of these parts, signed or not."""
    parts = (json.dumps(header).encode(), json.dumps(said).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@dataclass
class Provider:
    """What is published, and how often it was asked for. `status` answers everything with that status instead."""

    url: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    requests: list[str] = field(default_factory=list)
    may_answer: threading.Event = field(default_factory=threading.Event)

    def publish(self, *names: str) -> None:
        self.body = jwks(*(jwk(name) for name in names))


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        provider: Provider = self.server.provider  # type: ignore[attr-defined]
        provider.requests.append(self.path)
        provider.may_answer.wait(10)
        self.send_response(provider.status)
        for name, value in {"Content-Length": str(len(provider.body)), **provider.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(provider.body)

    def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - the base class calls it so


@contextmanager
def identity_provider() -> Iterator[Provider]:
    """Serve keys on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    provider = Provider(url=f"http://127.0.0.1:{server.server_address[1]}/jwks.json")
    provider.may_answer.set()
    provider.publish("k1")
    server.provider = provider  # type: ignore[attr-defined]
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    try:
        yield provider
    finally:
        provider.may_answer.set()
        server.shutdown()
        serving.join()
        server.server_close()
