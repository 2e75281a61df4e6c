"""The public keys of an identity provider, from the text of a JWK set (RFC 7517), and who holds those of a file.

Rule: a key verifies only what it was published for. One for encryption, one of a kind that signs nothing and one that
is too weak (RFC 7518, section 3.3) are passed over, as RFC 7517 asks of those that are not understood.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import AllowedPublicKeys, get_default_algorithms
from jwt.exceptions import InvalidKeyError

MAX_BYTES = 256 << 10
MAX_KEYS = 100
MOST_TRIED = 8
"""So many keys are tried for a token that does not say which one it is signed with."""
_MIN_RSA_BITS = 2_048
_RSA = frozenset(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"))
_BY_KIND: Mapping[tuple[str, str], frozenset[str]] = {
    ("EC", "P-256"): frozenset(("ES256",)),
    ("EC", "P-384"): frozenset(("ES384",)),
    ("EC", "P-521"): frozenset(("ES512",)),
    ("OKP", "Ed25519"): frozenset(("EdDSA",)),
    ("OKP", "Ed448"): frozenset(("EdDSA",)),
}
_PUBLIC = ("kty", "crv", "n", "e", "x", "y")
_ALGORITHMS = get_default_algorithms()


class KeySetError(Exception):
    """A text is no set of keys that can be used. The error's text says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key, and the algorithms that it may verify."""

    kid: str | None
    algorithms: frozenset[str]
    key: AllowedPublicKeys


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one provider."""

    keys: tuple[PublicKey, ...]

    def fitting(self, kid: str | None, algorithm: str) -> Sequence[AllowedPublicKeys]:
        """Return the keys that may have signed with this algorithm: those of that id, or any when none is named."""
        fitting = [one.key for one in self.keys if algorithm in one.algorithms and kid in {None, one.kid}]
        return fitting[:MOST_TRIED]


class KeySource(Protocol):
    """Where the keys come from that tokens are verified with."""

    def keys(self) -> KeySet:
        """Return the keys in use. Raises UnavailableError while there are none that may be trusted."""
        ...

    async def renew(self) -> None:
        """Wait for keys that are newer, if it is time to ask for them; a token names one that is not there."""
        ...


class HeldKeys:
    """A `KeySource` whose keys are exchanged by others, as a file is read again."""

    def __init__(self, held: KeySet) -> None:
        self.held = held

    def keys(self) -> KeySet:
        """Return the keys in use."""
        return self.held

    async def renew(self) -> None:
        """Do nothing: what is in the file is all there is."""


def read_keys(text: bytes) -> KeySet:
    """Return the keys of a JWK set. Raises KeySetError when none of them can be used."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise KeySetError("it is no JSON") from None
    entries = said.get("keys") if isinstance(said, dict) else None
    if not isinstance(entries, list):
        raise KeySetError("it is no JWK set: a JSON object with `keys` is expected")
    if len(entries) > MAX_KEYS:
        raise KeySetError(f"it holds more than {MAX_KEYS} keys")
    keys = tuple(key for entry in entries if isinstance(entry, dict) and (key := _key(entry)) is not None)
    if not keys:
        raise KeySetError("it holds no public key of RSA (2048 bits or more), EC or Ed25519 that verifies signatures")
    return KeySet(keys)


def _key(entry: Mapping[str, object]) -> PublicKey | None:
    """Return a key, or None for one that is not understood."""
    kind = str(entry.get("kty")), str(entry.get("crv"))
    algorithms = _RSA if kind[0] == "RSA" else _BY_KIND.get(kind)
    if algorithms is not None and "alg" in entry:
        algorithms &= {str(entry["alg"])}
    operations, kid = entry.get("key_ops"), entry.get("kid")
    is_for_signatures = entry.get("use", "sig") == "sig" and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )
    if not algorithms or not is_for_signatures or not (kid is None or isinstance(kid, str)):
        return None
    # What a provider published of its private key by mistake is nothing to verify with.
    public = {name: entry[name] for name in _PUBLIC if name in entry}
    try:
        key = _ALGORITHMS[min(algorithms)].from_jwk(public)
    except (InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return PublicKey(kid, algorithms, key)
