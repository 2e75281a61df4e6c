"""What cases leave untested: rules that none of them makes apply, and sides of conditions that none of them sees.

A condition has two sides, true and false, and so has each part of it that is one itself: what `&&`, `||` and `!` join,
and what stands before a `?`. They are read from the left: a part counts only where those before it leave the answer
open, so `b` in `a && b` only where `a` is not false. A side that was unknown counts for neither.

What a rule does for a call that is refused counts only where it is asked: nothing is reshaped or charged there. A
throttle has to refuse once besides, for its rate and its burst say nothing as long as it never does.

Rule: one rule of one file is counted once, however many policies include it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from modelfence.core.decision import Effect
from modelfence.core.policy import Evaluated, Rule, RuleKind
from modelfence.document import Node
from modelfence.policy import Compiled
from modelfence.policy.explain import explain
from modelfence.policy.keys import CONDITIONS, EXPRESSIONS
from modelfence.policy.syntax import Part, PartKind, parse
from modelfence.workbench.cases.model import Place
from modelfence.workbench.cases.results import Came, Results

_JOINED = (PartKind.AND, PartKind.OR, PartKind.NOT)
_ASKED_WHEN_REFUSED = (RuleKind.DENY, RuleKind.ALLOW)


@dataclass(slots=True)
class Sides:
    """A condition, or a part of one, and which of its sides some case saw."""

    source: str
    start: int
    """Offsets in the text of the whole expression."""
    end: int
    place: Place
    true: bool = False
    false: bool = False
    unknown: bool = False

    @property
    def missing(self) -> tuple[str, ...]:
        """Return the sides that no case saw."""
        return tuple(side for side, seen in (("true", self.true), ("false", self.false)) if not seen)


@dataclass(slots=True)
class Exercised:
    """One rule, and what cases saw of it."""

    rule: Rule
    place: Place
    sides: Mapping[str, tuple[Sides, ...]]
    """By the key of the expression: deny, allow, when, key or cost."""
    applied: bool = False
    refused: bool = False
    """Of a throttle: it had not enough left."""

    @property
    def counts(self) -> tuple[int, int]:
        """Return how much there is to see, and how much of it was seen."""
        seen = [self.applied]
        if self.rule.kind is RuleKind.THROTTLE:
            seen.append(self.refused)
        for one in self.all_sides():
            seen += [one.true, one.false]
        return len(seen), sum(seen)

    def all_sides(self) -> Iterator[Sides]:
        """Yield the sides of each condition."""
        for sides in self.sides.values():
            yield from sides

    def gaps(self) -> Iterator[tuple[Place, str]]:
        """Yield what was not seen, each with its place."""
        name = f"`{self.rule.id}`"
        if not self.applied:
            yield self.place, f"no case makes {name} apply"
        elif self.rule.kind is RuleKind.THROTTLE and not self.refused:
            yield self.place, f"no case uses {name} up"
        whole = {id(sides[0]) for key, sides in self.sides.items() if key in CONDITIONS and sides}
        for one in self.all_sides():
            # That the whole condition is never true was said: the rule never applies.
            is_said = not self.applied and id(one) in whole and one.missing == ("true",)
            if one.missing and not is_said:
                text = " ".join(one.source.split())
                words = "unknown in every case" if one.unknown and len(one.missing) > 1 else _never(one.missing)
                yield one.place, f"in {name}, `{text}` is {words}"


@dataclass(slots=True)
class Coverage:
    """What cases saw of the rules of their policies."""

    rules: dict[tuple[str, str], Exercised] = field(default_factory=dict)
    """By the real path of the file, and the id."""

    @property
    def total(self) -> int:
        """Return how much there is to see: rules, sides, and throttles that refuse."""
        return sum(one.counts[0] for one in self.rules.values())

    @property
    def seen(self) -> int:
        """Return how much of it was seen."""
        return sum(one.counts[1] for one in self.rules.values())

    @property
    def percent(self) -> float:
        """Return that in per cent, rounded down to a tenth; 100 of nothing."""
        return self.seen * 1000 // self.total / 10 if self.total else 100.0

    def gaps(self) -> list[tuple[Place, str]]:
        """Return what was not seen, by file and line."""
        found = [gap for one in self.rules.values() for gap in one.gaps()]
        return sorted(found, key=lambda gap: (gap[0].file, gap[0].line, gap[0].column))


def _never(sides: tuple[str, ...]) -> str:
    return " and ".join(f"never {side}" for side in sides)


def coverage(every: Iterable[Results]) -> Coverage:
    """Return what the cases of some files saw."""
    found = Coverage()
    for results in every:
        compiled = results.case_file.compiled
        if compiled is None or compiled.policy is None:
            continue
        rules = _rules(compiled, found)
        for came in (came for result in results.results for came in result.seen if came.facts):
            _count(came, compiled, rules)
    return found


def _rules(compiled: Compiled, found: Coverage) -> Mapping[str, Exercised]:
    """Return the rules of a policy by id, those that were found before among them."""
    rules = {}
    for rule in compiled.policy.rules() if compiled.policy else ():
        written = compiled.written[rule.id]
        name = (os.path.realpath(written.node.document.path), rule.id)
        if name not in found.rules:
            keys = {key: written.keys[key] for key in EXPRESSIONS if key in written.keys}
            sides = {key: tuple(_sides_in(node, is_condition=key in CONDITIONS)) for key, node in keys.items()}
            found.rules[name] = Exercised(rule, Place.of(written.keys["id"]), sides)
        rules[rule.id] = found.rules[name]
    return rules


def _sides_in(node: Node, *, is_condition: bool) -> Iterator[Sides]:
    """Yield the conditions in an expression that stands in a node."""
    source = node.text() or ""
    for part in _conditions(parse(source), is_condition=is_condition):
        line, column = node.place_of(part.start)
        yield Sides(source[part.start : part.end], part.start, part.end, Place(node.document.path, line, column))


def _conditions(part: Part, *, is_condition: bool) -> Iterator[Part]:
    """Yield the conditions in a part, each before those in it. A `!` has the sides of what it denies."""
    if is_condition and part.kind not in (PartKind.NOT, PartKind.LITERAL):
        yield part
    if part.kind == PartKind.CHOICE:
        condition, *others = part.parts
        yield from _conditions(condition, is_condition=True)
        for one in others:
            yield from _conditions(one, is_condition=is_condition)
    elif part.kind in _JOINED:
        for one in part.parts:
            yield from _conditions(one, is_condition=True)


def _count(came: Came, compiled: Compiled, rules: Mapping[str, Exercised]) -> None:
    """Note what one call saw."""
    assert compiled.policy is not None  # noqa: S101 - there are no results without one
    for step in came.decision.trace:
        rules[step.rule.id].applied |= step.applied
    for id_ in came.refused & rules.keys():
        rules[id_].refused = True
    for explained in explain(compiled.policy, came.facts):
        if came.decision.effect is Effect.DENY and explained.rule.kind not in _ASKED_WHEN_REFUSED:
            continue
        for key, evaluated in explained.expressions.items():
            sides = {(one.start, one.end): one for one in rules[explained.rule.id].sides[key]}
            for part in _asked(evaluated):
                if (one := sides.get((part.start, part.end))) is not None:
                    one.true |= part.value is True
                    one.false |= part.value is False
                    one.unknown |= not isinstance(part.value, bool)


def _asked(part: Evaluated) -> Iterator[Evaluated]:
    """Yield the parts that had a say, reading from the left."""
    yield part
    if part.kind == PartKind.CHOICE:
        condition, then, otherwise = part.parts
        yield from _asked(condition)
        if isinstance(condition.value, bool):
            yield from _asked(then if condition.value else otherwise)
    elif part.kind in _JOINED:
        for one in part.parts:
            yield from _asked(one)
            if part.kind != PartKind.NOT and one.value is (part.kind == PartKind.OR):
                return
