"""Texts that a fact can never be: words of a closed set that are misspelt, and codes of no country or subdivision.

They are found by what stands next to the name of a fact, also within the macros of a condition.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modelfence.core.countries import COUNTRIES, KOSOVO
from modelfence.core.facts import FACTS, FactType
from modelfence.document import Node, did_you_mean
from modelfence.policy.lint.meaning import constant_of
from modelfence.policy.lint.subjects import Notes, Subject, Subjects
from modelfence.policy.tokens import Token, tokens

_COUNTRY = ("client.country", "client.registered_country", "kyc.country", "kyc.ownership", "account.recent_countries")
_REGION = "client.region"
_CLOSED = {fact.name: fact.values for fact in FACTS if fact.values}
_LISTS = frozenset(fact.name for fact in FACTS if fact.type is FactType.STRINGS) | {"kyc.ownership"}
_USUAL = {"UK": "GB", "EL": "GR", "BU": "MM", "TP": "TL", "ZR": "CD"}
"""Codes that are written for those of ISO 3166-1: reserved, withdrawn, or the European Union's own."""
_REGION_CODE = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")
_OWNED_BY = "kyc.owned_by."
# Behind a name or a text these make another value of it; before it a sum alone does.
_GOES_ON = frozenset((".", "[", "(", "+"))
_SUM = "+"


@dataclass(frozen=True, slots=True)
class _Wrong:
    code: str
    message: str
    hint: str | None


def warn_of_words(subject: Subject, notes: Notes) -> list[tuple[int, int]]:
    """Warn of wrong texts in a rule's expressions; return where they stand in its condition."""
    spans = []
    for node in subject.expressions():
        for fact, token in _beside_facts(node.text() or ""):
            text = constant_of(token.text)
            if isinstance(text, str) and (wrong := _wrong(fact, text)):
                notes.within(node, (token.start, token.end), wrong.code, wrong.message, wrong.hint)
                if subject.condition and node == subject.condition.node:
                    spans.append((token.start, token.end))
    return spans


def warn_of_listed_words(subjects: Subjects, lists: Mapping[str, Node], notes: Notes) -> None:
    """Warn of wrong texts in the lists that conditions compare with a fact."""
    compared: dict[str, str] = {}
    for subject in subjects.rules:
        for node in subject.expressions():
            for name, fact in _compared_lists(tokens(node.text() or "")):
                compared.setdefault(name, fact)
    for name, fact in compared.items():
        for item in lists[name].items() if name in lists else ():
            if wrong := _wrong(fact, item.text() or ""):
                notes.at(item, wrong.code, wrong.message, wrong.hint)


def _wrong(fact: str, text: str) -> _Wrong | None:
    if fact in _COUNTRY and text not in COUNTRIES and text != KOSOVO:
        message = f"no country has the code `{text}` in ISO 3166-1" if text else "no country has an empty code"
        return _Wrong("unknown-country", message, _hint_for_country(text))
    if fact == _REGION and not ((code := _REGION_CODE.fullmatch(text)) and code[1] in COUNTRIES):
        return _Wrong("unknown-region", f"`{text}` is no subdivision as ISO 3166-2 writes them", _hint_for_region(text))
    if fact in _CLOSED and text not in _CLOSED[fact]:
        options = _CLOSED[fact]
        hint = did_you_mean(text, options) or f"one of {', '.join(f'`{option}`' for option in options)}"
        return _Wrong("impossible-value", f"`{fact}` {'never holds' if fact in _LISTS else 'is never'} `{text}`", hint)
    return None


def _hint_for_country(text: str) -> str | None:
    if not text:
        return "a country that could not be told is unknown, not empty"
    upper = text.strip().upper()
    code = _USUAL.get(upper, upper)
    if code in COUNTRIES:
        return f"did you mean `{code}`?"
    return None if len(upper) == len("NO") else "two letters stand for a country, as `NO`"


def _hint_for_region(text: str) -> str | None:
    written = re.sub(r"[^A-Z0-9]", "", text.upper())
    code = f"{written[:2]}-{written[2:]}"
    if (found := _REGION_CODE.fullmatch(code)) and found[1] in COUNTRIES:
        return f"did you mean `{code}`?"
    return "a country and a subdivision, as `UA-43`"


def _beside_facts(source: str) -> Iterator[tuple[str, Token]]:
    """Yield each text that is compared with a fact, looked for in one, or taken out of one."""
    parts = tokens(source)
    for fact, at, end in _facts(parts):
        before, after = _text(parts, at - 1), _text(parts, end)
        if after in ("==", "!=") and before != _SUM and _text(parts, end + 2) not in _GOES_ON:
            yield from ((fact, one) for one in parts[end + 1 : end + 2] if one.kind == "string")
        if before in ("==", "!=") and after not in _GOES_ON and _text(parts, at - 3) != _SUM:
            yield from ((fact, one) for one in parts[max(0, at - 2) : at - 1] if one.kind == "string")
        if before == "in" and fact in _LISTS and after not in _GOES_ON and _text(parts, at - 3) != _SUM:
            yield from ((fact, one) for one in parts[max(0, at - 2) : at - 1] if one.kind == "string")
        if after == "[" and fact in _LISTS and _text(parts, end + 2) == "]":
            yield from ((fact, one) for one in parts[end + 1 : end + 2] if one.kind == "string")
        if after == "in" and before != _SUM and _text(parts, end + 1) == "[":
            yield from ((fact, one) for one in _items(parts, end + 1))


def _items(parts: Sequence[Token], opening: int) -> Iterator[Token]:
    """Yield the items of a list that are nothing but a text."""
    closing = next((at for at in range(opening, len(parts)) if parts[at].text == "]"), opening)
    for at in range(opening + 1, closing):
        alone = parts[at - 1].text in ("[", ",") and parts[at + 1].text in (",", "]")
        if alone and parts[at].kind == "string":
            yield parts[at]


def _compared_lists(parts: Sequence[Token]) -> Iterator[tuple[str, str]]:
    """Yield each list that a fact is looked for in, with the fact; a share owned is that of countries."""
    for path, at, end in _paths(parts):
        if path.startswith(_OWNED_BY):
            yield path.removeprefix(_OWNED_BY), "kyc.country"
        listed = next((name for name, start, _ in _paths(parts) if start == end + 1), "")
        if _text(parts, end) == "in" and listed.startswith("lists.") and _text(parts, at - 1) != _SUM:
            yield listed.removeprefix("lists."), path


def _facts(parts: Sequence[Token]) -> Iterator[tuple[str, int, int]]:
    known = {*_CLOSED, *_COUNTRY, _REGION}
    return (found for found in _paths(parts) if found[0] in known)


def _paths(parts: Sequence[Token]) -> Iterator[tuple[str, int, int]]:
    """Yield each dotted name, and from which to which token it goes."""
    at = 0
    while at < len(parts):
        start = at
        at += 1
        if parts[start].kind == "name":
            while _text(parts, at) == "." and at + 1 < len(parts) and parts[at + 1].kind == "name":
                at += 2
            yield "".join(one.text for one in parts[start:at]), start, at


def _text(parts: Sequence[Token], at: int) -> str:
    return parts[at].text if 0 <= at < len(parts) else ""
