"""Fingerprints: the same words have the same hashes, wherever they stand, and nothing but hashes is kept."""

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.extraction import HASH_BITS, Fingerprint, Prompt
from modelfence.extraction import fingerprint
from modelfence.extraction.fingerprint import KEPT, WINDOW, WORDS, Fingerprints, words_in

TEMPLATE = (
    "You are an expert tutor. Read the task that follows with care, list what is given and what is asked, solve it in"
    " numbered steps, and close with a line that holds nothing but the final result."
)
FINGERPRINTS = Fingerprints(b"a key")


def words(count: int, seed: int) -> str:
    chosen = random.Random(seed)  # noqa: S311 - a text, not a secret
    return " ".join("".join(chosen.choices("abcdefghijklmnop", k=7)) for _ in range(count))


def asked(text: str, system: str = "") -> Fingerprint:
    return FINGERPRINTS.of(Prompt((system,) if system else (), (text,)))


@pytest.mark.parametrize("payload", [20, 100, 1_000])
@pytest.mark.parametrize(
    "compose",
    [lambda template, payload: f"{template}\n\n{payload}", lambda template, payload: f"{payload}\n\n{template}"],
    ids=["before", "after"],
)
def test_two_prompts_share_the_hashes_of_a_template_before_or_after_what_differs(compose, payload):
    one, other = (asked(compose(TEMPLATE, words(payload, seed))) for seed in (1, 2))
    assert len({*one.last} & {*other.last}) >= 3


def test_a_passage_has_the_same_hashes_wherever_it_stands():
    alone = {*FINGERPRINTS.of_text(TEMPLATE)}
    assert alone < {*FINGERPRINTS.of_text(f"so then {TEMPLATE}")}
    assert alone < {*FINGERPRINTS.of_text(f"{TEMPLATE} so then")}


def test_those_with_the_smallest_hashes_are_kept(monkeypatch):
    text = words(120, 6)
    kept = FINGERPRINTS.of_text(text)
    monkeypatch.setattr(fingerprint, "KEPT", 1_000)
    every = FINGERPRINTS.of_text(text)
    assert (len(kept), len(every)) == (KEPT, 116)
    assert kept == tuple(sorted(every)[:KEPT])


def test_prompts_that_share_no_words_share_no_hashes():
    assert not {*asked(words(200, 1)).last} & {*asked(words(200, 2)).last}


def test_a_template_in_the_systems_text_is_kept_apart():
    print_ = asked("what is asked", TEMPLATE)
    assert len(print_.system) >= 20
    assert print_.last == ()


def test_what_the_user_said_before_the_last_message_is_looked_at():
    turns = Prompt(user=("well then", TEMPLATE, "and so on", "thanks a lot for all of this help"), replies=("sure",))
    print_ = FINGERPRINTS.of(turns)
    assert print_.earlier == asked(TEMPLATE).last
    assert print_.last == asked("thanks a lot for all of this help").last


def test_of_a_long_conversation_both_ends_are_looked_at():
    said = [words(8, seed) for seed in range(10)]
    found = {
        one: {*asked(text).last} <= {*FINGERPRINTS.of(Prompt(user=(*said, "bye"))).earlier}
        for one, text in enumerate(said)
    }
    assert [one for one, is_found in found.items() if not is_found] == [4, 5]


def test_of_earlier_messages_those_with_the_smallest_hashes_are_kept():
    said = [words(60, seed) for seed in range(4)]
    every = sorted(shingle for text in said for shingle in asked(text).last)
    assert FINGERPRINTS.of(Prompt(user=(*said, "bye"))).earlier == tuple(every[: 2 * KEPT])


def test_case_spacing_punctuation_and_numbers_make_no_difference():
    assert asked("Read the task 12, then  SOLVE it!").last == asked("read the task 7 then solve it").last


def test_writing_without_spaces_is_cut_by_its_characters():
    assert words_in("請 Translate 以下句子") == ["請", "translate", "以", "下", "句", "子"]
    assert len(asked("請把以下句子翻譯成英文").last) == 7


def test_the_same_words_in_another_order_are_another_shingle():
    orders = [asked(" ".join(order)).last for order in permutations(["read", "the", "task", "with", "care"])]
    assert len({*orders}) == 120


def test_texts_of_fewer_than_five_words_have_no_shingles():
    assert asked("hello there my friend").last == ()


