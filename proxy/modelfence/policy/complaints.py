"""CEL's own complaints, in the words and at the places of the policy's author.

The library says everything in one text: blocks of `ERROR: <input>:LINE:COLUMN: sentence`, each followed by an excerpt.
A sentence is turned into a code, plain words and the span of the offending token.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelfence.document import did_you_mean
from modelfence.policy.functions import ELSEWHERE, FUNCTIONS
from modelfence.policy.tokens import Place, Token, place_of, tokens

_FUNCTIONS = {function.name: function for function in FUNCTIONS}
_LIKE = {word.lower(): name for name in _FUNCTIONS for word in (name, *ELSEWHERE.get(name, ()))}

MAX_SHOWN = 60
"""Characters of the author's text that a sentence repeats."""
MOST_FORMS = 4
"""Of a function, that a hint shows."""

_BLOCK = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?: \[[A-Z_]+\])?$", re.MULTILINE)
_TOO_LARGE = re.compile(r"recursion|codepoint limit")
_PROTOBUF = re.compile(r"google\.protobuf\.(Timestamp|Duration)")
"""What CEL calls its own types `timestamp` and `duration`."""
_PAIRS = {
    frozenset(("int", "double")): "write whole numbers as `1.0`, or convert with `double(…)`",
    frozenset(("timestamp", "string")): 'a time is written `timestamp("2026-01-31T00:00:00Z")`',
    frozenset(("duration", "string")): 'a length of time is written `duration("24h")`',
}
"""Hints for two types that do not go together, whichever stands first."""
_OTHER_LANGUAGES = {"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||", "is": "=="}


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong with a condition, `offset` characters from its beginning."""

    offset: int
    length: int
    code: str
    message: str
    hint: str | None = None


def complaints(text: str, source: str, known: Iterable[str]) -> tuple[Complaint, ...]:
    """Return what CEL's text says about a condition; `known` are the names a condition may use."""
    if _TOO_LARGE.search(text):
        words = "this condition is nested too deep or too long"
        return (Complaint(0, len(source), "condition-too-large", words, "split it into several rules"),)
    parts = tokens(source)
    known = tuple(known)
    found: list[Complaint] = []
    for line, column, sentence in _BLOCK.findall(text):
        if "*error*" in sentence:  # it follows from another complaint
            continue
        offset = _offset(source, int(line), int(column))
        if sentence.startswith("Syntax error: "):  # those after it are mere consequences
            return (*found, _syntax(sentence.removeprefix("Syntax error: "), parts, offset))
        words = _PROTOBUF.sub(lambda name: name[1].lower(), sentence)
        found.append(_complaint(words, parts, offset, known))
    return tuple(found) or (Complaint(0, len(source), "condition-syntax", "this is not a condition CEL can read"),)


def _offset(source: str, line: int, column: int) -> int:
    before = source.split("\n")[: max(0, line - 1)]
    return min(len(source), sum(len(one) + 1 for one in before) + max(0, column - 1))


def _complaint(sentence: str, parts: Sequence[Token], offset: int, known: Sequence[str]) -> Complaint:
    if match := re.match(r"undeclared reference to '(.*)' \(in container", sentence):
        return _undeclared(match[1], parts, offset, known)
    if match := re.match(r"found no matching overload for '(.*)' applied to '\((.*)\)'", sentence):
        return _mismatch(match[1], match[2], parts, offset)
    if match := re.match(r"expression of type '(.*)' cannot be the operand of a select operation", sentence):
        place = _around(parts, offset)
        words = f"{with_article(match[1])} has no fields"
        function = _LIKE.get(_at(place, parts).lower())
        hint = f"did you mean `{function}()`?" if function else None
        return Complaint(place.start, place.end - place.start, "type-mismatch", words, hint)
    if match := re.match(r"expression of type '(.*)' cannot be the range of a comprehension", sentence):
        place = _around(parts, offset)
        words = f"{with_article(match[1])} has no items to look at"
        return Complaint(place.start, place.end - place.start, "type-mismatch", words)
    place = _around(parts, offset)
    words = sentence[:1].lower() + sentence[1:]
    return Complaint(place.start, place.end - place.start, "condition-syntax", words)


