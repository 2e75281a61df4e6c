"""The table of facts says what the code that finds them does."""

from modelfence.core.facts import FACTS, SIGNALS
from modelfence.extraction.weights import WEIGHTS


def test_the_signals_are_those_that_detection_weighs():
    assert tuple(WEIGHTS) == SIGNALS


def test_a_fact_that_is_a_text_of_a_closed_set_says_so_in_words():
    for fact in FACTS:
        if fact.values and fact.values is not SIGNALS:
            assert all(value in fact.description for value in fact.values), fact.name
