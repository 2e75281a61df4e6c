"""Why a rule applied or not: its expressions, with the value of each part.

A decision's trace names the rules that applied. This says of every rule what each part of its condition came to. It
costs some hundred times the decision, and is for those who ask why: never for a call that waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modelfence.core.policy import Evaluated, Rule, Unknown


@dataclass(frozen=True, slots=True)
class RuleExplained:
    """One rule, whether it applies or not."""

    rule: Rule
    applies: bool
    """For a throttle: it charges a bucket."""
    unknown: Unknown | None
    """What it lacked, where it could not be told."""
    expressions: Mapping[str, Evaluated]
    """By the rule's key: deny, allow, when, key or cost. What the rule does without is not there."""