def _undeclared(name: str, parts: Sequence[Token], offset: int, known: Sequence[str]) -> Complaint:
    place = place_of(name, parts, near=offset) or Place(offset, offset + 1, called=False)
    length = place.end - place.start
    name = name.lstrip(".")
    if place.called and name in _FUNCTIONS:
        forms = " or ".join(f"`{form}`" for form in _FUNCTIONS[name].written[:MOST_FORMS])
        words = f"`{name}` does not take these arguments"
        return Complaint(place.start, length, "unknown-function", words, f"it is written {forms}")
    if place.called:
        words = f"unknown function `{name}`"
        return Complaint(place.start, length, "unknown-function", words, _function_like(name))
    for prefix, kind in (("lists.", "list"), ("tier.", "tier"), ("kyc.owned_by.", "list")):
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            others = [one.removeprefix(prefix) for one in known if one.startswith(prefix)]
            near = difflib.get_close_matches(rest, others, n=1)
            hint = f"did you mean `{prefix}{near[0]}`?" if near else None
            return Complaint(place.start, length, f"unknown-{kind}", f"unknown {kind} `{rest}`", hint)
    hint = _near(name, known) or (f'a text stands in quotes: `"{name}"`' if name.isidentifier() else None)
    return Complaint(place.start, length, "unknown-fact", f"unknown fact `{name}`", hint)


def _function_like(name: str) -> str | None:
    if re.search("lower|upper", name, re.IGNORECASE):
        return 'capital letters are passed over by `matches("(?i)…")`'
    if found := _LIKE.get(name.lower()):
        return f"did you mean `{found}`?"
    return did_you_mean(name, _FUNCTIONS)


def _near(name: str, known: Iterable[str]) -> str | None:
    """Return a hint, also where only the last part of a known name was written."""
    known = tuple(known)
    last_parts = {one.rpartition(".")[2]: one for one in known}
    if hint := did_you_mean(name, known):
        return hint
    near = difflib.get_close_matches(name, last_parts, n=1, cutoff=0.8)
    return f"did you mean `{last_parts[near[0]]}`?" if near else None


def _mismatch(function: str, types: str, parts: Sequence[Token], offset: int) -> Complaint:
    place = _around(parts, offset)
    name = re.sub(r"^@|_", "", function) if re.search(r"^@|_", function) else function
    name = {"[]": "[…]", "?:": "? :"}.get(name, name)
    words = f"`{name}` does not go with {_listed(types)}"
    return Complaint(place.start, place.end - place.start, "type-mismatch", words, _hint_for(name, types, parts))


def _hint_for(function: str, types: str, parts: Sequence[Token]) -> str | None:
    if function == "in" and types == "string, string":
        return "a part of a text is looked for by `text.contains(part)`"
    if function == "contains" and types.startswith("list("):
        return "an item of a list is looked for by `item in list`"
    if types in ("int, string", "string, int") and "tier" in [token.text for token in parts]:
        return "compare tiers with `tier.NAME`"
    return _PAIRS.get(frozenset(types.split(", ")))


def _listed(types: str) -> str:
    split = re.split(r", (?![^(]*\))", types)
    return " and ".join((", ".join(split[:-1]), split[-1])) if len(split) > 1 else split[0]


def with_article(type_name: str) -> str:
    """Return `an int`, `a string`."""
    return f"{'an' if type_name[:1] in 'aeiou' else 'a'} {type_name}"


def _at(place: Place, parts: Sequence[Token]) -> str:
    return next((token.text for token in parts if token.start == place.start), "")


def _around(parts: Sequence[Token], offset: int) -> Place:
    """Return the token at an offset; for the bracket of a call the name before it, for a dot the name after it."""
    for at, token in enumerate(parts):
        if token.start <= offset < token.end:
            before, after = parts[max(0, at - 1)], parts[min(at + 1, len(parts) - 1)]
            name = {"(": before, ".": after}.get(token.text, token)
            found = name if name.kind == "name" else token
            return Place(found.start, found.end, called=False)
    return Place(offset, offset + 1, called=False)


def _syntax(sentence: str, parts: Sequence[Token], offset: int) -> Complaint:
    if "<EOF>' expecting" in sentence or sentence.endswith("at '<EOF>'"):
        missing = re.match(r"missing '(.*)' at", sentence)
        words = f"the condition ends before `{missing[1]}`" if missing else "the condition ends too early"
        return Complaint(offset, 1, "condition-syntax", words)
    place = _around(parts, offset)
    piece = _at(place, parts)
    if piece in ("'", '"'):
        words = "this text is not closed, or holds an escape that CEL does not know"
        return Complaint(place.start, 1, "condition-syntax", words)
    shown = piece if len(piece) <= MAX_SHOWN else piece[:MAX_SHOWN] + "…"
    # `not` is a name to CEL: what it stumbles over is the word after it.
    before = next((token for token in reversed(parts) if token.end <= place.start), None)
    if before is not None and before.text == "not":
        place, shown = Place(before.start, before.end, called=False), "not"
    hint = f"CEL writes `{_OTHER_LANGUAGES[shown]}`" if shown in _OTHER_LANGUAGES else None
    words = f"`{shown}` is not expected here"
    return Complaint(place.start, place.end - place.start, "condition-syntax", words, hint)
