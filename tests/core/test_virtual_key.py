import re
import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.virtual_key import PREFIX, RANDOM_BYTES, is_damaged, mint

KEY = mint(bytes(range(32)))
randoms = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


def number(digits: str) -> int:
    """Read base 62, for comparison."""
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    value = 0
    for digit in digits:
        value = value * 62 + alphabet.index(digit)
    return value


@given(randoms)
def test_a_key_holds_all_256_bits_and_the_checksum_of_their_digits(random):
    found = re.fullmatch(r"mf_([0-9A-Za-z]{43})([0-9A-Za-z]{6})", mint(random))
    assert found
    assert number(found[1]).to_bytes(RANDOM_BYTES) == random
    assert number(found[2]) == zlib.crc32(found[1].encode())


@given(randoms)
def test_a_key_that_was_handed_out_is_not_damaged(random):
    assert not is_damaged(mint(random))


def test_the_form_of_keys_never_changes():
    assert KEY == "mf_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP"


@pytest.mark.parametrize("random", [b"", bytes(31), bytes(33)])
def test_a_key_is_never_made_of_fewer_bits(random):
    with pytest.raises(ValueError, match="a key is made of 32 bytes, not of"):
        mint(random)


@given(st.integers(len(PREFIX), len(KEY) - 1), st.sampled_from(string.ascii_letters + string.digits))
def test_a_wrong_character_anywhere_is_seen(at, letter):
    typo = KEY[:at] + letter + KEY[at + 1 :]
    assert is_damaged(typo) is (typo != KEY)


@given(st.integers(len(PREFIX), len(KEY) - 2))
def test_two_characters_that_changed_places_are_seen(at):
    swapped = KEY[:at] + KEY[at + 1] + KEY[at] + KEY[at + 2 :]
    assert is_damaged(swapped) is (swapped != KEY)


@pytest.mark.parametrize("length", range(len(PREFIX), len(KEY)))
def test_a_key_that_was_cut_is_seen(length):
    assert is_damaged(KEY[:length])


@pytest.mark.parametrize("key", [f"{KEY}0", f"{KEY}\n", "mf_é", "mf_" + "é" * 49])
def test_more_than_a_key_is_none(key):
    assert is_damaged(key)


@pytest.mark.parametrize("length", [0, 1, 42, 44, 100])
def test_a_checksum_that_fits_makes_no_key_of_fewer_or_more_digits(length):
    digits, check = "0" * length, zlib.crc32(b"0" * length)
    alphabet = string.digits + string.ascii_uppercase + string.ascii_lowercase
    six = "".join(alphabet[check // 62**place % 62] for place in reversed(range(6)))
    assert is_damaged(f"mf_{digits}{six}")


@pytest.mark.parametrize("key", ["", "sk-1", "mf", "MF_x", KEY[1:], f"x{KEY}"])
def test_keys_of_another_form_are_not_looked_at(key):
    assert not is_damaged(key)
