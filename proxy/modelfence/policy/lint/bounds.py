"""The least and the most a cost can be, where its facts have bounds: `1.0 + 9.0 * extraction.score` is 1 to 10."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from modelfence.policy.lint.situations import fact_of
from modelfence.policy.syntax import Part, PartKind, parse
from modelfence.policy.tokens import Token, dotted_names, tokens


@dataclass(frozen=True, slots=True)
class Bounds:
    """From the least to the most, both included; infinite where nothing says."""

    least: float
    most: float

    def __add__(self, other: "Bounds") -> "Bounds":
        return Bounds(self.least + other.least, self.most + other.most)

    def __neg__(self) -> "Bounds":
        return Bounds(-self.most, -self.least)

    def __mul__(self, other: "Bounds") -> "Bounds":
        products = [_product(a, b) for a in (self.least, self.most) for b in (other.least, other.most)]
        return Bounds(min(products), max(products))

    def __or__(self, other: "Bounds") -> "Bounds":
        return Bounds(min(self.least, other.least), max(self.most, other.most))


ANY = Bounds(-math.inf, math.inf)


def bounds_of(source: str) -> Bounds:
    """Return the bounds of a numeric expression that CEL has compiled."""
    return _of_part(source, parse(source))


def _of_part(source: str, part: Part) -> Bounds:
    if part.kind is PartKind.CHOICE:
        return _of_part(source, part.parts[1]) | _of_part(source, part.parts[2])
    reader = _Reader(tokens(source[part.start : part.end]))
    found = reader.sum()
    return found if reader.at == len(reader.parts) else ANY


@dataclass(slots=True)
class _Reader:
    """Reads sums and products; what it does not understand could be any number, and ends the reading."""

    parts: Sequence[Token]
    at: int = 0

    def sum(self) -> Bounds:
        found = self._product()
        while (sign := self._next) in ("+", "-"):
            self.at += 1
            other = self._product()
            found += other if sign == "+" else -other
        return found

    def _product(self) -> Bounds:
        found = self._factor()
        while self._next == "*":
            self.at += 1
            found *= self._factor()
        return found

    def _factor(self) -> Bounds:
        if self._next == "-":
            self.at += 1
            return -self._factor()
        if (self._next, self._after) == ("double", "("):
            self.at += 1
        if self._next == "(":
            self.at += 1
            found = self.sum()
            self.at = self.at + 1 if self._next == ")" else len(self.parts) + 1
            return found
        return self._value()

    def _value(self) -> Bounds:
        token = self.parts[self.at] if self.at < len(self.parts) else None
        if token is None:
            return ANY
        if token.kind == "number":
            self.at += 1
            return _exactly(token.text)
        path = next(iter(dotted_names(self.parts[self.at :])), ())
        fact = fact_of(".".join(path)) if token.kind == "name" else None
        if fact is None:
            return ANY
        self.at += 2 * len(path) - 1
        least, most = ANY.least if fact.least is None else fact.least, ANY.most if fact.most is None else fact.most
        return Bounds(least, most)

    @property
    def _next(self) -> str:
        return self.parts[self.at].text if self.at < len(self.parts) else ""

    @property
    def _after(self) -> str:
        return self.parts[self.at + 1].text if self.at + 1 < len(self.parts) else ""


def _exactly(number: str) -> Bounds:
    try:
        return Bounds(float(number), float(number))
    except ValueError:
        return ANY


def _product(one: float, other: float) -> float:
    return 0.0 if 0 in (one, other) else one * other
