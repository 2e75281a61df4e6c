"""From evidence to a score: how strongly each signal of `weights` speaks, 0 to 1, and what that comes to.

What is known from few calls weighs less: `_trust` grows from 0 to 1 with their number, and is a half at the number
named beside it.
"""

import math
from collections.abc import Mapping

from modelfence.core.call import Reading
from modelfence.core.extraction import Fingerprint
from modelfence.extraction.evidence import ACCOUNTS, ITEM_BITS, CohortRecord, Seen, Tally
from modelfence.extraction.phrases import REQUEST_PHRASES
from modelfence.extraction.weights import WEIGHTS, Weight

PROBES = 10
"""Calls for the probabilities of single, biased tokens in a day by which an account counts as probing."""
BELONGS = 0.1
"""An account belongs to a cohort with all its calls when so many of them had the template: an evening with somebody
else's prompt is soon outweighed, a campaign hidden in nine tenths of ordinary chat is not."""
BELONGS_FROM = 2
"""Calls with a template that is shared, of this account, or on average of all who share this one: who tries once what
all try once has no habit."""
USUAL_TOKENS = 211
"""Of an answer in conversation, on average: Azure LLM inference trace 2023."""

_MANY_CHOICES, _FEW_TOKENS = 8, 5
_CALLS_OF_A_HABIT = 10
_BULK = 300
"""Messages of one template by which half of `bulk_work` is reached."""
_REPEATING_ACCOUNT = 0.1
_TALKING_ACCOUNT = 0.2
_HOURS, _CALLS_A_DAY = 22, 48
_CHECKED = 60
"""Items by which half of what is said of repetition is reached."""
_DISJOINT, _REPEATING = 0.02, 0.05
"""Share of repeated items up to which work may count as disjoint, and from which it counts as repeating in full."""
_TALKING = 0.3
"""Share of calls in conversation that speaks for a cohort in full."""
_EVEN, _UNEVEN = 1.3, 2.5
"""Unevenness up to which volumes count as even to some degree, and from which they count as uneven in full."""
_KNOWN_BY_WORK, _STILL_TELLING = 300, 0.5
"""Items by which unevenness tells half as much, and no less from then on: a campaign can make its volumes uneven, and
its work is known then; but customers who never repeat themselves have little else to speak for them."""
_CONTROLLED = 0.2, 0.8
"""Share of accounts behind which there is the same, from which that tells, and from which it does in full: one customer
with many accounts is in every large cohort. Who is behind verified accounts is known, so of those it tells nothing."""
_LONG = 1.25
"""Times the usual from which answers are long; one more time, and they are in full."""
_ACCOUNTS_TO_COMPARE = 10
_HUNDREDFOLD = 20
"""Times ACCOUNTS is a hundred: with so many a shared template weighs in full, with ACCOUNTS three quarters of it."""
_COUNTS = 0.1
"""What speaks less than this is not said."""

type Shares = dict[str, float]
type Contributions = tuple[tuple[str, float], ...]


def is_probe(reading: Reading) -> bool:
    """Say whether a call asks for the probabilities of single tokens, moved by a bias.

    That is the query by which the last layer of a model can be read: Carlini et al., arXiv 2403.06634.
    """
    return bool(reading.logprobs) and bool(reading.logit_bias) and _is_short(reading)


def of_call(reading: Reading, fingerprint: Fingerprint) -> Shares:
    """Return what a call shows by itself."""
    # A recording may name a signal that is none any more.
    found = {name: 1.0 for name in REQUEST_PHRASES if name in fingerprint.phrases}
    many = (reading.choices or 1) >= _MANY_CHOICES
    found["token_probabilities"] = float(_is_short(reading) and (bool(reading.logprobs) or many))
    return found


def of_account(tally: Tally) -> Shares:
    """Return what an account's calls show together."""
    calls = max(1, tally.calls)
    habit = _trust(tally.calls, _CALLS_OF_A_HABIT)
    silent = 1 - min(1.0, tally.deep / calls / _TALKING_ACCOUNT)
    once = 1 - min(1.0, tally.repeated / calls / _REPEATING_ACCOUNT)
    hours = (tally.hours | tally.hours_before).bit_count()
    return {
        "logit_probing": float(tally.probes >= PROBES),
        "prompt_sweep": float(tally.repeated_probes >= PROBES),
        "template": _rise(tally.templated / calls, 0.5, 1.0) * habit * once * silent,
        "bulk_work": _trust(tally.templated * once, _BULK) * silent,
        "generator": _rise(tally.phrased / calls, 0.5, 1.0) * habit * silent,
        "around_the_clock": float(hours >= _HOURS and tally.calls >= _CALLS_A_DAY) * silent,
        "long_answers": _length(tally.output_tokens, tally.answers) * _trust(tally.answers, _CALLS_OF_A_HABIT),
    }


