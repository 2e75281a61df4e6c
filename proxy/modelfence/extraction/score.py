"""From evidence to a score: a sum of named, bounded contributions, each a row of WEIGHTS.

The score of a call is the sum of what the call itself shows, what its account's calls show together, and what the
cohort shows that the call, or its account, belongs to; of several cohorts the one that weighs most. What speaks for a
caller is negative. The sum is cut off at 0 and 1.

What a contribution is worth, and why: see each row. No weight was fitted by search; they follow from three decisions.
A cohort must have two kinds of evidence besides its template before it passes SUSPICIOUS; what a campaign can't buy
cheaply weighs most; and no account passes it by its phrases or its volume alone.

A share that is known from few calls weighs less: `_trust` grows from 0 to 1 with their number.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from modelfence.core.call import Reading
from modelfence.core.extraction import Fingerprint
from modelfence.extraction.evidence import ACCOUNTS, ITEM_BITS, CohortRecord, Seen, Tally

SUSPICIOUS = 0.5
"""From here on the shipped policy lets a cohort draw on its own bucket."""
PROBES = 10
"""Calls for the probabilities of single tokens that an account may make in a day before it counts as probing."""
BELONGS = 0.1
"""An account belongs to a cohort with all its calls when so many of them had the template."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One row: what a signal adds at most, and why that much."""

    most: float
    scope: str
    what: str
    source: str


WEIGHTS: Mapping[str, Weight] = {
    # The call.
    "reasoning_elicitation": Weight(0.05, "call", "asks for its reasoning in full", "design 11: a useful weight and a bad block"),
    "judge_rubric": Weight(0.05, "call", "asks for a judgement of answers", "design 11"),
    "generator_phrasing": Weight(0.10, "call", "asks for prompts, questions or instructions to be made or rewritten", "Self-Instruct, Evol-Instruct"),
    "training_schema": Weight(0.05, "call", "prescribes the fields of a training set", "Alpaca, preference pairs"),
    "token_probabilities": Weight(0.10, "call", "asks for probabilities of single tokens, or for many choices of one", "arXiv 2403.06634"),
    # The account.
    "logit_probing": Weight(1.0, "account", "goes on asking for the probabilities of single tokens", "arXiv 2403.06634"),
    "prompt_sweep": Weight(0.30, "account", "asks for probabilities of the same prompt again and again", "arXiv 2403.06634"),
    "template": Weight(0.10, "account", "most of its messages are one template, each filled once", "design 16: 0.8-0.9 of a campaign's, 0.7-0.8 of an app's"),
    "bulk_work": Weight(0.40, "account", "hundreds of items, none of them twice", "grows with their number"),
    "generator": Weight(0.20, "account", "most of its calls ask for training data", "Self-Instruct, Evol-Instruct"),
    "around_the_clock": Weight(0.10, "account", "calls in every hour of the day, without conversation", "SynchroTrap, CCS 2014"),
    "long_answers": Weight(0.10, "account", "answers longer than conversation's", "Azure LLM inference trace 2023: mean 211 tokens"),
    # The cohort.
    "shared_template": Weight(0.35, "cohort", "accounts share a template", "design 16: 96 of 96 campaign accounts"),
    "template_in_message": Weight(0.10, "cohort", "the template is in the user's message, not the system's", "frameworks put theirs into the system's"),
    "disjoint_work": Weight(0.25, "cohort", "nobody asks what another asked", "work lists are divided; people ask the same again"),
    "cohort_generator": Weight(0.30, "cohort", "the template asks for training data", "Self-Instruct, Evol-Instruct"),
    "even_volumes": Weight(0.15, "cohort", "accounts make equally many calls", "quotas; customers differ by orders of magnitude"),
    "long_work": Weight(0.15, "cohort", "answers longer than conversation's", "Azure LLM inference trace 2023"),
    "conversation": Weight(-0.50, "cohort", "conversations go on below the template", "answers taken for training are not talked about"),
    "repeated_items": Weight(-0.25, "cohort", "the same is asked again", "people and test suites repeat themselves"),
    "uneven_volumes": Weight(-0.25, "cohort", "few accounts make most calls", "customers differ by orders of magnitude"),
    "verified_accounts": Weight(-0.40, "cohort", "accounts are verified", "a campaign's accounts are bought by the thousand"),
}  # fmt: skip

_USUAL_TOKENS = 211
"""The mean answer of conversations: Azure LLM inference trace 2023."""

type Contributions = dict[str, float]


def is_probe(reading: Reading) -> bool:
    """Say whether a call asks for the probabilities of single tokens, forced by a bias.

    That is the query by which the last layer of a model is read (Carlini et al., arXiv 2403.06634).
    """
    return bool(reading.logprobs) and (reading.logit_bias or 0) > 0 and _is_short(reading)


def of_call(reading: Reading, fingerprint: Fingerprint) -> Contributions:
    """Return what a call shows by itself."""
    found = dict.fromkeys(fingerprint.phrases, 1.0)
    if (
        is_probe(reading)
        or (reading.logprobs and _is_short(reading))
        or ((reading.choices or 1) >= 8 and _is_short(reading))
    ):
        found["token_probabilities"] = 1.0
    return _weighed(found)


