"""What a term of a condition can be, cut into a few situations in which every condition of the policy says the same.

A term is what a condition asks: a fact, or an expression that is taken as a whole. The policy compares it with some
constants, and between two of them it does not matter where exactly a value lies. So a handful of samples stands for
all values: each constant, one value in each gap, and *unknown* unless the fact is always known. Texts have samples of
their own (`text_samples`).

Rule: what is not known of a term widens its samples. A proof that no sample works is then a proof for all values.
"""

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from modelfence.core.facts import FACTS, Fact, FactType
from modelfence.policy.lint.text_samples import text_samples

type Constant = str | int | float | bool
type Cells = frozenset[int]
"""Which of a term's samples, by number."""

_FACTS = {fact.name: fact for fact in FACTS}
_SIZE = re.compile(r"size\(([\w.]+)\)|([\w.]+)\.size\(\)")
_OWNED_BY, _OWNED_FROM = "kyc.owned_by.", "kyc.ownership["
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TEXT_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}
"""What a text can be asked, by the names that CEL has for it."""
UNKNOWN = None


@dataclass(frozen=True, slots=True)
class Relation:
    """What a condition asks of one term: how it compares with constants.

    `in` and the tests of texts have any number of them, of which one has to do; others have one.
    """

    term: str
    operator: str
    constants: tuple[Constant, ...]

    def holds(self, sample: object) -> bool:
        """Say whether it is true of a value that is known."""
        if self.operator == "in":
            return sample in self.constants
        if self.operator in TEXT_TESTS:
            test = TEXT_TESTS[self.operator]
            return any(test(str(sample), str(constant)) for constant in self.constants)
        return _OPERATORS[self.operator](sample, self.constants[0])


@dataclass(frozen=True, slots=True)
class Outcome:
    """In which situations of its term a relation is true, and in which false; in the others it is unknown."""

    true: Cells
    false: Cells
    all: Cells


_ANYTHING = Outcome(frozenset((0,)), frozenset((0,)), frozenset((0,)))
"""Of what can't be understood: it may be true and false."""


class Situations:
    """The samples of every term that some relations ask for, and what each relation comes to."""

    def __init__(self, relations: Iterable[Relation], tiers: Sequence[str]) -> None:
        by_term: dict[str, set[Relation]] = {}
        for relation in relations:
            by_term.setdefault(relation.term, set()).add(relation)
        self._outcomes: dict[Relation, Outcome] = {}
        for term, found in by_term.items():
            samples = _samples(term, found, tiers)
            self._outcomes |= {relation: _outcome(relation, samples) for relation in found}

    def outcome(self, relation: Relation) -> Outcome:
        """Return where one of these relations holds."""
        return self._outcomes[relation]


def _outcome(relation: Relation, samples: Sequence[object]) -> Outcome:
    if not samples:
        return _ANYTHING
    every = frozenset(range(len(samples)))
    known = frozenset(at for at in every if samples[at] is not UNKNOWN)
    true = frozenset(at for at in known if relation.holds(samples[at]))
    return Outcome(true, known - true, every)


def fact_of(term: str) -> Fact | None:
    """Return what the table says of a term, if it is a fact, its size, or a share of one country or a list of them."""
    if term.startswith(_OWNED_BY):
        return Fact(term, FactType.DOUBLE, "", least=0)
    if term.startswith(_OWNED_FROM) and term.count("[") == 1 and term.endswith("]"):
        return Fact(term, FactType.DOUBLE, "", least=0)
    if (sized := _SIZE.fullmatch(term)) and (fact := _FACTS.get(sized[1] or sized[2])):
        return Fact(term, FactType.INT, "", always=fact.always, least=0)
    return _FACTS.get(term)


def _samples(term: str, relations: Collection[Relation], tiers: Sequence[str]) -> tuple[object, ...]:
    """Return values that stand for all; none where the term is compared with what does not go together."""
    fact = fact_of(term)
    constants = {constant for relation in relations for constant in relation.constants}
    unknown = () if fact and fact.always else (UNKNOWN,)
    kinds = {type(constant) for constant in constants}
    if kinds <= {bool}:
        return (True, False, *unknown)
    if kinds <= {str}:
        texts = fact.values if fact and fact.values else _texts(relations)
        return (*texts, *unknown) if texts else ()
    if not kinds <= {int, float}:
        return ()
    numbers = [constant for constant in constants if isinstance(constant, int | float)]
    if term == "kyc.tier":
        return tuple(range(len(tiers)))
    if fact is None:
        return (*_between(numbers, -math.inf, math.inf, whole=False), math.nan, *unknown)
    least = -math.inf if fact.least is None else fact.least
    most = math.inf if fact.most is None else fact.most
    return (*_between(numbers, least, most, whole=fact.type is FactType.INT), *unknown)


def _texts(relations: Collection[Relation]) -> tuple[str, ...]:
    asked = {name: set[str]() for name in (*TEXT_TESTS, "==")}
    for relation in relations:
        asked.get(relation.operator, asked["=="]).update(map(str, relation.constants))
    return text_samples(asked["=="], asked["startsWith"], asked["endsWith"], asked["contains"])


def _between(numbers: Iterable[float], least: float, most: float, *, whole: bool) -> list[float]:
    """Return each number that is possible, and one of each gap between, before and behind them."""
    points = sorted({least, most, *(number for number in numbers if least <= number <= most)})
    return sorted({*points, *(_middle(low, high) for low, high in pairwise(points) if not whole or high - low > 1)})


def _middle(low: float, high: float) -> float:
    """Return a number between two, if there is one."""
    if math.isinf(low) or math.isinf(high):
        return 0.0 if low == -high else high - 1 if math.isinf(low) else low + 1
    return low / 2 + high / 2
