"""The KYC directory's records, and the arithmetic of ownership."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum

STATUSES = ("active", "suspended", "closed")
SCREENINGS = ("clear", "hit", "pending")
_VERSION_DIGITS = 12
_SHORT_DIGITS = 12
_SHARE_DECIMALS = 12
"""A millionth of a millionth is no share of anything: what lies beyond is what binary fractions add to decimals."""


@dataclass(frozen=True, slots=True)
class Account:
    """One customer as the directory states it. `None` means never stated, which a condition sees as unknown."""

    id: str
    status: str
    tier: str
    country: str | None = None
    verified_us: int | None = None
    expires_us: int | None = None
    """Microsecond since the epoch from which the tier is the lowest; `None` never expires."""
    ownership: Mapping[str, float] | None = None
    """Share owned from each country, 0 to 1, direct and indirect; see `ownership` below."""
    screening: str | None = None
    purpose: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    verified_by: str | None = None
    """Who verified it: a person, a team or a provider of such services."""
    screened_us: int | None = None
    """Date of the lists it was screened against."""
    payer: str | None = None
    """Who pays for it; accounts that share a payer may be one customer's. Likewise the next two."""
    contact_domain: str | None = None
    signup_batch: str | None = None
    version: str = field(default="", compare=False)
    """Tells this state of the record from any other, as evidence of what was known; see `versioned`."""

    def expired(self, now_us: int) -> bool:
        """Say whether the verification has run out at that time."""
        return self.expires_us is not None and now_us >= self.expires_us


def versioned(account: Account) -> Account:
    """Return the account with its version: the first 12 digits of the SHA-256 of all that its record says.

    The shares owned from each country are part of it, so a change of an entity behind the account is a new version.
    Keys and certificates are not: they say nothing of whom the account belongs to.
    """
    said = json.dumps(asdict(replace(account, version="")), sort_keys=True)
    return replace(account, version=hashlib.sha256(said.encode()).hexdigest()[:_VERSION_DIGITS])


class Check(StrEnum):
    """What came of a credential. Whoever is refused for it is not told which it was."""

    VALID = "valid"
    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    REVOKED = "revoked"
    MISMATCHED = "mismatched"
    """An API key and a certificate that no account has both of."""
    UNCHECKED = "unchecked"
    """The directory did not answer, or a token can't be verified for want of keys."""
    UNASKED = "unasked"
    """It was not looked at: too many that are not valid came from the same network."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a directory knows of a credential."""

    check: Check
    owner: Account | None = None
    """Whose it is, or was before it expired or was revoked."""

    @property
    def account(self) -> Account | None:
        """Return the account that calls: nobody's call is made with a credential that is valid no longer."""
        return self.owner if self.check is Check.VALID else None


UNKNOWN = Found(Check.UNKNOWN)


def both(key: Found, certificate: Found) -> Found:
    """Return what an API key and a certificate that came together are worth: as much as the lesser of the two."""
    if unchecked := [one for one in (key, certificate) if one.check is Check.UNCHECKED]:
        return unchecked[0]
    if key.owner is None or certificate.owner is None or key.owner.id != certificate.owner.id:
        return Found(Check.MISMATCHED)
    # Where both are, what a token states of its account goes before what the directory says.
    return key if certificate.check is Check.VALID or key.check is not Check.VALID else certificate


@dataclass(frozen=True, slots=True)
class Key:
    """One of an account's credentials, known by its digest."""

    digest: str
    expires_us: int | None = None
    """Microsecond since the epoch from which it is valid no longer; `None` never expires."""
    is_revoked: bool = False
    name: str = ""
    """What its account calls it."""

    @property
    def short(self) -> str:
        """Return the first 12 digits of the digest, by which people and the audit log tell keys apart."""
        return self.digest.removeprefix("sha256:")[:_SHORT_DIGITS]

    def check(self, now_us: int) -> Check:
        """Say whether it is valid at that time."""
        if self.is_revoked:
            return Check.REVOKED
        return Check.EXPIRED if self.expires_us is not None and now_us >= self.expires_us else Check.VALID


def certificate_digest(fingerprint: str) -> str:
    """Return under which digest a directory finds a client certificate, from `sha256:` and its fingerprint.

    It has the form of an API key's digest, and goes wherever one does, but is none: no API key holds a zero byte.
    """
    return "sha256:" + hashlib.sha256(b"certificate\0" + fingerprint.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Owner:
    """A share, 0 to 1, held either by an entity of the directory or from a country."""

    share: float
    entity: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """All that a directory keeps of one account."""

    account: Account
    keys: tuple[Key, ...] = ()
    """Certificates, too: see `certificate_digest`."""
    owners: tuple[Owner, ...] | None = None
    """As they were stated; what comes of them is the account's `ownership`."""

    def key(self, digest: str) -> Key | None:
        """Return the key of that digest, or None."""
        return next((key for key in self.keys if key.digest == digest), None)


@dataclass(frozen=True, slots=True)
class Entity:
    """A company that owns others. It counts for its own country and passes on its owners' by multiplication."""

    id: str
    country: str
    owners: Sequence[Owner] = ()


def ownership(owners: Sequence[Owner], behind: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the share owned from each country, chain-multiplied along every path of owners; see `countries_behind`.

    Rounded to 12 decimals, so that 0.29, 0.16 and 0.05 are half, and a rule about half means it.
    """
    return {country: round(share, _SHARE_DECIMALS) for country, share in _summed(owners, behind).items()}


def _summed(owners: Sequence[Owner], behind: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for owner in owners:
        countries = {owner.country or "": 1.0} if owner.entity is None else behind[owner.entity]
        for country, share in countries.items():
            shares[country] = shares.get(country, 0.0) + owner.share * share
    return shares


def owned_from(countries: Iterable[str], ownership: Mapping[str, float]) -> float:
    """Return the sum of the shares owned from these countries, each counted once: 0 to as many as there are."""
    return round(float(sum(ownership.get(country, 0.0) for country in set(countries))), _SHARE_DECIMALS)


def countries_behind(entities: Mapping[str, Entity]) -> dict[str, Mapping[str, float]]:
    """Return for each entity the share of it that counts for each country: all of it for its own.

    The graph has no cycles and every entity named is in `entities`: the directory's reader has checked both.
    Along one chain a country counts once, where it is met first: a US company wholly owned by a US parent is
    owned from the US by its share, not twice, so that no country's share passes the sum of the direct shares.
    Each entity is summed up once, after its owners, so a deep diamond or chain costs no more than its entities.
    """
    behind: dict[str, Mapping[str, float]] = {}
    waiting = list(entities)
    while waiting:
        entity = entities[waiting[-1]]
        named = [owner.entity for owner in entity.owners if owner.entity is not None]
        if unknown := [name for name in named if name not in behind]:
            waiting += unknown
        elif waiting.pop() not in behind:
            behind[entity.id] = {**_summed(entity.owners, behind), entity.country: 1.0}
    return behind
