"""The names of a condition, with what the variables of its macros stand for.

In `account.recent_countries.exists(c, c == "GB")` the variable `c` is one of the fact's countries, and in
`lists.embargoed.exists(c, c == client.country)` one of a list's texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from modelfence.policy.functions import FUNCTIONS
from modelfence.policy.tokens import Token

_MACROS = frozenset(one.name for one in FUNCTIONS if one.has_variable)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_HOLDING = frozenset("()[].,")
"""Operators that make no other value of what they stand beside."""


@dataclass(frozen=True, slots=True)
class Name:
    """A dotted name that stands at the tokens from `at` to `end`."""

    path: str
    """What is named; of a variable, what it is one of, and empty where that has no name."""
    at: int
    end: int
    items: tuple[Token, ...] = ()
    """Of a variable, the list it is one of, where that is written out."""


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    end: int
    """The token at which its macro is closed."""
    path: str
    items: tuple[Token, ...]


def names(parts: Sequence[Token]) -> tuple[Name, ...]:
    """Return every name, in their order."""
    found: list[Name] = []
    variables: list[_Variable] = []
    at = 0
    while at < len(parts):
        start = at
        at += 1
        if parts[start].kind != "name":
            continue
        while text_at(parts, at) == "." and at + 1 < len(parts) and parts[at + 1].kind == "name":
            at += 2
        words = [part.text for part in parts[start:at:2]]
        known = next((one for one in reversed(variables) if one.name == words[0] and start < one.end), None)
        found.append(_name(words, start, at, known))
        if words[-1] in _MACROS and text_at(parts, at) == "(" and text_at(parts, at + 2) == ",":
            path, items = _range(parts, words, start, known)
            variables.append(_Variable(parts[at + 1].text, closing(parts, at), path, items))
            at += 3
    return tuple(found)


def without_needless_brackets(parts: Sequence[Token]) -> tuple[Token, ...]:
    """Return the tokens without brackets around what no operator is in, as in `(client.country) == ("UK")`."""
    needless: set[int] = set()
    for at, token in enumerate(parts):
        if token.text != "(" or _is_called(parts, at):
            continue
        end = closing(parts, at)
        if not any(one.text == "in" or (one.kind == "operator" and one.text not in _HOLDING) for one in parts[at:end]):
            needless |= {at, end}
    return tuple(token for at, token in enumerate(parts) if at not in needless)


def _is_called(parts: Sequence[Token], opening: int) -> bool:
    """Say whether a bracket holds the arguments of a function."""
    return opening > 0 and parts[opening - 1].kind == "name" and parts[opening - 1].text != "in"


def items_from(parts: Sequence[Token], opening: int) -> tuple[Token, ...]:
    """Return the items of a list written out that are nothing but a text."""
    end = closing(parts, opening)
    return tuple(
        parts[at]
        for at in range(opening + 1, end)
        if parts[at].kind == "string" and parts[at - 1].text in ("[", ",") and parts[at + 1].text in (",", "]")
    )


def closing(parts: Sequence[Token], opening: int) -> int:
    """Return which token closes the bracket at another."""
    waiting: list[str] = []
    for at in range(opening, len(parts)):
        text = parts[at].text
        if parts[at].kind == "operator" and text in _CLOSING:
            waiting.append(_CLOSING[text])
        elif waiting and text == waiting[-1]:
            waiting.pop()
            if not waiting:
                return at
    return len(parts)


def text_at(parts: Sequence[Token], at: int) -> str:
    """Return a token's text; nothing before the first and behind the last."""
    return parts[at].text if 0 <= at < len(parts) else ""


def _name(words: Sequence[str], start: int, end: int, variable: _Variable | None) -> Name:
    if variable is None:
        return Name(".".join(words), start, end)
    if len(words) > 1:
        return Name("", start, end)
    return Name(variable.path, start, end, variable.items)


def _range(
    parts: Sequence[Token], words: Sequence[str], start: int, variable: _Variable | None
) -> tuple[str, tuple[Token, ...]]:
    """Return what a macro goes over: its name, and its items where they are written out."""
    if len(words) > 1:
        return ("", ()) if variable else (".".join(words[:-1]), ())
    opening = next((at for at in range(start) if closing(parts, at) == start - 2 and text_at(parts, at) == "["), None)
    alone = opening is not None and text_at(parts, start - 1) == "."
    return "", items_from(parts, opening) if opening is not None and alone else ()
