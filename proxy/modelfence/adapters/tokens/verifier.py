"""Tokens of an identity provider, verified: the `TokenVerifier` port over PyJWT.

Rule: nothing that a token says of itself chooses how it is verified. Which algorithms count is a setting, none of which
takes a shared secret; which key counts is what the provider published. Of the header only `alg` and `kid` are looked
at, and what names a key or an address to fetch one from (`jwk`, `jku`, `x5c`, `x5u`) is passed over. A token that says
that more must be understood of it (`crit`) is refused.

Why PyJWT verifies signatures alone, and the claims are looked at in the core: the time is the call's own, and what
comes of a token is one of our own words.

Why what was verified is remembered: verifying an RSA signature takes some 70 µs. It is remembered for a minute at
most, never beyond the token's own end, and not beyond a change of the keys. Its account is looked up at every call.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from jwt import PyJWS
from jwt.exceptions import DecodeError, InvalidSignatureError, InvalidTokenError

from modelfence.adapters.tokens.keys import KeySet, KeySource
from modelfence.core.account import Check
from modelfence.core.bucket import SECOND_US
from modelfence.core.call import Credential
from modelfence.core.token import Terms, Verified, expires_us, judged, proved

REMEMBERED = 10_000
REMEMBERED_US = 60 * SECOND_US
_MALFORMED, _UNKNOWN = Verified(Check.MALFORMED), Verified(Check.UNKNOWN)


class Tokens:
    """Verifies tokens on these terms, signed by one of these algorithms with a key of this source."""

    def __init__(self, terms: Terms, algorithms: Sequence[str], source: KeySource) -> None:
        self._terms = terms
        self._source = source
        self._algorithms = frozenset(algorithms)
        self._jws = PyJWS(algorithms=list(algorithms))
        self._remembered: OrderedDict[str, tuple[Verified, int]] = OrderedDict()
        self._remembered_of: KeySet | None = None

    async def verify(self, credential: Credential, at_us: int) -> Verified:
        """Return what a credential with a token proves at that time. Raises UnavailableError for want of keys."""
        self._forget_unless_of(self._source.keys())
        verified, until_us = self._remembered.get(credential.digest, (_UNKNOWN, 0))
        if at_us < until_us:
            self._remembered.move_to_end(credential.digest)
            return verified
        try:
            claims = await self._claims(credential.token)
        except InvalidSignatureError:
            return _UNKNOWN
        except DecodeError:
            return _MALFORMED
        except InvalidTokenError:
            return _UNKNOWN
        check = judged(claims, self._terms, at_us)
        if check is not Check.VALID:
            return Verified(check)
        verified = proved(claims, self._terms)
        if verified.check is Check.VALID:
            self._remember(credential.digest, verified, min(at_us + REMEMBERED_US, expires_us(claims)))
        return verified

    async def _claims(self, token: str) -> Mapping[str, object]:
        """Return what a token says, whose signature is good. Raises InvalidTokenError and UnavailableError."""
        header = self._jws.get_unverified_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms or "crit" in header or "b64" in header:
            raise InvalidTokenError
        keys = self._source.keys().fitting(kid, algorithm)
        if not keys:
            await self._source.renew()
            keys = self._source.keys().fitting(kid, algorithm)
        for key in keys:
            try:
                payload = self._jws.decode(token, key, algorithms=[algorithm])
            except InvalidTokenError:
                continue
            return _object(payload)
        raise InvalidSignatureError

    def _remember(self, digest: str, verified: Verified, until_us: int) -> None:
        self._forget_unless_of(self._source.keys())
        self._remembered[digest] = verified, until_us
        self._remembered.move_to_end(digest)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget_unless_of(self, keys: KeySet) -> None:
        if keys is not self._remembered_of:
            self._remembered.clear()
            self._remembered_of = keys


def _object(payload: bytes) -> Mapping[str, object]:
    """Raises DecodeError."""
    try:
        claims = json.loads(payload)
    except (ValueError, RecursionError):
        raise DecodeError from None
    if not isinstance(claims, dict):
        raise DecodeError
    return claims
