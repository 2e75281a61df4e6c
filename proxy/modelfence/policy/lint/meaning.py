"""What a condition says, as far as it can be understood without evaluating it.

A comparison of something with constants is a relation that can be reasoned about. Everything else that is true or
false is taken as a whole: two of the same text say the same, and nothing more is known of them.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from modelfence.policy.lint.situations import TEXT_TESTS, Constant, Relation
from modelfence.policy.syntax import Part, PartKind, parse
from modelfence.policy.tokens import Token, tokens

_MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDERINGS = frozenset(("<", "<=", ">", ">="))
_TO_MICROSECONDS = re.compile(r"[0-9-]+T[0-9:]+(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_EPOCH = datetime.fromtimestamp(0, UTC)
_COMPOUND = frozenset((PartKind.AND, PartKind.OR, PartKind.NOT, PartKind.CHOICE))


@dataclass(frozen=True, slots=True)
class Meaning:
    """A part of a condition: what it is made of, or the relation it states, or the constant that it is."""

    part: Part
    parts: tuple["Meaning", ...] = ()
    relation: Relation | None = None
    constant: bool | None = None

    def relations(self) -> Iterator[Relation]:
        """Yield every relation within."""
        if self.relation is not None:
            yield self.relation
        for part in self.parts:
            yield from part.relations()


@dataclass(frozen=True)
class Text:
    """A condition's text, with the lists and tiers it may name."""

    source: str
    names: Mapping[str, Constant | tuple[Constant, ...]]
    """What `lists.NAME` and `tier.NAME` stand for."""

    def meaning(self) -> Meaning:
        """Return what the whole of it says."""
        return self._meaning(parse(self.source))

    def term(self, part: Part) -> str:
        """Return a part without white space, as two that say the same are written."""
        written = ""
        for token in self._within(part.start, part.end):
            wordy = written[-1:].isalnum() and (token.kind in ("name", "number") or token.text[:1].isalnum())
            written += f" {token.text}" if wordy else token.text
        return written.removeprefix(".")

    @cached_property
    def _tokens(self) -> tuple[Token, ...]:
        return tokens(self.source)

    def _within(self, start: int, end: int) -> Sequence[Token]:
        return [token for token in self._tokens if start <= token.start and token.end <= end]

    def _meaning(self, part: Part) -> Meaning:
        if part.kind in _COMPOUND:
            return Meaning(part, tuple(self._meaning(one) for one in part.parts))
        if part.kind is PartKind.LITERAL:
            return Meaning(part, constant=self.source[part.start : part.end] == "true")
        if part.kind is PartKind.RELATION:
            return self._relation(part)
        relation = self._one_of(part) or self._text_test(part)
        return Meaning(part, relation=relation) if relation else self._as_a_whole(part)

    def _as_a_whole(self, part: Part) -> Meaning:
        return Meaning(part, relation=Relation(self.term(part), "==", (True,)))

    def _relation(self, part: Part) -> Meaning:
        left, right = part.parts
        operator = next(t.text for t in self._within(left.end, right.start) if t.text not in ("(", ")"))
        constants = self._constants(right, operator)
        if constants is None and operator in _MIRRORED:
            left, right, operator = right, left, _MIRRORED[operator]
            constants = self._constants(right, operator)
        if constants is None or (operator in _ORDERINGS and isinstance(constants[0], str | bool)):
            return self._as_a_whole(part)
        relation = Relation(self.term(left), operator, constants)
        value = self._constant(left)
        return Meaning(part, relation=relation) if value is None else Meaning(part, constant=relation.holds(value))

    def _text_test(self, part: Part) -> Relation | None:
        """Return what a text is asked, as in `request.model.startsWith("gpt")`."""
        asked, call = self._within(part.start, part.end)[:-5], self._within(part.start, part.end)[-5:]
        match [token.text for token in call]:
            case [".", test, "(", text, ")"] if asked and test in TEXT_TESTS:
                constant = constant_of(text)
                term = self.term(Part(PartKind.VALUE, part.start, asked[-1].end))
                return Relation(term, test, (constant,)) if isinstance(constant, str) else None
        return None

    def _one_of(self, part: Part) -> Relation | None:
        """Return what is asked of each text of a list, as in `lists.x.exists(n, request.model.startsWith(n))`."""
        written = self._within(part.start, part.end)
        words = [token.text for token in written]
        at = next((at for at in range(1, len(words) - 5) if words[at : at + 3] == [".", "exists", "("]), None)
        if at is None or words[at + 4] != ",":
            return None
        items = self._listed(Part(PartKind.VALUE, part.start, written[at - 1].end))
        match words[at + 5 : -1], words[at + 3]:
            case ([*about, "==", one], name) | ([one, "==", *about], name) if one == name:
                test = "in"
            case [*about, ".", test, "(", one, ")"], name if one == name and test in TEXT_TESTS:
                pass
            case _:
                return None
        is_name = all(word == "." or word.isidentifier() for word in about) and about and about[0] != name
        if not items or not is_name or not all(isinstance(item, str) for item in items):
            return None
        return Relation("".join(about).removeprefix("."), test, items)

    def _constants(self, part: Part, operator: str) -> tuple[Constant, ...] | None:
        """Return what one side of a comparison stands for, if these are constants."""
        if operator == "in":
            return self._listed(part)
        constant = self._constant(part)
        return None if constant is None else (constant,)

    def _constant(self, part: Part) -> Constant | None:
        named = self.names.get(self.term(part))
        if isinstance(named, str | int | float):
            return named
        match [token.text for token in self._within(part.start, part.end)]:
            case ["timestamp", "(", text, ")"]:
                return _moment_us(constant_of(text))
        return constant_of(self.source[part.start : part.end])

    def _listed(self, part: Part) -> tuple[Constant, ...] | None:
        """Return the items of a list of constants."""
        named = self.names.get(self.term(part))
        if isinstance(named, tuple):
            return named
        written = self._within(part.start, part.end)
        if not written or (written[0].text, written[-1].text) != ("[", "]"):
            return None
        items = written[1:-1]
        constants = [constant_of(item.text) for item in items[::2]]
        if any(item.text != "," for item in items[1::2]) or None in constants:
            return None
        return tuple(constant for constant in constants if constant is not None)


def _moment_us(text: Constant | None) -> int | None:
    """Return a point in time; None for what is finer than microseconds, or no time."""
    if not isinstance(text, str) or not _TO_MICROSECONDS.fullmatch(text):
        return None
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1)
    except ValueError:
        return None


def constant_of(text: str) -> Constant | None:
    """Return what a literal stands for; None for one that CEL may read in another way than it is read here."""
    if text in ("true", "false"):
        return text == "true"
    bare = text.lstrip("-").strip()
    if "\\" in text or not bare or not (bare[0].isdigit() or bare[0] in "\"'" or bare[:2] in ('r"', "r'")):
        return None
    try:
        found = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return None
    return found if isinstance(found, str | int | float) else None
