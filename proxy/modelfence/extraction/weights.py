"""The signals: what each may add to the score, why that much, and what it was fitted on.

No weight was found by search. They follow from four decisions. A shared template alone is no campaign: it takes two
more kinds of evidence to pass SUSPICIOUS, or that the template itself asks for training data. What a campaign can't
give up without giving up its work weighs most (that work is divided, and not talked about); what it can, by a change
of words, weighs least. What speaks for the accounts weighs about as much as what speaks against them. And no account
passes by phrases alone. They were then adjusted by hand on one composed day and three made-up ones.
docs/detection.md shows what each is good for, and how much it matters when all of them are a fifth more or less.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

SUSPICIOUS = 0.5
"""The score from which the shipped pack lets the accounts of a cohort draw on one bucket together."""


class Scope(StrEnum):
    CALL = "call"
    ACCOUNT = "account"
    COHORT = "cohort"


@dataclass(frozen=True, slots=True)
class Weight:
    """One signal. `most` is what it adds at most; what speaks for the caller is negative."""

    most: float
    scope: Scope
    says: str
    why: str
    fitted_on: str


_PROMPTS = "published prompts of the method, none of them measured"
_TRACE = "Azure LLM inference trace 2023: answers of conversations have 211 tokens on average"
_TEMPLATES = (
    "30 prompts an account of Evol-Instruct, Self-Instruct, OpenThoughts, Baize; arena-hard, banking77, evals, T0"
)
_REASONED = "set by reasoning, adjusted by hand on composed days"

WEIGHTS: Mapping[str, Weight] = {
    "reasoning_elicitation": Weight(
        0.05,
        Scope.CALL,
        "asks for its reasoning in full",
        "a useful weight and a bad block: pupils ask so, too",
        _PROMPTS,
    ),
    "judge_rubric": Weight(
        0.05,
        Scope.CALL,
        "asks for answers to be judged by a rubric",
        "labels for a reward model, or an evaluation",
        _PROMPTS,
    ),
    "generator_phrasing": Weight(
        0.10,
        Scope.CALL,
        "asks for prompts, instructions or examples to be made",
        "Self-Instruct, Evol-Instruct",
        _PROMPTS,
    ),
    "training_schema": Weight(
        0.05,
        Scope.CALL,
        "prescribes the fields of a training set",
        "instruction and output, chosen and rejected",
        _PROMPTS,
    ),
    "token_probabilities": Weight(
        0.10,
        Scope.CALL,
        "asks for probabilities of one token, or for many answers of one",
        "arXiv 2403.06634",
        _PROMPTS,
    ),
    "logit_probing": Weight(
        1.00,
        Scope.ACCOUNT,
        "goes on asking for the probabilities of single, biased tokens",
        "the query that reads the last layer of a model (arXiv 2403.06634); applications ask for it rarely",
        _REASONED,
    ),
    "prompt_sweep": Weight(
        0.30, Scope.ACCOUNT, "asks so of one prompt again and again", "the same attack, a bias at a time", _REASONED
    ),
    "template": Weight(
        0.10,
        Scope.ACCOUNT,
        "most messages are one template, filled with something new each time",
        "0.8 to 0.9 of a campaign's tokens, but 0.7 to 0.8 of an app's",
        _TEMPLATES,
    ),
    "bulk_work": Weight(
        0.40,
        Scope.ACCOUNT,
        "hundreds of such messages in a day, hardly one of them twice",
        "grows with their number: a small batch job stays cheap, a training set does not",
        _REASONED,
    ),
    "generator": Weight(
        0.20, Scope.ACCOUNT, "most calls have one of the phrases", "a habit tells more than a sentence", _REASONED
    ),
    "around_the_clock": Weight(
        0.10,
        Scope.ACCOUNT,
        "calls in nearly every hour of a day, without conversation",
        "SynchroTrap (CCS 2014); services do, too",
        _REASONED,
    ),
    "long_answers": Weight(
        0.10, Scope.ACCOUNT, "answers longer than in conversation", "they are what is taken", _TRACE
    ),
    "shared_template": Weight(
        0.35,
        Scope.COHORT,
        "five accounts or more share a template",
        "96 of 96 campaign accounts, no chat account",
        _TEMPLATES,
    ),
    "template_in_message": Weight(
        0.10,
        Scope.COHORT,
        "the template is in the user's message",
        "frameworks put theirs into the system's",
        _TEMPLATES,
    ),
    "disjoint_work": Weight(
        0.25,
        Scope.COHORT,
        "nobody asks what another has asked",
        "a work list is divided; people ask the same",
        _REASONED,
    ),
    "cohort_generator": Weight(
        0.30,
        Scope.COHORT,
        "the template asks for training data",
        "unrelated customers hardly share such a wish",
        _PROMPTS,
    ),
    "even_volumes": Weight(
        0.15,
        Scope.COHORT,
        "accounts call about equally often",
        "quotas; customers differ by orders of magnitude",
        _REASONED,
    ),
    "long_work": Weight(0.15, Scope.COHORT, "answers longer than in conversation", "they are what is taken", _TRACE),
    "conversation": Weight(
        -0.50, Scope.COHORT, "conversations go on below the template", "what is taken is not talked about", _REASONED
    ),
    "repeated_items": Weight(
        -0.25, Scope.COHORT, "the same is asked again", "people and test suites repeat themselves", _REASONED
    ),
    "uneven_volumes": Weight(
        -0.25,
        Scope.COHORT,
        "a few accounts make most of the calls, while not much of the work is known",
        "customers differ by orders of magnitude; a campaign can make its volumes uneven",
        _REASONED,
    ),
    "shared_control": Weight(
        0.03,
        Scope.COHORT,
        "many of its accounts, not verified, have one payer, contact domain or signup batch",
        "unrelated customers have not; but a course has, and so has one customer with many accounts",
        _REASONED,
    ),
    "verified_accounts": Weight(
        -0.40, Scope.COHORT, "accounts are verified", "a campaign's are opened by the thousand", _REASONED
    ),
}
SIGNALS: tuple[str, ...] = tuple(WEIGHTS)
