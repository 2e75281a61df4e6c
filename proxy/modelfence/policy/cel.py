"""Conditions: CEL text to something that can be evaluated.

Rule: the only module that imports cel_expr_python. No functions of our own in Python: each call of one leaks
(measured on cel-expr-python 0.1.3), while what is used here does not (`tests/policy/test_memory.py`).

Why bind only what is read: binding costs about 0.5 µs a name, so that all facts would cost more than the decision.
`Policy.names` is what its expressions read, found in their tokens; a name too many costs a little, and one too few
would be unknown and so count against the caller. Lists are bound by reference whatever their length.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from cel_expr_python import cel

from modelfence.core.facts import FACTS, Facts, FactType, FactValue
from modelfence.core.policy import Evaluated, Unknown
from modelfence.core.quick import quick
from modelfence.policy.complaints import Complaint, complaints, with_article
from modelfence.policy.functions import FUNCTIONS
from modelfence.policy.syntax import Part, PartKind, parse
from modelfence.policy.tokens import Token, dotted_names, place_of, tokens

_TYPES: Mapping[FactType, cel.Type] = {
    FactType.STRING: cel.Type.STRING,
    FactType.INT: cel.Type.INT,
    FactType.DOUBLE: cel.Type.DOUBLE,
    FactType.BOOL: cel.Type.BOOL,
    FactType.TIMESTAMP: cel.Type.TIMESTAMP,
    FactType.STRINGS: cel.Type.List(cel.Type.STRING),
    FactType.TEXT_BY_NAME: cel.Type.Map(cel.Type.STRING, cel.Type.STRING),
    FactType.SHARE_BY_COUNTRY: cel.Type.Map(cel.Type.STRING, cel.Type.DOUBLE),
}
_MAPS = frozenset(fact.name for fact in FACTS if fact.type in (FactType.TEXT_BY_NAME, FactType.SHARE_BY_COUNTRY))
_COMPOUND = _MAPS | {fact.name for fact in FACTS if fact.type is FactType.STRINGS}
_OWNED_BY = "kyc.owned_by."

# What CEL says when an evaluation fails, and how that is told.
_UNBOUND = "UNKNOWN: No value with name"
_MISSING_KEY = "NOT_FOUND: Key not found in map"
_REASONS = (
    (_MISSING_KEY, "a map lacks the key that is asked for"),
    ("Index error", "a list lacks the item that is asked for"),
    ("regular expression", "a pattern is not a regular expression"),
    ("by zero", "a division by zero"),
    ("overflow", "a number is too large"),
    ("conver", "a text can't be read as a number or a time"),
    ("timezone", "there is no such time zone"),
    ("budget", "it takes too many steps"),
)
_FAILED = "it can't be evaluated"

# A text that stands where CEL reads it only when a call comes in: an expression that reads it now, and a hint.
_CONSTANTS: Mapping[str, tuple[str, str | None]] = {
    "matches": ("''.matches({})", None),
    "timestamp": ("timestamp({})", "a time is written like `2026-01-31T12:00:00Z`"),
    "duration": ("duration({})", "a duration is written in `h`, `m` and `s`, like `24h` or `1h30m`"),
    **{
        one.name: (f"timestamp(0).{one.name}({{}})", "a time zone is written like `Europe/Oslo` or `+02:00`")
        for one in FUNCTIONS
        if f"timestamp.{one.name}(string)" in one.written
    },
}


@quick
@dataclass(frozen=True, slots=True)
class Bound:
    """Facts prepared for the expressions of one decision."""

    activation: cel.Activation
    facts: Facts


@dataclass(frozen=True, slots=True)
class Result[T]:
    """What an expression must yield, and how it is read: None for an evaluation that failed."""

    types: Sequence[cel.Type]
    read: Callable[[cel.Value], T | None]
    words: str


def _truth(value: cel.Value) -> bool | None:
    plain = value.value()
    return plain if isinstance(plain, bool) else None


def _text(value: cel.Value) -> str | None:
    return None if value.type() == cel.Type.ERROR else str(value.value())


def _number(value: cel.Value) -> float | None:
    plain = value.value()
    return float(plain) if isinstance(plain, int | float) else None


def _plain(value: cel.Value) -> object | None:
    if value.type() == cel.Type.ERROR:
        return None
    plain = value.plain_value()
    return "null" if plain is None else plain


TRUTH = Result([cel.Type.BOOL], _truth, "true or false")
TEXT = Result([cel.Type.STRING], _text, "a string")
NUMBER = Result([cel.Type.INT, cel.Type.DOUBLE], _number, "a number")
_ANY: Result[object] = Result((), _plain, "anything")


@dataclass(frozen=True, slots=True)
class CelExpression[T]:
    """A compiled expression: `modelfence.core.policy.Expression`."""

    source: str
    names: frozenset[str]
    """The facts it reads."""
    constants: frozenset[str]
    """The `lists.NAME` and `tier.NAME` it reads."""
    program: cel.Expression
    result: Result[T]
    language: "Language" = field(repr=False)
    text: str | None = None
    """The fact that is all of it, if it is nothing but the name of a text: most keys of throttles are."""

    def evaluate(self, bound: object) -> T | Unknown:
        """Return its value, or Unknown with the facts to blame; never raises.

        These are the facts it names that are not known. Where a map lacked a key: the maps it names as well.
        Where neither explains the failure, a division by zero say: all facts it names.
        """
        assert isinstance(bound, Bound)  # noqa: S101 - what the policy's own `bind` returned
        if self.text is not None and isinstance(known := bound.facts.get(self.text), str) and known.isascii():
            return cast("T", known)  # what CEL would say, for a tenth of the price
        try:
            value = self.program.eval(bound.activation)
            read = self.result.read(value)
            return self._unknown(str(value.value()), bound.facts) if read is None else read
        except RuntimeError as error:  # a text that is not Unicode, or too many steps
            return self._unknown(str(error), bound.facts)

    def explain(self, bound: object) -> Evaluated:
        """Return its value with those of its parts; of a value that is more than a name, the facts in it are parts."""
        return self._evaluated(self.language.anatomy(self.source), bound)

    def _evaluated(self, part: Part, bound: object) -> Evaluated:
        parts = tuple(self._evaluated(one, bound) for one in part.parts)
        source = self.source[part.start : part.end]
        return Evaluated(source, part.start, part.end, part.kind, self.language.part(source).evaluate(bound), parts)

    def _unknown(self, text: str, known: Facts) -> Unknown:
        blamed = {name for name in self.names if name not in known}
        if text.startswith(_UNBOUND):
            facts = tuple(sorted(blamed))
            shown = " and ".join(f"`{name}`" for name in facts)
            return Unknown(facts, f"{shown} {'are' if len(facts) > 1 else 'is'} unknown")
        if text.startswith(_MISSING_KEY):
            blamed |= self.names & _MAPS
        reason = next((words for sign, words in _REASONS if sign in text), _FAILED)
        return Unknown(tuple(sorted(blamed or self.names)), reason)


class Language:
    """CEL with the facts, and with the lists and tiers of one policy."""

    def __init__(self, lists: Mapping[str, Sequence[str]], tiers: Sequence[str]) -> None:
        facts = {fact.name: _TYPES[fact.type] for fact in FACTS}
        facts |= {f"{_OWNED_BY}{name}": cel.Type.DOUBLE for name in lists}
        self._constants: dict[str, object] = {f"lists.{name}": list(items) for name, items in lists.items()}
        self._constants |= {f"tier.{name}": place for place, name in enumerate(tiers)}
        types = {name: cel.Type.INT if isinstance(value, int) else _TYPES[FactType.STRINGS]
                 for name, value in self._constants.items()}  # fmt: skip
        self._facts = frozenset(facts)
        self._env = cel.NewEnv(variables={**facts, **types})
        self._parts: dict[str, CelExpression[object]] = {}
        self._anatomies: dict[str, Part] = {}

    def compile[T](self, source: str, result: Result[T]) -> CelExpression[T] | tuple[Complaint, ...]:
        """Return the expression, or everything that is wrong with it."""
        try:
            program = self._env.compile(source)
        except (RuntimeError, TypeError) as error:  # TypeError: half a surrogate pair
            return complaints(str(error), source, [*sorted(self._facts), *self._constants])
        if program.return_type() not in result.types:
            words = f"this must be {result.words}, and is {with_article(_type_name(program.return_type()))}"
            return (Complaint(0, len(source), "wrong-result", words),)
        parts = tokens(source)
        if wrong := self._bad_constants(parts):
            return wrong
        return self._expression(source, program, result, parts)

    def part(self, source: str) -> CelExpression[object]:
        """Return a part of an expression that was compiled, whatever it yields. As many are kept as there are."""
        found = self._parts.get(source)
        if found is None:
            found = self._parts[source] = self._expression(source, self._env.compile(source), _ANY, tokens(source))
        return found

    def anatomy(self, source: str) -> Part:
        """Return the parts of an expression that was compiled. As many are kept as there are expressions."""
        found = self._anatomies.get(source)
        if found is None:
            found = self._anatomies[source] = self._with_facts(parse(source), source)
        return found

    def _with_facts(self, part: Part, source: str) -> Part:
        """Return a part in which the facts that a value is made of are parts, each once; none where it is one."""
        if part.kind is not PartKind.VALUE or part.parts:
            return replace(part, parts=tuple(self._with_facts(one, source) for one in part.parts))
        own = source[part.start : part.end]
        found = (place_of(name, tokens(own), near=0) for name in self.part(own).names)
        places = sorted((place.start, place.end) for place in found if place and place.end - place.start < len(own))
        facts = tuple(Part(PartKind.VALUE, part.start + start, part.start + end) for start, end in places)
        return replace(part, parts=facts)

    def _expression[T](
        self, source: str, program: cel.Expression, result: Result[T], parts: Sequence[Token]
    ) -> CelExpression[T]:
        read = {name for path in dotted_names(parts) if (name := self._declared(path))}
        facts, constants = frozenset(read & self._facts), frozenset(read - self._facts)
        text = source if source in facts and result.types == TEXT.types else None
        return CelExpression(source, facts, constants, program, result, self, text)

    def binder(self, names: frozenset[str], constants: frozenset[str]) -> Callable[[Facts], Bound]:
        """Return what prepares these facts and constants for the expressions that read them.

        A text with a NUL is taken for unknown: CEL would be given what stands before it, so that the rules would judge
        another model, say, than the one the upstream reads.
        """
        activation = self._env.Activation
        fixed = {name: self._constants[name] for name in sorted(constants)}
        plain, compound = tuple(sorted(names - _COMPOUND)), tuple(sorted(names & _COMPOUND))

        def bind(facts: Facts) -> Bound:
            values: dict[str, object] = {name: facts[name] for name in plain if name in facts}
            cut = [name for name, value in values.items() if isinstance(value, str) and "\0" in value]
            for name in compound:
                if name in facts:
                    values[name] = _as_cel_takes_it(facts[name])
                    cut += [name] if _holds_nul(values[name]) else []
            if cut:
                return bind({name: value for name, value in facts.items() if name not in cut})
            return Bound(activation(fixed | values), facts)

        return bind

    def _declared(self, path: tuple[str, ...]) -> str | None:
        names = (".".join(path[:length]) for length in range(len(path), 0, -1))
        return next((name for name in names if name in self._facts or name in self._constants), None)

    def _bad_constants(self, parts: Sequence[Token]) -> tuple[Complaint, ...]:
        """Return the constant patterns, times, durations and time zones that would fail on every call."""
        wrong = []
        for function, opening, constant, closing in zip(parts, parts[1:], parts[2:], parts[3:], strict=False):
            if constant.kind == "string" and (opening.text, closing.text) == ("(", ")"):
                failure = self._failure_of(function.text, constant.text)
                if failure is not None:
                    hint = _CONSTANTS[function.text][1]
                    wrong.append(Complaint(constant.start, len(constant.text), "bad-constant", failure, hint))
        return tuple(wrong)

    def _failure_of(self, function: str, constant: str) -> str | None:
        if function not in _CONSTANTS:
            return None
        value = self._env.compile(_CONSTANTS[function][0].format(constant)).eval()
        if value.type() != cel.Type.ERROR:
            return None
        detail = str(value.value()).partition("regular expression")[2]
        return f"`{function}` can't read this{detail}"


def _as_cel_takes_it(value: FactValue) -> object:
    """Return a dict or a list: CEL takes no other mappings and sequences."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else value


def _holds_nul(compound: object) -> bool:
    items = [*compound, *compound.values()] if isinstance(compound, dict) else compound
    return isinstance(items, list) and any(isinstance(item, str) and "\0" in item for item in items)


def _type_name(kind: cel.Type) -> str:
    return str(kind.name()).lower()
