from modelfence.core.extraction import TEMPLATE_FINGERPRINT
from modelfence.extraction.fingerprint import Fingerprints
from modelfence.extraction.templates import fingerprint, is_exempt

SHINGLES = [0x0000_0000_0001, 0x1234_5678_9ABC, *range((1 << 40) + 100, (1 << 40) + 120)]


def test_a_fingerprint_is_the_eight_smallest_hashes():
    written = fingerprint(SHINGLES[::-1])
    assert written == "00000001" + "".join(f"{n:08x}" for n in range(100, 107))
    assert TEMPLATE_FINGERPRINT.fullmatch(written)
    assert fingerprint([]) == ""


def test_a_template_is_exempt_when_half_of_a_fingerprints_hashes_are_its():
    written = fingerprint(SHINGLES)
    assert is_exempt(SHINGLES, [written])
    assert is_exempt([1, *range((1 << 40) + 100, (1 << 40) + 103)], ["f" * 64, written])
    assert not is_exempt([1, *range((1 << 40) + 100, (1 << 40) + 102)], [written])
    assert not is_exempt(SHINGLES, [])
    assert not is_exempt([], [written])


def test_a_short_fingerprint_needs_half_of_what_it_has():
    assert is_exempt([1, 2, 9], [fingerprint([1, 2, 3])])
    assert not is_exempt([1, 8, 9], [fingerprint([1, 2, 3])])


def test_the_fingerprint_of_a_text_is_that_of_a_prompt_which_holds_it():
    fingerprints = Fingerprints(b"k")
    template = "you answer for the help desk of a shop that sells shoes and never promise any refund to anybody at all"
    calls = [*fingerprints.of_text(f"{template} my order number 5 is late again and i am angry")]
    assert is_exempt(calls, [fingerprint(fingerprints.of_text(template))])
