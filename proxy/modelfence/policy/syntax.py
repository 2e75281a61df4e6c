"""What a condition is made of: the parts that have a value of their own.

CEL says what a condition comes to, and not why. To show the value of each part, and to tell which of them no case
exercised, the text is cut here at `? :`, `||`, `&&`, comparisons and `!`. What is finer than that, such as a sum or a
call, is one part: a value. Precedence is that of the CEL specification, "Syntax",
https://github.com/google/cel-spec/blob/master/doc/langdef.md.

Rule: the text is one that CEL has compiled. Each part, cut out, is an expression that compiles as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelfence.policy.tokens import Token, tokens

_RELATIONS = frozenset(("==", "!=", "<", "<=", ">", ">=", "in"))
_ARITHMETIC = frozenset("+-*/%")
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_WORDS = frozenset(("true", "false", "null"))


class PartKind(StrEnum):
    CHOICE = "choice"
    """`a ? b : c`; its parts are these three."""
    OR = "or"
    """`a || b || c`, however many."""
    AND = "and"
    NOT = "not"
    RELATION = "relation"
    """A comparison, or `in`; its parts are the two sides."""
    VALUE = "value"
    """Anything else that may differ from call to call."""
    LITERAL = "literal"
    """A number, a text, true, false or null."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a condition. `start` and `end` are offsets in its text; brackets around a part are not in it."""

    kind: PartKind
    start: int
    end: int
    parts: tuple["Part", ...] = ()


def parse(source: str) -> Part:
    """Return the whole of a condition as a part."""
    reader = _Reader(tokens(source))
    return reader.choice()


@dataclass(slots=True)
class _Reader:
    """Reads one token after the other. Whatever CEL would refuse is read as some part all the same."""

    parts: Sequence[Token]
    at: int = 0

    def choice(self) -> Part:
        begins = self._here
        condition = self._either()
        if not self._takes("?"):
            return condition
        then = self._either()
        self._takes(":")
        otherwise = self.choice()
        return Part(PartKind.CHOICE, begins, self._before, (condition, then, otherwise))

    def _either(self) -> Part:
        return self._joined("||", PartKind.OR, self._both)

    def _both(self) -> Part:
        return self._joined("&&", PartKind.AND, self._relation)

    def _joined(self, operator: str, kind: PartKind, read: Callable[[], Part]) -> Part:
        begins = self._here
        found = [read()]
        while self._takes(operator):
            found.append(read())
        return found[0] if len(found) == 1 else Part(kind, begins, self._before, tuple(found))

    def _relation(self) -> Part:
        begins = self._here
        left = self._sum()
        while self._next in _RELATIONS:
            self.at += 1
            right = self._sum()
            left = Part(PartKind.RELATION, begins, self._before, (left, right))
        return left

    def _sum(self) -> Part:
        """Return one operand of a comparison: arithmetic of any kind is one value."""
        begins = self._here
        first = self._unary()
        if self._next not in _ARITHMETIC:
            return first
        while self._next in _ARITHMETIC:
            self.at += 1
            self._unary()
        return Part(PartKind.VALUE, begins, self._before)

    def _unary(self) -> Part:
        begins = self._here
        if self._takes("!"):
            negated = self._unary()
            return Part(PartKind.NOT, begins, self._before, (negated,))
        if self._takes("-"):
            kind = self._unary().kind
            return Part(kind if kind is PartKind.LITERAL else PartKind.VALUE, begins, self._before)
        return self._member()

    def _member(self) -> Part:
        """Return a name, a literal, something in brackets, or what is selected from one of these."""
        begins = self._here
        found = self._primary()
        selected = False
        while self._next in (".", "(", "[", "{"):
            selected = True
            if self._takes("."):
                self._takes("?")
                self.at += 1
            else:
                self._skip()
        return Part(PartKind.VALUE, begins, self._before) if selected else found

    def _primary(self) -> Part:
        begins = self._here
        if self._takes("("):
            inner = self.choice()
            self._takes(")")
            return inner
        if self._next in ("[", "{"):
            self._skip()
            return Part(PartKind.VALUE, begins, self._before)
        self._takes(".")
        token = self.parts[self.at] if self.at < len(self.parts) else None
        self.at += 1
        literal = token is not None and (token.kind in ("string", "number") or token.text in _WORDS)
        return Part(PartKind.LITERAL if literal else PartKind.VALUE, begins, self._before)

    def _skip(self) -> None:
        """Move behind the bracket that closes the next one."""
        waiting: list[str] = []
        while self.at < len(self.parts):
            text = self._next
            self.at += 1
            if text in _CLOSING:
                waiting.append(_CLOSING[text])
            elif waiting and text == waiting[-1]:
                waiting.pop()
                if not waiting:
                    return

    def _takes(self, text: str) -> bool:
        if self._next != text:
            return False
        self.at += 1
        return True

    @property
    def _next(self) -> str:
        return self.parts[self.at].text if self.at < len(self.parts) else ""

    @property
    def _here(self) -> int:
        return self.parts[self.at].start if self.at < len(self.parts) else self._before

    @property
    def _before(self) -> int:
        """Where the last token that was read ends."""
        return self.parts[min(self.at, len(self.parts)) - 1].end if self.parts else 0
