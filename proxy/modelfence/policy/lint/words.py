"""Texts that a fact can never be: words of a closed set that are misspelt, and codes of no country or subdivision.

They are found by what stands next to the name of a fact, also within the macros of a condition.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modelfence.core.countries import COUNTRIES, KOSOVO
from modelfence.core.facts import FACTS, FactType
from modelfence.document import Node, did_you_mean
from modelfence.policy.lint.meaning import constant_of
from modelfence.policy.lint.names import Name, items_from, names, text_at, without_needless_brackets
from modelfence.policy.lint.subjects import Notes, Subject, Subjects
from modelfence.policy.tokens import Token, tokens

_COUNTRY = ("client.country", "client.registered_country", "kyc.country", "kyc.ownership", "account.recent_countries")
_REGION = "client.region"
_CLOSED = {fact.name: fact.values for fact in FACTS if fact.values}
_STRINGS = frozenset(fact.name for fact in FACTS if fact.type is FactType.STRINGS)
_LISTS = _STRINGS | {"kyc.ownership"}
_USUAL = {"UK": "GB", "EL": "GR", "BU": "MM", "TP": "TL", "ZR": "CD"}
"""Codes that are written for those of ISO 3166-1: reserved, withdrawn, or the European Union's own."""
_REGION_CODE = re.compile(r"([A-Z]{2})-[A-Z0-9]{1,3}")
_OWNED_BY = "kyc.owned_by."
_LIST = "lists."
# Behind a name or a text these make another value of it; before it a sum alone does.
_SELECTS = frozenset((".", "[", "("))
_SUM = "+"
_GOES_ON = _SELECTS | {_SUM}


@dataclass(frozen=True, slots=True)
class _Wrong:
    code: str
    message: str
    hint: str | None


def warn_of_words(subject: Subject, notes: Notes) -> list[tuple[int, int]]:
    """Warn of wrong texts in a rule's expressions; return where they stand in its condition."""
    spans = []
    for node in subject.expressions():
        for path, token in _compared(node.text() or ""):
            text = constant_of(token.text) if isinstance(token, Token) else None
            if isinstance(token, Token) and isinstance(text, str) and (wrong := _wrong(path, text)):
                notes.within(node, (token.start, token.end), wrong.code, wrong.message, wrong.hint)
                if subject.condition and node == subject.condition.node:
                    spans.append((token.start, token.end))
    return spans


def warn_of_listed_words(subjects: Subjects, lists: Mapping[str, Node], notes: Notes) -> None:
    """Warn of wrong texts in the lists that conditions compare with a fact.

    A list that is compared with several may hold texts for each of them.
    """
    compared: dict[str, dict[str, None]] = {}
    for subject in subjects.rules:
        for node in subject.expressions():
            for path, name in _compared(node.text() or ""):
                if isinstance(name, str):
                    compared.setdefault(name, {}).setdefault(path)
    for name, paths in compared.items():
        for item in lists[name].items() if name in lists else ():
            found = [_wrong(path, item.text() or "") for path in paths]
            if (wrong := found[0]) and all(found):
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


def _compared(source: str) -> Iterator[tuple[str, Token | str]]:
    """Yield what is compared with each name, looked for in it, or taken out of it: a text, or a list by its name."""
    parts = without_needless_brackets(tokens(source))
    found = [_item_of(parts, one) for one in names(parts)]
    by_start, by_end = {one.at: one for one in found}, {one.end: one for one in found}
    for one in found:
        if one.path.startswith(_OWNED_BY):
            yield "kyc.country", one.path.removeprefix(_OWNED_BY)
        elif not one.path.startswith(_LIST):
            for at in _operands(parts, one):
                name = by_start.get(at) or by_end.get(at + 1)
                if name is None or text_at(parts, name.end) not in _SELECTS:
                    yield from ((one.path, operand) for operand in _operand(parts, at, name))


def _item_of(parts: Sequence[Token], one: Name) -> Name:
    """Return a name with the place of an item behind it, as in `account.recent_countries[0]`, as one name."""
    if one.path not in _STRINGS or text_at(parts, one.end) != "[" or text_at(parts, one.end + 2) != "]":
        return one
    return replace(one, end=one.end + len("[0]"))


def _operands(parts: Sequence[Token], one: Name) -> Iterator[int]:
    """Yield the tokens at which what is compared with a name begins or, before it, ends."""
    before, after = text_at(parts, one.at - 1), text_at(parts, one.end)
    behind = text_at(parts, one.end + 2)
    if after in ("==", "!=") and before != _SUM and (behind not in _GOES_ON or parts[one.end + 1].kind == "name"):
        yield one.end + 1
    sought = before == "in" and one.path in _LISTS
    if (before in ("==", "!=") or sought) and after not in _GOES_ON and text_at(parts, one.at - 3) != _SUM:
        yield one.at - 2
    if after == "[" and one.path in _LISTS and behind == "]":
        yield one.end + 1
    if after == "in" and before != _SUM:
        yield one.end + 1


def _operand(parts: Sequence[Token], at: int, name: Name | None) -> Iterator[Token | str]:
    """Yield the texts and lists that an operand stands for."""
    if name is not None:
        yield from name.items
        if name.path.startswith(_LIST):
            yield name.path.removeprefix(_LIST)
    elif text_at(parts, at) == "[":
        yield from items_from(parts, at)
    elif 0 <= at < len(parts) and parts[at].kind == "string":
        yield parts[at]
