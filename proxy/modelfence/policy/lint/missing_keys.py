"""Keys of maps that are asked for without asking first whether they are there.

A key that a map lacks is unknown, so that a deny about one label refuses everybody who does not have the label at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelfence.core.facts import FACTS, FactType
from modelfence.core.policy import RuleKind
from modelfence.policy.lint.meaning import constant_of
from modelfence.policy.lint.names import names, text_at
from modelfence.policy.lint.subjects import Notes, Subjects
from modelfence.policy.tokens import Token, tokens

_MAPS = frozenset(fact.name for fact in FACTS if fact.type in (FactType.TEXT_BY_NAME, FactType.SHARE_BY_COUNTRY))


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of a map that a condition names, at the offsets of its span."""

    of: str
    key: str
    selected: bool
    """It is written as a name is: `account.labels.plan`."""
    asked_about: bool
    """By `has(…)` or `in`, which are false of a key that is not there."""
    span: tuple[int, int]


def warn_of_missing_keys(subjects: Subjects, notes: Notes) -> None:
    """Warn of rules that apply where a map lacks a key: they ask for it, and not first whether it is there."""
    for subject in subjects.rules:
        if subject.condition is None or subject.rule.kind is RuleKind.ALLOW:
            continue
        keys = list(_keys(tokens(subject.condition.source)))
        told = {(one.of, one.key) for one in keys if one.asked_about}
        for one in keys:
            if (one.of, one.key) not in told:
                told.add((one.of, one.key))
                words = f"this is unknown where `{one.of}` has no `{one.key}`, and the rule may apply then"
                notes.within(subject.condition.node, one.span, "missing-map-key", words, _hint(one))


def _hint(one: _Key) -> str:
    asked = f"has({one.of}.{one.key})" if one.selected else f'"{one.key}" in {one.of}'
    return f"ask first whether it is there, as in `{asked} && …`"


def _keys(parts: Sequence[Token]) -> Iterator[_Key]:
    for one in names(parts):
        of = next((name for name in _MAPS if one.path == name or one.path.startswith(f"{name}.")), None)
        if of is None:
            continue
        behind = one.at + _tokens_of(of)
        if one.path == of:
            yield from _in_brackets(of, parts, one.at, behind)
        elif not (
            behind + len(".k") == one.end and text_at(parts, one.end) == "("
        ):  # that is what is done with the map
            key, asked = parts[behind + 1], text_at(parts, one.at - 2) == "has"
            yield _Key(of, key.text, selected=True, asked_about=asked, span=(parts[one.at].start, key.end))


def _in_brackets(of: str, parts: Sequence[Token], at: int, behind: int) -> Iterator[_Key]:
    """Yield the key of `account.labels["plan"]`, and of `"plan" in account.labels`."""
    if text_at(parts, behind) == "[" and text_at(parts, behind + 2) == "]":
        key = constant_of(parts[behind + 1].text)
        if isinstance(key, str):
            yield _Key(of, key, selected=False, asked_about=False, span=(parts[at].start, parts[behind + 2].end))
    elif text_at(parts, at - 1) == "in":
        key = constant_of(text_at(parts, at - 2))
        if isinstance(key, str):
            yield _Key(of, key, selected=False, asked_about=True, span=(parts[at].start, parts[at].end))


def _tokens_of(path: str) -> int:
    return 2 * path.count(".") + 1