def test_only_the_ends_of_a_text_are_looked_at_and_few_of_their_shingles_kept():
    start, middle, end = words(300, 1), words(20_000, 2), words(300, 3)
    long = asked(f"{start} {middle} {end}")
    assert len(long.last) == 2 * KEPT
    assert long.last == asked(f"{start} {words(20_000, 4)} {end}").last
    assert len(start) > WINDOW


def test_hashes_are_sorted_and_of_48_bits():
    kept = asked(words(1_000, 5)).last
    assert list(kept) == sorted(set(kept))
    assert all(0 <= one < 1 << HASH_BITS for one in kept)


def test_common_phrases_tell_nothing_and_crowd_nothing_out():
    phrase = "please help me with this"
    knowing = Fingerprints(b"a key", common=[phrase.split()])
    assert knowing.of(Prompt(user=(phrase,))).last == ()
    [shingle] = asked(phrase).last
    assert {*knowing.of(Prompt(user=(f"{phrase} {TEMPLATE}",))).last} == {*asked(f"{phrase} {TEMPLATE}").last} - {
        shingle
    } or shingle not in knowing.of(Prompt(user=(f"{phrase} {TEMPLATE}",))).last


def test_many_common_phrases_are_common_each_by_itself():
    words = [f"w{number}x" for number in range(2 * WINDOW + WORDS)]
    phrases = [words[start : start + WORDS] for start in range(0, len(words), WORDS)]
    knowing = Fingerprints(b"a key", common=phrases)
    assert not any(knowing.of_text(" ".join(phrase)) for phrase in phrases)
    assert len(knowing.of_text(" ".join(words[: 2 * WORDS]))) == WORDS - 1


def test_another_key_makes_other_hashes():
    assert not {*Fingerprints(b"another").of_text(TEMPLATE)} & {*FINGERPRINTS.of_text(TEMPLATE)}
    assert not {*Fingerprints().of_text(TEMPLATE)} & {*FINGERPRINTS.of_text(TEMPLATE)}


def test_the_same_question_is_the_same_item_and_another_is_not():
    assert asked("What is a monad?").item == asked("what is a MONAD?").item != asked("What is a functor?").item
    long = words(2_000, 1)
    assert asked(long).item != asked(f"{long[:9_000]}x{long[9_000:]}").item  # not looked at, but longer
    assert asked("").item == 0


def test_work_is_new_wherever_it_stands():
    def item(system: str, *user: str) -> int:
        return FINGERPRINTS.of(Prompt((system,), user)).item

    assert item("be brief", "what is new", TEMPLATE) == item("Be brief", "what is new", TEMPLATE)
    assert item("be brief", "what is new", TEMPLATE) != item("be brief", "what else is new", TEMPLATE)
    assert item("what is new", TEMPLATE) != item("what else is new", TEMPLATE)


def test_a_call_without_text_is_empty():
    assert FINGERPRINTS.of(Prompt()).is_empty
    assert not asked("hello").is_empty


def test_a_history_is_told_from_another_by_who_said_what():
    def history(*user: str, replies=()) -> int:
        return FINGERPRINTS.of(Prompt(user=user, replies=replies)).history

    assert history("one") == 0
    assert history("one", "two") != history("other", "two") != 0
    assert history("one", "two", replies=("a",)) != history("one", "two", replies=("b",))


def test_words_that_were_learned_are_forgotten_when_there_are_too_many():
    small = Fingerprints(b"a key")
    before = small.of_text(TEMPLATE)
    for seed in range(150):
        small.of_text(words(1_000, seed + 10))
    assert small.of_text(TEMPLATE) == before


@given(st.lists(st.text()), st.lists(st.text()))
def test_no_text_is_too_odd(system, user):
    print_ = FINGERPRINTS.of(Prompt(tuple(system), tuple(user)))
    assert print_ == FINGERPRINTS.of(Prompt(tuple(system), tuple(user)))


def test_what_is_asked_is_the_same_at_another_time_of_day():
    morning, evening = (asked("what now", f"It is 2026-03-02 {time}. Be brief.") for time in ("9:05", "21:40"))
    assert morning.item == evening.item
    assert asked("what is 2 and 3", "Be brief.").item != asked("what is 2 and 4", "Be brief.").item
