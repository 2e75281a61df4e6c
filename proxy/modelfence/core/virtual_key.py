"""API keys that the fence's operator hands out: `mf_`, 256 random bits, and a checksum.

The form is that of GitHub's tokens (its post of 5 April 2021, "Behind GitHub's new authentication token formats"): a
prefix by which scanners of code find a leaked one, digits of base 62 that a double click selects as a whole, and six
more that are the CRC-32 of those before, so that a mistyped key is told from a wrong one without looking it up. The
checksum keeps no secret and proves nothing: anybody can compute it.
"""

import zlib

PREFIX = "mf_"
"""No API that the fence stands in front of has keys that begin so."""
RANDOM_BYTES = 32
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_DIGITS = 43
"""The fewest digits of base 62 that hold 256 bits."""
_CHECK_DIGITS = 6
"""The fewest that hold 32."""


def mint(random: bytes) -> str:
    """Return the key of that many random bytes, `RANDOM_BYTES`; the same bytes make the same key."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} bytes, not of {len(random)}")
    digits = _base62(int.from_bytes(random), _RANDOM_DIGITS)
    return PREFIX + digits + _check_digits(digits)


def is_damaged(key: str) -> bool:
    """Say whether a key has the prefix of those handed out, and can't be one: it was cut or mistyped."""
    if not key.startswith(PREFIX):
        return False
    digits = key[len(PREFIX) : -_CHECK_DIGITS]
    return len(digits) != _RANDOM_DIGITS or key[-_CHECK_DIGITS:] != _check_digits(digits)


def _check_digits(digits: str) -> str:
    return _base62(zlib.crc32(digits.encode()), _CHECK_DIGITS)


def _base62(number: int, length: int) -> str:
    """Return a number in so many digits, the most significant first."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
