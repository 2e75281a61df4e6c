"""Heads are checked in short where they are plain, and nothing is let in that way that would not be otherwise."""

from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.dialect import MalformedRequestError
from modelfence.wire.sanitise import HeadCheck

PIECES = [b"\r\n", b"\r\n", b"\r", b"\n", b"\0", b"\x0b", b"\x7f", b"\x85", b" ", b"\t", b"GET / HTTP/1.1", b"X: a"]


def judged(*parts: bytes) -> bool | str:
    """Return whether a head is complete once it has come in these parts, or what is wrong with it."""
    check, came = HeadCheck(max_bytes=200, max_headers=4), b""
    try:
        for part in parts:
            came += part
            if check.complete(came):
                return True
    except MalformedRequestError as error:
        return error.message
    return False


@given(st.lists(st.sampled_from(PIECES), max_size=20))
def test_a_head_is_judged_alike_whether_it_comes_at_once_or_byte_by_byte(pieces):
    data = b"GET / HTTP/1.1\r\n" + b"".join(pieces) + b"\r\n\r\n"
    head = data[: data.index(b"\r\n\r\n") + 4]
    at_once, bit_by_bit = judged(head), judged(*(bytes([byte]) for byte in head))
    assert (at_once is True) == (bit_by_bit is True), (at_once, bit_by_bit)
