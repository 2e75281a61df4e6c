"""How strongly signals speak: tables of what is known, and what that comes to."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfence.core.call import Reading
from modelfence.core.extraction import Fingerprint
from modelfence.extraction import score
from modelfence.extraction.evidence import CohortRecord, Seen, Tally
from modelfence.extraction.weights import SIGNALS, SUSPICIOUS, WEIGHTS, Scope, Weight

CAMPAIGN = CohortRecord(
    "c",
    0,
    0,
    accounts=100,
    calls=400,
    pairs=1_200,
    heard=400,
    in_message=400,
    checked=400,
    answers=400,
    answer_tokens=240_000,
)
"""Four calls of each account, every one something else, with long answers."""
FRAMEWORK = replace(CAMPAIGN, in_message=0, deep=300, answer_tokens=80_000, repeated=20)
PROBE = Reading("chat", logprobs=True, logit_bias=1, output_tokens=1)


def points(shares) -> float:
    return sum(value for _, value in score.weighed(shares))


@pytest.mark.parametrize(
    ("reading", "probes"),
    [
        (PROBE, True),
        (replace(PROBE, output_tokens=None), False),
        (replace(PROBE, output_tokens=6), False),
        (replace(PROBE, output_tokens=4, choices=4), True),
        (replace(PROBE, logit_bias=0), False),
        (replace(PROBE, logit_bias=None), False),
        (replace(PROBE, logprobs=False), False),
        (replace(PROBE, logprobs=None), False),
    ],
)
def test_a_probe_asks_for_the_probabilities_of_one_biased_token(reading, probes):
    assert score.is_probe(reading) is probes


@pytest.mark.parametrize(
    ("reading", "speaks"),
    [
        (PROBE, 1.0),
        (replace(PROBE, logit_bias=0), 1.0),
        (Reading("chat", choices=8, output_tokens=8), 1.0),
        (Reading("chat", choices=7, output_tokens=7), 0.0),
        (Reading("chat", choices=None, output_tokens=1), 0.0),
        (Reading("chat", logprobs=True, output_tokens=200), 0.0),
    ],
)
def test_a_call_for_single_tokens_with_their_probabilities_speaks(reading, speaks):
    assert score.of_call(reading, Fingerprint())["token_probabilities"] == speaks


def test_each_phrase_of_a_call_speaks():
    found = score.of_call(Reading("chat"), Fingerprint(phrases=("judge_rubric", "training_schema")))
    assert points(found) == pytest.approx(0.10)


@pytest.mark.parametrize(
    ("tally", "signal", "least", "most"),
    [
        (Tally(calls=9, probes=9), "logit_probing", 0, 0),
        (Tally(calls=10, probes=10), "logit_probing", 1, 1),
        (Tally(calls=10, probes=10, repeated=9, repeated_probes=9), "prompt_sweep", 0, 0),
        (Tally(calls=11, probes=11, repeated=10, repeated_probes=10), "prompt_sweep", 1, 1),
        (Tally(calls=100, templated=97), "template", 0.8, 1),
        (Tally(calls=100, templated=50), "template", 0, 0),
        (Tally(calls=100, templated=97, deep=20), "template", 0, 0),
        (Tally(calls=100, templated=97, repeated=10), "template", 0, 0),
        (Tally(calls=100, templated=97), "bulk_work", 0.2, 0.3),
        (Tally(calls=1_400, templated=1_390), "bulk_work", 0.8, 0.9),
        (Tally(calls=1_400, templated=1_390, repeated=140), "bulk_work", 0, 0),
        (Tally(calls=100, phrased=100), "generator", 0.9, 1),
        (Tally(calls=1, phrased=1), "generator", 0.09, 0.1),
        (Tally(calls=100, phrased=50), "generator", 0, 0),
        (Tally(calls=48, hours=0x3FFFFF), "around_the_clock", 1, 1),
        (Tally(calls=48, hours=0x0003FF, hours_before=0x3FFC00), "around_the_clock", 1, 1),
        (Tally(calls=48, hours=0x1FFFFF), "around_the_clock", 0, 0),
        (Tally(calls=47, hours=0xFFFFFF), "around_the_clock", 0, 0),
        (Tally(calls=48, hours=0xFFFFFF, deep=10), "around_the_clock", 0, 0),
        (Tally(calls=90, answers=90, output_tokens=90 * 500), "long_answers", 0.8, 1),
        (Tally(calls=90, answers=90, output_tokens=90 * 211), "long_answers", 0, 0),
        (Tally(calls=1, answers=1, output_tokens=5_000), "long_answers", 0, 0.1),
    ],
)
def test_what_an_account_shows(tally, signal, least, most):
    assert least <= score.of_account(tally)[signal] <= most


def test_nothing_speaks_of_an_account_that_did_nothing():
    assert score.weighed(score.of_account(Tally())) == ()


def test_no_account_passes_by_phrases_and_length_alone():
    talker = Tally(calls=1_000, phrased=1_000, answers=1_000, output_tokens=10**7)
    own = score.of_call(Reading("chat"), Fingerprint(phrases=("generator_phrasing", "reasoning_elicitation")))
    assert points(score.of_account(talker)) + points(own) < SUSPICIOUS


@pytest.mark.parametrize(
    ("cohort", "signal", "least", "most"),
    [
        (replace(CAMPAIGN, accounts=5), "shared_template", 0.75, 0.75),
        (CAMPAIGN, "shared_template", 1, 1),
        (replace(CAMPAIGN, accounts=25_000), "shared_template", 1, 1),
        (CAMPAIGN, "template_in_message", 1, 1),
        (FRAMEWORK, "template_in_message", 0, 0),
        (CAMPAIGN, "disjoint_work", 0.8, 0.9),
        (replace(CAMPAIGN, checked=10), "disjoint_work", 0.1, 0.2),
        (FRAMEWORK, "disjoint_work", 0, 0),
        (replace(CAMPAIGN, phrased=400), "cohort_generator", 0.9, 1),
        (replace(CAMPAIGN, phrased=120), "cohort_generator", 0, 0),
        (replace(CAMPAIGN, heard=5, phrased=5), "cohort_generator", 0.3, 0.4),
        (CAMPAIGN, "even_volumes", 0.8, 1),
        (replace(CAMPAIGN, pairs=20_000), "even_volumes", 0, 0),
        (CAMPAIGN, "long_work", 0.9, 1),
        (FRAMEWORK, "long_work", 0, 0),
        (FRAMEWORK, "conversation", 1, 1),
        (replace(FRAMEWORK, deep=60), "conversation", 0.5, 0.5),
        (CAMPAIGN, "conversation", 0, 0),
        (FRAMEWORK, "repeated_items", 0.8, 0.9),
        (CAMPAIGN, "repeated_items", 0, 0),
        (replace(CAMPAIGN, pairs=20_000, checked=10), "uneven_volumes", 0.8, 0.9),
        (replace(CAMPAIGN, pairs=20_000, checked=3_000), "uneven_volumes", 0.4, 0.5),
        (CAMPAIGN, "uneven_volumes", 0, 0),
        (CAMPAIGN, "shared_control", 0, 0),
        (replace(CAMPAIGN, controlled=20), "shared_control", 0, 0),
        (replace(CAMPAIGN, controlled=50), "shared_control", 0.4, 0.5),
        (replace(CAMPAIGN, controlled=100), "shared_control", 0.9, 1),
        (replace(CAMPAIGN, accounts=5, controlled=5), "shared_control", 0.3, 0.4),
        (replace(CAMPAIGN, controlled=100, verified=50), "shared_control", 0, 0),
        (replace(CAMPAIGN, verified=25), "verified_accounts", 0.5, 0.5),
        (replace(CAMPAIGN, verified=90), "verified_accounts", 1, 1),
    ],
)
def test_what_a_cohort_shows(cohort, signal, least, most):
    assert least - 1e-9 <= score.of_cohort(cohort)[signal] <= most + 1e-9


def test_a_campaign_is_suspicious_and_a_framework_is_not():
    assert points(score.of_cohort(CAMPAIGN)) > 0.8
    assert points(score.of_cohort(FRAMEWORK)) < 0


def test_a_template_alone_is_no_campaign():
    fresh = CohortRecord("c", 0, 0, accounts=25_000, calls=25_000, heard=25_000)
    assert points(score.of_cohort(fresh)) < SUSPICIOUS
    assert points(score.of_cohort(CohortRecord("c", 0, 0))) < SUSPICIOUS


@pytest.mark.parametrize(
    ("calls", "pairs", "least", "most"),
    [
        (100, 0, 1, 1),  # one each: nothing can be said
        (105, 10, 1, 1),
        (400, 1_200, 0, 0),  # four each
        (231, 463, 0.9, 1.1),  # by chance: a rate of two, of which those are seen that called
        (400, 100 * 99, 5, 100),  # one account made a hundred of them
    ],
)
def test_unevenness_is_one_by_chance_and_zero_by_quota(calls, pairs, least, most):
    assert least <= score.unevenness(replace(CAMPAIGN, calls=calls, pairs=pairs)) <= most


def test_repetition_is_corrected_for_bits_that_others_set():
    assert score.repeated_share(CohortRecord("c", 0, 0)) == 0
    # Of 1,000 items, each looked up while 16,384 of the 65,536 bits were set, 250 are known by chance if all are new.
    crowded = replace(CAMPAIGN, checked=1_000, by_chance=1_000 * 16_384)
    assert score.repeated_share(replace(crowded, repeated=250)) == 0
    assert score.repeated_share(replace(crowded, repeated=625)) == pytest.approx(0.5)
    assert score.repeated_share(replace(CAMPAIGN, repeated=200)) == pytest.approx(0.5, abs=0.01)


def test_a_score_is_cut_off_at_both_ends():
    assert score.total((("a", 0.9), ("b", 0.9))) == 1
    assert score.total((("a", 0.1), ("b", -0.9))) == 0
    assert score.total(()) == 0


def test_what_hardly_speaks_or_weighs_nothing_is_not_named():
    shares = {"template": 0.09, "bulk_work": 0.5, "generator": 1.0}
    silent = {**WEIGHTS, "bulk_work": replace(WEIGHTS["bulk_work"], most=0.0)}
    assert score.weighed(shares, silent) == (("generator", 0.2),)


@pytest.mark.parametrize(
    ("matched", "calls", "belongs"), [(("c",), 1, True), ((), 10, True), ((), 9, False), (("other",), 9, False)]
)
def test_an_account_belongs_to_a_cohort_with_a_tenth_of_its_calls(matched, calls, belongs):
    seen = Seen(Tally(calls=100), matched, [(CAMPAIGN, calls)])
    assert score.belongs_to(seen) == ([CAMPAIGN] if belongs else [])


@pytest.mark.parametrize(
    ("matched", "calls", "of_all", "belongs"),
    [((), 1, 199, False), ((), 1, 200, True), ((), 2, 199, True), (("c",), 1, 199, True)],
)
def test_an_account_that_tried_once_what_all_tried_once_does_not_belong_to_them(matched, calls, of_all, belongs):
    tried = replace(CAMPAIGN, accounts=100, calls=of_all)
    assert score.belongs_to(Seen(Tally(calls=3), matched, [(tried, calls)])) == ([tried] if belongs else [])


def test_an_account_that_sent_several_shared_templates_belongs_to_those_who_share_them():
    tried = [replace(CAMPAIGN, id=name, accounts=100, calls=100) for name in "ab"]
    assert score.belongs_to(Seen(Tally(calls=9), (), [(one, 1) for one in tried])) == tried


def test_every_signal_is_in_the_table_once_and_its_row_says_why():
    shown = {
        *score.of_call(
            Reading("chat"), Fingerprint(phrases=tuple(n for n, w in WEIGHTS.items() if w.scope is Scope.CALL))
        ),
        *score.of_account(Tally()),
        *score.of_cohort(CAMPAIGN),
    }
    assert shown == {*SIGNALS}
    assert all(
        -1 <= weight.most <= 1 and weight.says and weight.why and weight.fitted_on for weight in WEIGHTS.values()
    )
    assert all(isinstance(weight, Weight) for weight in WEIGHTS.values())


COUNTS = st.integers(0, 1_000_000)


@given(
    st.builds(CohortRecord, st.just("c"), st.just(0), st.just(0), *([COUNTS] * 15)),
    st.builds(Tally, *([COUNTS] * 9), st.integers(0, 0xFFFFFF), st.integers(0, 0xFFFFFF)),
)
def test_whatever_was_counted_shares_stay_between_zero_and_one(cohort, tally):
    cohort = replace(cohort, in_message=min(cohort.heard, cohort.in_message))
    for share in (*score.of_cohort(cohort).values(), *score.of_account(tally).values()):
        assert 0 <= share <= 1
