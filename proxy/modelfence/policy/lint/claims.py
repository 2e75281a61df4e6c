"""Claims about what conditions come to, and whether they can hold together.

Conditions have three outcomes: true, false and unknown. A claim is that some condition has, or has not, one of them.
It is made of what it says of single terms, so that claims can be tried against all situations (`situations`).

Rule: `impossible` says yes only when every situation was ruled out. It gives up early, and then says no.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from modelfence.policy.lint.meaning import Meaning
from modelfence.policy.lint.situations import Cells, Outcome, Situations
from modelfence.policy.syntax import PartKind

MAX_STEPS = 1_000
"""Branches that are looked at for one question: some 50 ms."""


class Truth(Enum):
    TRUE = auto()
    FALSE = auto()
    NOT_TRUE = auto()
    NOT_FALSE = auto()


_NEGATED = {
    Truth.TRUE: Truth.FALSE,
    Truth.FALSE: Truth.TRUE,
    Truth.NOT_TRUE: Truth.NOT_FALSE,
    Truth.NOT_FALSE: Truth.NOT_TRUE,
}


@dataclass(frozen=True, slots=True)
class Within:
    """A term is in one of these situations."""

    term: str
    cells: Cells


@dataclass(frozen=True, slots=True)
class All:
    """Every one of these holds; all of none is what always holds."""

    claims: tuple["Claim", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """One of these holds; one of none is what never holds."""

    claims: tuple["Claim", ...]


type Claim = Within | All | Any


class _TooMuchError(Exception):
    """More situations than are worth looking at."""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Answers questions about the conditions of one policy."""

    situations: Situations

    def impossible(self, *claims: tuple[Meaning, Truth]) -> bool:
        """Say whether conditions can be shown never to have these outcomes together."""
        wanted = [self._claim(meaning, truth) for meaning, truth in claims]
        try:
            return not _possible(wanted, {}, [MAX_STEPS])
        except _TooMuchError:
            return False

    def _claim(self, meaning: Meaning, truth: Truth) -> Claim:
        if meaning.constant is not None:
            agrees = truth in ((Truth.TRUE, Truth.NOT_FALSE) if meaning.constant else (Truth.FALSE, Truth.NOT_TRUE))
            return All(()) if agrees else Any(())
        if meaning.relation is not None:
            return Within(meaning.relation.term, _cells(self.situations.outcome(meaning.relation), truth))
        match meaning.part.kind:
            case PartKind.NOT:
                return self._claim(meaning.parts[0], _NEGATED[truth])
            case PartKind.CHOICE:
                return self._of_choice(meaning, truth)
            case kind:
                claims = tuple(self._claim(part, truth) for part in meaning.parts)
                is_and, wants_true = kind is PartKind.AND, truth in (Truth.TRUE, Truth.NOT_FALSE)
                return All(claims) if is_and is wants_true else Any(claims)

    def _of_choice(self, meaning: Meaning, truth: Truth) -> Claim:
        condition, then, otherwise = meaning.parts
        branches: tuple[Claim, ...] = (
            All((self._claim(condition, Truth.TRUE), self._claim(then, truth))),
            All((self._claim(condition, Truth.FALSE), self._claim(otherwise, truth))),
        )
        if truth in (Truth.NOT_TRUE, Truth.NOT_FALSE):
            branches += (All((self._claim(condition, Truth.NOT_TRUE), self._claim(condition, Truth.NOT_FALSE))),)
        return Any(branches)


def _cells(outcome: Outcome, truth: Truth) -> Cells:
    match truth:
        case Truth.TRUE:
            return outcome.true
        case Truth.FALSE:
            return outcome.false
        case Truth.NOT_TRUE:
            return outcome.all - (outcome.true - outcome.false)
        case Truth.NOT_FALSE:
            return outcome.all - (outcome.false - outcome.true)


def _possible(claims: Sequence[Claim], narrowed: Mapping[str, Cells], steps: list[int]) -> bool:
    """Say whether claims hold together somewhere; `steps` is how many more branches may be looked at."""
    steps[0] -= 1
    if steps[0] < 0:
        raise _TooMuchError
    narrowed = dict(narrowed)
    waiting, choices = list(claims), []
    while waiting:
        match waiting.pop():
            case Within(term, cells):
                narrowed[term] = narrowed.get(term, cells) & cells
                if not narrowed[term]:
                    return False
            case All(parts):
                waiting += parts
            case choice:
                choices.append(choice)
    if not choices:
        return True
    choices.sort(key=lambda choice: len(choice.claims))
    first, *others = choices
    return any(_possible([branch, *others], narrowed, steps) for branch in first.claims)