def of_account(tally: Tally) -> Contributions:
    """Return what an account's calls show together."""
    calls = max(1, tally.calls)
    once = 1.0 - min(1.0, tally.repeated / (0.1 * calls))
    fresh = tally.templated * once
    talks = min(1.0, tally.deep / (0.2 * calls))
    found = {
        "logit_probing": float(tally.probes >= PROBES),
        "prompt_sweep": float(tally.repeated_probes >= PROBES),
        "template": _from(0.5, tally.templated / calls) * once * _trust(tally.calls, 10) * (1 - talks),
        "bulk_work": _trust(fresh, 300) * (1 - talks),
        "generator": _from(0.5, tally.phrased / calls) * _trust(tally.calls, 10) * (1 - talks),
        "around_the_clock": float((tally.hours | tally.hours_before).bit_count() >= 22 and tally.calls >= 48)
        * (1 - talks),
        "long_answers": _from(1.25, tally.output_tokens / max(1, tally.answers) / _USUAL_TOKENS)
        * _trust(tally.answers, 10),
    }
    return _weighed(found)


def of_cohort(cohort: CohortRecord) -> Contributions:
    """Return what a cohort's use of its template shows."""
    calls, accounts = max(1, cohort.calls), max(1, cohort.accounts)
    known = _trust(cohort.checked, 60)
    repeated = repeated_share(cohort)
    uneven = unevenness(cohort)
    many = _trust(accounts, 10)
    found = {
        "shared_template": 0.75 + 0.25 * min(1.0, max(0.0, math.log(accounts / ACCOUNTS)) / math.log(20)),
        "template_in_message": cohort.in_message / calls,
        "disjoint_work": known * (1 - min(1.0, repeated / 0.02)),
        "cohort_generator": _from(0.3, cohort.phrased / calls) * _trust(calls, 10),
        "even_volumes": many * max(0.0, 1 - uneven / 1.3),
        "long_work": _trust(cohort.answers, 20)
        * _from(1.25, cohort.output_tokens / max(1, cohort.answers) / _USUAL_TOKENS),
        "conversation": min(1.0, cohort.deep / calls / 0.3),
        "repeated_items": known * min(1.0, repeated / 0.05),
        "uneven_volumes": many * min(1.0, max(0.0, (uneven - 1.3) / 1.2)),
        "verified_accounts": min(1.0, cohort.verified / accounts / 0.5),
    }
    return _weighed(found)


def unevenness(cohort: CohortRecord) -> float:
    """Return how much more the accounts' numbers of calls differ than chance would have it: 1 is chance, 0 is a quota.

    Chance is a Poisson process of one rate for all, seen by those who have called at all: a zero-truncated Poisson
    distribution, whose variance is 1 + rate - mean times its mean (Cohen, 1960). It says nothing of a mean below 1.1.
    """
    accounts = max(1, cohort.accounts)
    mean = cohort.calls / accounts
    if mean < 1.1:
        return 0.0 if mean == 0 else 1.0
    rate = mean
    for _ in range(20):
        rate = mean * (1 - math.exp(-rate))
    dispersion = ((cohort.pairs + cohort.calls) / accounts - mean * mean) / mean
    return max(0.0, dispersion) / max(0.05, 1 + rate - mean)


def repeated_share(cohort: CohortRecord) -> float:
    """Return which share of the items had been asked before, corrected for bits that were set by others.

    Linear counting (Whang et al., 1990): with b of m bits set, about -m ln(1 - b / m) items were different.
    """
    if not cohort.checked:
        return 0.0
    bits = min(cohort.checked - cohort.repeated + cohort.deep, ITEM_BITS - 1)
    different = -ITEM_BITS * math.log1p(-bits / ITEM_BITS) - cohort.deep
    return min(1.0, max(0.0, 1 - different / cohort.checked))


def total(*parts: Contributions) -> float:
    """Return the score, 0 to 1."""
    return min(1.0, max(0.0, math.fsum(value for part in parts for value in part.values())))


def drawn_on(seen: Seen) -> tuple[CohortRecord | None, Contributions]:
    """Return the cohort that a call draws on, and its contributions: the heaviest of those its account belongs to."""
    best: tuple[CohortRecord | None, Contributions] = (None, {})
    heaviest = -math.inf
    for cohort, calls in seen.cohorts:
        if cohort.id not in seen.matched and calls < BELONGS * seen.tally.calls:
            continue
        contributions = of_cohort(cohort)
        weight = math.fsum(contributions.values())
        if weight > heaviest:
            best, heaviest = (cohort, contributions), weight
    return best


def _weighed(found: Mapping[str, float]) -> Contributions:
    return {name: round(WEIGHTS[name].most * share, 4) for name, share in found.items() if share > 0.01}


def _is_short(reading: Reading) -> bool:
    return reading.output_tokens is not None and reading.output_tokens <= max(1, reading.choices or 1)


def _trust(count: float, half: float) -> float:
    return count / (count + half) if count > 0 else 0.0


def _from(start: float, value: float) -> float:
    """Return 0 up to `start`, then as much of the way to 1, or, from a start beyond it, to one more."""
    return min(1.0, max(0.0, (value - start) / (1 - start if start < 1 else 1)))
