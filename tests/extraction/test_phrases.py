"""Which prompts have a phrase of those that make training data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.extraction import Prompt
from modelfence.extraction.phrases import PHRASES, REQUEST_PHRASES, phrases_in
from modelfence.extraction.weights import WEIGHTS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Solve it step by step and explain your reasoning.", ("reasoning_elicitation",)),
        ("Give the final line, and include your complete chain of thought.", ("reasoning_elicitation",)),
        ("Put your thoughts in <think> tags, then answer.", ("reasoning_elicitation",)),
        ("Rate the two responses below on a scale of 1 to 10.", ("judge_rubric",)),
        ("Compare the answers. Criteria: depth, truth.", ("judge_rubric",)),
        ("Come up with a set of 20 diverse task instructions.", ("generator_phrasing",)),
        ("Your objective is to rewrite a given prompt into a more complex version.", ("generator_phrasing",)),
        ("I want you to act as a Prompt Rewriter.", ("generator_phrasing",)),
        ("Generate ten question-answer pairs about the text.", ("generator_phrasing",)),
        ('Reply as {"instruction": "...", "output": "..."}', ("training_schema",)),
        ("Reply as {'prompt': '', 'chosen': '', 'rejected': ''}", ("training_schema",)),
        ("Follow these steps to reset your router.", ()),
        ("Write a short story about a dragon.", ()),
        ("Write a python function that takes new words from a list.", ()),
        ("Which answer is right, a or b?", ()),
        ("Rate the answers.", ()),
        ("Pay by these criteria.", ()),
        ('{"name": "x", "price": 3}', ()),
        ("", ()),
    ],
)
def test_a_prompt_has_a_phrase_or_not(text, found):
    assert phrases_in(Prompt(user=(text,))) == found
    assert phrases_in(Prompt(system=(text,), user=("go on",))) == found


def test_only_the_systems_text_and_the_last_message_are_looked_at():
    assert phrases_in(Prompt(user=("Come up with a set of diverse task instructions.", "thanks"))) == ()


def test_a_prescribed_schema_of_a_training_set_counts():
    assert phrases_in(Prompt(user=("go",), schema=("Instruction", "input", "output"))) == ("training_schema",)
    assert phrases_in(Prompt(user=("go",), schema=("name", "output"))) == ()


def test_a_phrase_is_found_at_either_end_of_a_long_text():
    asks = "come up with a set of diverse task instructions"
    for text in (f"{asks} {'x ' * 5_000}", f"{'x ' * 5_000} {asks}"):
        assert phrases_in(Prompt(user=(text,))) == ("generator_phrasing",)
    assert phrases_in(Prompt(user=(f"{'x ' * 5_000} {asks} {'x ' * 5_000}",))) == ()


def test_every_phrase_is_a_signal():
    assert {*REQUEST_PHRASES} == {*PHRASES, "training_schema"} <= {*WEIGHTS}


ASCII = st.characters(codec="ascii")


@given(st.from_regex(PHRASES["reasoning_elicitation"].pattern, alphabet=ASCII))
def test_words_that_are_looked_for_first_keep_no_reasoning_from_being_found(text):
    assert "reasoning_elicitation" in phrases_in(Prompt(user=(text,)))


@given(st.from_regex(PHRASES["generator_phrasing"].pattern, alphabet=ASCII))
def test_words_that_are_looked_for_first_keep_no_generator_from_being_found(text):
    assert "generator_phrasing" in phrases_in(Prompt(user=(text,)))


@given(st.text())
def test_no_text_is_too_odd(text):
    phrases_in(Prompt(user=(text,)))