def of_cohort(cohort: CohortRecord) -> Shares:
    """Return what a cohort's use of its template shows."""
    heard, accounts = max(1, cohort.heard), max(1, cohort.accounts)
    checked, compared = _trust(cohort.checked, _CHECKED), _trust(accounts, _ACCOUNTS_TO_COMPARE)
    repeated, uneven = repeated_share(cohort), unevenness(cohort)
    verified = min(1.0, 2 * cohort.verified / accounts)
    return {
        "shared_template": 0.75 + 0.25 * min(1.0, math.log(max(1.0, accounts / ACCOUNTS)) / math.log(_HUNDREDFOLD)),
        "template_in_message": cohort.in_message / heard,
        "disjoint_work": checked * (1 - min(1.0, repeated / _DISJOINT)),
        "cohort_generator": _rise(cohort.phrased / heard, 0.3, 1.0) * _trust(heard, _CALLS_OF_A_HABIT),
        "even_volumes": compared * (1 - min(1.0, uneven / _EVEN)),
        "long_work": _length(cohort.answer_tokens, cohort.answers) * _trust(cohort.answers, _CALLS_OF_A_HABIT),
        "conversation": min(1.0, cohort.deep / heard / _TALKING),
        "repeated_items": checked * min(1.0, repeated / _REPEATING),
        "uneven_volumes": compared
        * _rise(uneven, _EVEN, _UNEVEN)
        * max(_STILL_TELLING, 1 - _trust(cohort.checked, _KNOWN_BY_WORK)),
        "shared_control": compared * _rise(cohort.controlled / accounts, *_CONTROLLED) * (1 - verified),
        "verified_accounts": verified,
    }


def unevenness(cohort: CohortRecord) -> float:
    """Return how much more the accounts' numbers of calls differ than chance would have it: 1 is chance, 0 a quota.

    Chance is a Poisson process of one rate for all, of which only those are seen who have called at all: of such a
    zero-truncated Poisson distribution the variance is 1 + rate - mean times the mean. Where most have called but once
    nothing can be said, and it is 1.
    """
    accounts = max(1, cohort.accounts)
    mean = cohort.calls / accounts
    if mean <= _FEW_CALLS:
        return 1.0
    rate = mean
    for _ in range(_STEPS):
        before, rate = rate, mean * (1 - math.exp(-rate))
        if before - rate < _PRECISE:
            break
    variance = (cohort.pairs + cohort.calls) / accounts - mean * mean
    return max(0.0, variance / mean) / max(_LEAST_CHANCE, 1 + rate - mean)


_FEW_CALLS = 1.1
_LEAST_CHANCE = 0.05
_PRECISE = 1e-9
_STEPS = 20
"""Of the fixed-point iteration for the rate: from 1.1 on each step at least halves the error, or nearly so."""


def repeated_share(cohort: CohortRecord) -> float:
    """Return which share of the items had been asked before, without those whose bit another had set.

    An item that is new meets a bit that is set with a chance of b in m, where b of the m are set. So of n items, of
    which a share s had been asked before, s n + (1 - s) c are known, where c is the sum of these chances.
    """
    by_chance = cohort.by_chance / ITEM_BITS
    new_or_known = max(1.0, cohort.checked - by_chance)
    return min(1.0, max(0.0, (cohort.repeated - by_chance) / new_or_known))


def weighed(shares: Shares, weights: Mapping[str, Weight] = WEIGHTS) -> Contributions:
    """Return what these come to, without those that hardly speak."""
    counted = [name for name, share in shares.items() if share >= _COUNTS and weights[name].most]
    return tuple([(name, round(weights[name].most * shares[name], 4)) for name in counted])


def total(contributions: Contributions) -> float:
    """Return the score: their sum, cut off at 0 and 1."""
    return round(min(1.0, max(0.0, math.fsum([value for _, value in contributions]))), 4)


def belongs_to(seen: Seen) -> list[CohortRecord]:
    """Return the cohorts whose template the call has, or whose account the caller is with all its calls."""
    sent = sum(calls for _, calls in seen.cohorts)
    return [
        cohort
        for cohort, calls in seen.cohorts
        if cohort.id in seen.matched
        or (calls >= BELONGS * seen.tally.calls and max(sent, cohort.calls / max(1, cohort.accounts)) >= BELONGS_FROM)
    ]


def _is_short(reading: Reading) -> bool:
    """Say whether each answer may be a few tokens, of which the first tells what a single one would."""
    return reading.output_tokens is not None and reading.output_tokens <= _FEW_TOKENS * max(1, reading.choices or 1)


def _length(tokens: int, answers: int) -> float:
    return _rise(tokens / max(1, answers) / USUAL_TOKENS, _LONG, _LONG + 1)


def _trust(count: float, half: float) -> float:
    return count / (count + half)


def _rise(value: float, start: float, end: float) -> float:
    """Return how far the value is from `start`, 0, to `end`, 1."""
    return min(1.0, max(0.0, (value - start) / (end - start)))
