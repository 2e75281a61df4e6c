"""The table of common phrases: what it holds, and that it is as fingerprints need it."""

import gzip
import re
from pathlib import Path

import pytest

import modelfence.extraction
from modelfence.extraction.common_phrases import WORDS, common_phrases
from modelfence.extraction.fingerprint import words_in

FOLDER = Path(modelfence.extraction.__file__).parent
PACKED = (FOLDER / "common_phrases.txt.gz").read_bytes()
LINES = gzip.decompress(PACKED).decode().splitlines()


def test_the_table_is_sorted_and_says_nothing_twice():
    assert sorted(set(LINES)) == LINES


def test_every_phrase_has_five_words_as_fingerprints_have_them():
    assert [line for line in LINES if len(line.split(" ")) != WORDS or words_in(line) != line.split(" ")] == []


def test_every_number_is_0():
    assert [line for line in LINES for word in line.split(" ") if word.isdecimal() and word != "0"] == []


def test_the_table_is_small():
    assert len(LINES) <= 60_000
    assert len(PACKED) < 700_000


def test_the_archive_tells_no_time_so_that_the_same_table_gives_the_same_bytes():
    assert PACKED[4:8] == bytes(4)


def test_the_phrases_are_the_lines_of_the_table():
    assert common_phrases() == {tuple(line.split(" ")) for line in LINES}


@pytest.mark.parametrize(
    "phrase",
    [
        "at the end of the",                 # ordinary language
        "what is the difference between",
        "0 0 0 0 0",
        "you are a helpful assistant",       # what callers of chat APIs say
        "i want you to act",
        "i would like you to",
        "let s think step by",
        "use the following pieces of",       # scaffolds: langchain's for retrieval
        "don t know the answer",
        "given the context information and", # llama-index's
        "i now can give a",                  # crewai's
    ],
)  # fmt: skip
def test_what_unrelated_people_write_is_common(phrase):
    assert tuple(phrase.split()) in common_phrases()


@pytest.mark.parametrize(
    "phrase",
    [
        "the heron ate my umbrella",
        "bankruptcy of a violin maker",
        "come up with a set",                # Self-Instruct
        "rewrite the given prompt into",     # Evol-Instruct
        "please act as an impartial",        # a judge of MT-Bench
        "rate the helpfulness relevance accuracy",
    ],
)  # fmt: skip
def test_what_few_write_or_only_campaigns_is_not_common(phrase):
    assert tuple(phrase.split()) not in common_phrases()


def test_the_notice_beside_the_table_counts_what_it_holds():
    notice = (FOLDER / "common_phrases.md").read_text()
    total, common, scaffolds = re.findall(r"[\d,]+(?= (?:phrases|of common language|of scaffolds))", notice)[:3]
    assert int(total.replace(",", "")) == len(LINES)
    assert int(common.replace(",", "")) + int(scaffolds.replace(",", "")) == len(LINES)
