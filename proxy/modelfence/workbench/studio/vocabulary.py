"""What may be written where in a policy and its cases, for an editor that completes: from the readers' own tables."""

from modelfence.core.facts import FACTS
from modelfence.core.keys import Choice, Either, Flag, Key, ListOf, MapOf, OrNull, Record, Shape
from modelfence.policy.functions import FUNCTIONS
from modelfence.policy.keys import POLICY_KEYS
from modelfence.workbench.cases.keys import FILE_KEYS
from modelfence.workbench.reference import FACT_EXAMPLES


def vocabulary() -> dict[str, object]:
    """Return the keys of a policy and of a file of cases as trees, the facts and the functions of conditions."""
    examples = {one.fact: f"{one.key}: {one.condition}" for one in FACT_EXAMPLES}
    return {
        "keys": _keys(POLICY_KEYS),
        "case_keys": _keys(FILE_KEYS),
        "facts": [
            {"name": fact.name, "type": fact.type, "what": fact.description, "example": examples[fact.name]}
            for fact in FACTS
        ],
        "functions": [
            {"name": one.name, "what": one.what, "forms": one.forms, "follows_a_dot": one.follows_a_dot}
            for one in FUNCTIONS
        ],
    }


def _keys(keys: tuple[Key, ...]) -> list[dict[str, object]]:
    return [
        {
            "name": key.name,
            "what": key.what,
            "required": key.required,
            "options": _options(key.value),
            "keys": _inner(key.value),
        }
        for key in keys
    ]


def _options(shape: Shape) -> list[str]:
    """Return the words that fit, where these are few."""
    match shape:
        case Choice(options):
            return list(options)
        case Flag():
            return ["true", "false"]
        case ListOf(item) | OrNull(item):
            return _options(item)
        case Either(shapes):
            return [option for one in shapes for option in _options(one)]
        case _:
            return []


def _inner(shape: Shape) -> list[dict[str, object]]:
    """Return the keys of the mappings that fit."""
    match shape:
        case Record(keys):
            return _keys(keys)
        case ListOf(item) | MapOf(item) | OrNull(item):
            return _inner(item)
        case Either(shapes):
            return [key for one in shapes for key in _inner(one)]
        case _:
            return []
