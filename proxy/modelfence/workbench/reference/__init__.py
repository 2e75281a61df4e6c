"""Examples for the reference of the policy language: of facts, keys and functions. Tests run each of them.

Why not beside the tables: a running fence loads those, and has no use for examples.
"""

from modelfence.workbench.reference import keys
from modelfence.workbench.reference.facts import FACT_EXAMPLES, FACT_GROUPS, LISTS, NAMED, FactExample, FactGroup
from modelfence.workbench.reference.functions import (
    CALL,
    FUNCTION_EXAMPLES,
    LITERALS,
    SURPRISES,
    UNKNOWN,
    Shown,
    Surprise,
)
from modelfence.workbench.reference.keys import KeyExample

__all__ = [
    "CALL",
    "FACT_EXAMPLES",
    "FACT_GROUPS",
    "FUNCTION_EXAMPLES",
    "LISTS",
    "LITERALS",
    "NAMED",
    "SURPRISES",
    "UNKNOWN",
    "FactExample",
    "FactGroup",
    "KeyExample",
    "Shown",
    "Surprise",
    "keys",
]
