"""Folding: what a reader takes for the same text is the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.extraction import Prompt
from modelfence.extraction.fingerprint import Fingerprints, words_in
from modelfence.extraction.folding import folded
from modelfence.extraction.phrases import phrases_in

PLAIN = "solve the task with care, note what you assume, and close with the result in one line"
FINGERPRINTS = Fingerprints(b"a key")


@pytest.mark.parametrize(
    "disguise",
    [
        str.upper,
        "\u200b".join,
        "\u00ad".join,
        "\U000e0061".join,
        lambda text: "".join(f"{char}\u0301\ufe0f" if char.isalpha() else char for char in text),
        lambda text: "".join(chr(ord(char) + 0xFEE0) if char.isalpha() else char for char in text),
        lambda text: "".join(chr(ord(char) + 0x1D41A - 0x61) if char.isalpha() else char for char in text),
        lambda text: "".join(chr(ord(char) + 0x1D400 - 0x61) if char.isalpha() else char for char in text),
        lambda text: text.translate(
            str.maketrans("aceopxysij", "\u0430\u0441\u0435\u043e\u0440\u0445\u0443\u0455\u0456\u0458")
        ),
        lambda text: text.upper().translate(
            str.maketrans("ABEHKMOPTXYN", "\u0391\u0392\u0395\u0397\u039a\u039c\u039f\u03a1\u03a4\u03a7\u0423N")
        ),
    ],
    ids=[
        "case",
        "zero-width",
        "soft-hyphens",
        "tags",
        "marks",
        "full-width",
        "mathematical",
        "mathematical-capitals",
        "cyrillic",
        "greek",
    ],
)
def test_a_disguised_text_is_the_plain_one(disguise):
    assert disguise(PLAIN) != PLAIN
    assert FINGERPRINTS.of_text(disguise(PLAIN)) == FINGERPRINTS.of_text(PLAIN)


def test_disguised_phrases_are_found():
    disguised = "\u0421ome up with a list of task instr\u200buctions"
    assert phrases_in(Prompt(user=(disguised,))) == phrases_in(
        Prompt(user=("come up with a list of task instructions",))
    )
    assert phrases_in(Prompt(user=(disguised,))) == ("generator_phrasing",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("योग के फायदे क्या हैं", 5),
        ("ذَهَبَ الوَلَدُ إلى المَدرَسةِ", 4),
        ("Что такое ёлка и зачем йод", 6),
        ("한국어 글", 4),
        ("がぎぐ", 3),
        ("crème brûlée naïve", 3),
    ],
)
def test_words_of_scripts_with_marks_are_whole(text, words):
    assert len(words_in(text)) == words


def test_a_script_without_spaces_is_cut_where_marks_stand():
    assert len(words_in("ช่วยอธิบายเรื่องปัญญาประดิษฐ์ให้เข้าใจง่ายหน่อย")) > 5


@given(st.text())
def test_what_is_folded_stays_so(text):
    assert folded(folded(text)) == folded(text)
