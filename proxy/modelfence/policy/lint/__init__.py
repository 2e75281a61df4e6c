"""What can be wrong with a policy that compiles: rules that never matter, words that nothing is, buckets too small.

Everything here is a warning: it changes no decision and stops nothing.

Rule: no false alarms. A warning says what was shown for every call; what could not be shown is not said. The texts
of facts are taken to be Unicode, and no evaluation to run into CEL's limit of steps.
"""

from collections.abc import Set as AbstractSet
from datetime import date

from modelfence.core.problem import Problem, in_order
from modelfence.policy.compile import Compiled
from modelfence.policy.lint.ageing import warn_of_long_shadows
from modelfence.policy.lint.cases import warn_of_untested_rules
from modelfence.policy.lint.constants import warn_of_constants
from modelfence.policy.lint.lists import defined_lists, warn_of_lists
from modelfence.policy.lint.missing_keys import warn_of_missing_keys
from modelfence.policy.lint.shadowing import warn_of_needless_rules
from modelfence.policy.lint.subjects import Notes, subjects_of
from modelfence.policy.lint.throttles import warn_of_small_bursts
from modelfence.policy.lint.words import warn_of_listed_words, warn_of_words

__all__ = ["lint", "untested"]


def lint(compiled: Compiled, *, today: date) -> tuple[Problem, ...]:
    """Return the warnings about a policy as of a day, by file, line and column; none for one that does not compile."""
    if compiled.policy is None:
        return ()
    subjects, notes = subjects_of(compiled, compiled.policy), Notes()
    settled = set()
    for subject in subjects.rules:
        wrong = warn_of_words(subject, notes)
        if warn_of_constants(subject, subjects, notes, wrong):
            settled.add(subject.rule.id)
    warn_of_needless_rules(subjects, notes, settled)
    warn_of_listed_words(subjects, defined_lists(subjects), notes)
    warn_of_lists(subjects, notes)
    warn_of_missing_keys(subjects, notes)
    warn_of_small_bursts(subjects, notes)
    warn_of_long_shadows(subjects, today, notes)
    return in_order(notes.problems)


def untested(compiled: Compiled, with_cases: AbstractSet[str] | None) -> tuple[Problem, ...]:
    """Return the rules of which no case expects anything. `with_cases` are the others' ids, or None without cases."""
    if compiled.policy is None:
        return ()
    notes = Notes()
    warn_of_untested_rules(compiled, with_cases, notes)
    return in_order(notes.problems)
