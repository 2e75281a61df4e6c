"""Texts that stand for all texts: whatever a text is like, some sample answers every question as it does."""

from itertools import product

from modelfence.policy.lint.text_samples import text_samples

EQUAL, BEGINNINGS, ENDS, PARTS = ("a", "ab", "bba"), ("a", "ab", ""), ("b", "ab"), ("bb", "ba")


def answers(text: str) -> tuple[bool, ...]:
    return (
        *(text == one for one in EQUAL),
        *(text.startswith(one) for one in BEGINNINGS),
        *(text.endswith(one) for one in ENDS),
        *(one in text for one in PARTS),
    )


def test_every_text_answers_as_a_sample_does_and_no_sample_as_no_text():
    samples = text_samples(EQUAL, BEGINNINGS, ENDS, PARTS)
    texts = {"".join(letters) for length in range(8) for letters in product("abx", repeat=length)}
    assert {answers(text) for text in texts} == {answers(sample) for sample in samples}


def test_too_many_questions_have_no_samples():
    assert len(text_samples((), (), (), [str(n) for n in range(8)])) == 256
    assert text_samples((), (), (), [str(n) for n in range(9)]) == ()
    assert text_samples((), [str(n) for n in range(256)], (), ()) == ()


def test_what_holds_every_private_character_has_no_samples():
    assert text_samples(["".join(map(chr, range(0xE000, 0xF8FF)))], (), (), ()) == ()
