"""How evidence is packed in Redis: what the scripts are asked and what they answer. `see.lua` packs it the same way.

All numbers are big-endian. A hash has six bytes, an account's tag and a hash that is cut have four, and the name of a
cohort is the six bytes of its first shingle. A list is packed without its length where all entries have the same size.

    account   day i4, last_at_s i8, the tally as in `_TALLY`, then, each after its size I2: items (4 each), shingles met
              once (4 each), shingles met more often (4, times I4), cohorts (6, and what it has done there as in
              `Membership` of adapters/memory/cohorts.py, I4 each); and countries without a
              size (last call i8, size I4, name)
    cohort    first_at_s i8, last_at_s i8, the counts as in COUNTED and the shingles learned, I8 each, then, each after
              its size I4: tiers and countries (accounts I4, size I4, name), template (6 each), seeds (4 each),
              overlaps (6, accounts I4); and who is behind its accounts (4, accounts I4), without a size
    shingle   day i3, then the tags of accounts (4 each), or the cohort (6)
    taken in  a cohort whose record is the name of the one that has taken it in

Rule: values in, values out; nothing here sends anything.
"""

import struct
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from modelfence.adapters.evidence_bounds import COHORTS_COMPARED, NOISY_PART, SEEDS, Shards
from modelfence.core.extraction import HASH_BITS
from modelfence.extraction.evidence import (
    ACCOUNTS,
    COHORTS_OF_AN_ACCOUNT,
    CONTROLS,
    COUNTED,
    COUNTRIES,
    DAY_S,
    HEARD,
    HOUR_S,
    ITEM_BITS,
    LEARNED,
    LEARNS,
    MATCHES,
    OVERLAPS,
    RECENT_COUNTRIES,
    RECENT_ITEMS,
    RECENT_SHINGLES,
    RECURRING_SHINGLES,
    RECURS,
    SHARED,
    TEMPLATE,
    TEMPLATED,
    Bounds,
    CohortRecord,
    Seen,
    Sighting,
    Tally,
)

_TALLY = struct.Struct(">8IQ2I")
_COHORT = struct.Struct(f">2q{len(COUNTED)}Q8x")
_SIZE = struct.Struct(">I")
_NAMED = struct.Struct(">II")
_CONTROL = struct.Struct(">II")
_LAST_CALL = struct.Struct(">qI")
_HASH, _SHARD = 6, 3
_SIZED_LISTS = 5
_IN_MESSAGE, _OWN = 1, 2
_DIGIT = ord("0")


def constants(bounds: Bounds) -> bytes:
    """Return what the script must know of `modelfence.extraction.evidence`, in the order of its own first lines."""
    shards = Shards.of(bounds)
    return struct.pack(
        ">29I",
        *(
            ACCOUNTS,
            SHARED,
            MATCHES,
            LEARNS,
            LEARNED,
            HEARD,
            RECENT_ITEMS,
            RECENT_SHINGLES,
            RECURRING_SHINGLES,
            RECURS,
            TEMPLATED,
        ),
        *(COHORTS_OF_AN_ACCOUNT, OVERLAPS, COUNTRIES, TEMPLATE, ITEM_BITS, bounds.worn, DAY_S, HOUR_S, SEEDS),
        *(
            RECENT_COUNTRIES,
            CONTROLS,
            NOISY_PART,
            COHORTS_COMPARED,
            bounds.accounts,
            bounds.cohorts,
            bounds.expires_s,
            shards.most,
            shards.stay,
        ),
    )


def account_name(caller: str) -> str:
    """Return what an account is called in keys: 16 characters, so that long names of callers take no room."""
    digest = blake2b(caller.encode(errors="surrogatepass"), digest_size=12).digest()
    return urlsafe_b64encode(digest).decode()


def cohort_name(cohort: str) -> bytes:
    """Return what a cohort is called in keys; empty when there can be none of that id."""
    try:
        name = bytes.fromhex(cohort)
    except ValueError:
        return b""
    return name if len(name) == _HASH else b""


def asked(sighting: Sighting, shards: int) -> list[int | bytes]:
    """Return what the script is told of a call, when the index has so many shards."""
    print_ = sighting.fingerprint
    shingles, last, own = sighting.shingles, {*print_.last}, {*sighting.own}
    flags = (sighting.is_verified, sighting.is_probe, sighting.asks_for_data)
    return [
        sighting.at_s,
        _SIZE.pack(sighting.tag),
        sighting.tier.encode(errors="surrogatepass"),
        sighting.country.encode(errors="surrogatepass"),
        b"".join(b"%d" % flag for flag in flags),
        print_.item.to_bytes(_HASH),
        print_.history.to_bytes(_HASH),
        b"".join([(one % shards << HASH_BITS | one).to_bytes(_SHARD + _HASH) for one in shingles]),
        bytes([_DIGIT + _IN_MESSAGE * (one in last) + _OWN * (one in own) for one in shingles]),
        b"".join([_SIZE.pack(one) for one in sighting.controls]),
    ]


def seen(answer: Sequence[Any]) -> Seen:
    """Return what the script answered to a call."""
    tally, matched, countries, *cohorts = answer
    return Seen(
        tally=Tally(*_TALLY.unpack(tally)),
        matched=tuple(name.hex() for name in _cut(matched)),
        cohorts=[
            (cohort(name, record), calls)
            for name, calls, record in zip(cohorts[::3], cohorts[1::3], cohorts[2::3], strict=True)
        ],
        countries=tuple(sorted(_named(countries, _LAST_CALL))),
    )


def cohort(name: bytes, record: bytes) -> CohortRecord:
    """Return a cohort from its record."""
    first_at_s, last_at_s, *counts = _COHORT.unpack_from(record)
    lists, at = [], _COHORT.size
    for _ in range(_SIZED_LISTS):
        end = at + _SIZE.size + _SIZE.unpack_from(record, at)[0]
        lists.append(record[at + _SIZE.size : end])
        at = end
    tiers, countries, template, _seeds, _overlaps = lists
    return CohortRecord(
        name.hex(),
        first_at_s,
        last_at_s,
        tiers=_named(tiers, _NAMED),
        countries=_named(countries, _NAMED),
        template=tuple(int.from_bytes(shingle) for shingle in _cut(template)),
        controlled=max((accounts for _, accounts in _CONTROL.iter_unpack(record[at:])), default=0),
        **dict(zip(COUNTED, counts, strict=True)),
    )


def _named(packed: bytes, head: struct.Struct) -> dict[str, int]:
    """Return numbers by name, from a list in which a name follows after its number and its size."""
    found, at = {}, 0
    while at < len(packed):
        number, size = head.unpack_from(packed, at)
        end = at + head.size + size
        found[packed[at + head.size : end].decode(errors="surrogatepass")] = number
        at = end
    return found


def _cut(packed: bytes) -> list[bytes]:
    return [packed[at : at + _HASH] for at in range(0, len(packed), _HASH)]
