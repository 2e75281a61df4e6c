"""Fingerprints of templates, by which a policy exempts known ones: eight hashes, written as 64 hexadecimal digits.

They are the smallest of a template's shingles. Of a cohort they are known from its calls, of a text from the text; the
two differ a little where the calls' own words came in, so that half of them in common is enough.
"""

from collections.abc import Collection, Sequence

HASHES = 8
_DIGITS = 8
_COMMON = 2
"""One in so many of a fingerprint's hashes must be a template's."""


def fingerprint(shingles: Collection[int]) -> str:
    """Return the fingerprint of a template with these shingles; empty without any."""
    return "".join(f"{shingle & 0xFFFFFFFF:0{_DIGITS}x}" for shingle in sorted(shingles)[:HASHES])


def is_exempt(template: Sequence[int], exempt: Collection[str]) -> bool:
    """Say whether a template is one of those with these fingerprints."""
    if not exempt:
        return False
    hashes = {f"{shingle & 0xFFFFFFFF:0{_DIGITS}x}" for shingle in template}
    return any(_COMMON * len(hashes.intersection(_hashes(one))) >= len(_hashes(one)) for one in exempt)


def _hashes(written: str) -> list[str]:
    return [written[at : at + _DIGITS] for at in range(0, len(written), _DIGITS)]
