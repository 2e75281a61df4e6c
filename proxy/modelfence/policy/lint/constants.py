"""Conditions, and parts of them, that come to the same whatever the call is like."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from modelfence.core.policy import RuleKind
from modelfence.policy.complaints import MAX_SHOWN
from modelfence.policy.lint.claims import Reasoning, Truth
from modelfence.policy.lint.meaning import Meaning
from modelfence.policy.lint.situations import fact_of
from modelfence.policy.lint.subjects import Condition, Notes, Subject, Subjects
from modelfence.policy.syntax import PartKind

type Spans = Sequence[tuple[int, int]]

_NEVER = {
    RuleKind.DENY: "the rule refuses nothing",
    RuleKind.ALLOW: "the rule lets in nobody",
    RuleKind.RESHAPE: "the rule never applies",
    RuleKind.THROTTLE: "the rule never applies",
}
_ALWAYS = {
    RuleKind.DENY: "the rule refuses every call",
    RuleKind.ALLOW: "the rule lets in every caller that no deny refuses",
    RuleKind.RESHAPE: "the rule always applies, as it does without `when`",
    RuleKind.THROTTLE: "the rule always applies, as it does without `when`",
}


@dataclass(frozen=True, slots=True)
class _Settled:
    """A part of a condition that is never true, or never false."""

    meaning: Meaning
    is_true: bool


def warn_of_constants(subject: Subject, subjects: Subjects, notes: Notes, mended: Spans) -> bool:
    """Warn of what is never true or never false; say whether the whole condition is such.

    What lies around the spans of `mended` has its reason there and gets no warning of its own.
    """
    condition = subject.condition
    if condition is None:
        return False
    reasoning = subjects.reasoning
    whole = _settled(condition.meaning, reasoning)
    reason = None if whole is None else _reason(whole, reasoning)
    parts = list(_innermost(condition.meaning, reasoning))
    for part in parts if reason is None or reason in parts else (reason, *parts):
        span = part.meaning.part.start, part.meaning.part.end
        if _names_empty_list(part.meaning, condition.source[slice(*span)]) or any(
            span[0] <= start and end <= span[1] for start, end in mended
        ):
            continue
        code, words = _code(part), _words(part, condition.source, reasoning)
        if whole is not None and part == reason:
            code = _code_of_whole(whole, subject.rule.kind, code)
            words = f"{words}, so {_consequence(subject, condition, whole, reasoning)}"
        notes.within(condition.node, span, code, words, _hint(part.meaning, subjects))
    return whole is not None


def _names_empty_list(meaning: Meaning, text: str) -> bool:
    """Say whether an empty list is the reason, of which `lists` warns."""
    return meaning.relation is not None and not meaning.relation.constants and "lists." in text


def _code(part: _Settled) -> str:
    return "always-true" if part.is_true else "never-true"


def _code_of_whole(whole: _Settled, kind: RuleKind, code: str) -> str:
    return "allows-everything" if whole.is_true and kind is RuleKind.ALLOW else code


def _reason(whole: _Settled, reasoning: Reasoning) -> _Settled:
    """Return the smallest part that is enough for the whole to be settled."""
    meaning = whole.meaning
    match meaning.part.kind, whole.is_true:
        case (PartKind.NOT, is_true):
            return _reason(_Settled(meaning.parts[0], not is_true), reasoning)
        case (PartKind.OR, True) | (PartKind.AND, False):
            settled = (_settled(part, reasoning) for part in meaning.parts)
            enough = next((one for one in settled if one and one.is_true is whole.is_true), None)
            return _reason(enough, reasoning) if enough else whole
        case _:
            return whole


def _settled(meaning: Meaning, reasoning: Reasoning) -> _Settled | None:
    for truth, is_true in ((Truth.TRUE, False), (Truth.FALSE, True)):
        if reasoning.impossible((meaning, truth)):
            return _Settled(meaning, is_true)
    return None


def _innermost(meaning: Meaning, reasoning: Reasoning) -> Iterator[_Settled]:
    """Yield the smallest parts that are settled: what is around them follows."""
    inner = [found for part in meaning.parts for found in _innermost(part, reasoning)]
    if inner:
        yield from inner
    elif found := _settled(meaning, reasoning):
        yield found


def _consequence(subject: Subject, condition: Condition, whole: _Settled, reasoning: Reasoning) -> str:
    kind = subject.rule.kind
    if whole.is_true:
        # An allow that is not known to be true lets in nobody.
        doubt = kind is RuleKind.ALLOW and not reasoning.impossible((whole.meaning, Truth.NOT_TRUE))
        return f"{_ALWAYS[kind]}, unless {_unknown(condition)}" if doubt else _ALWAYS[kind]
    if kind is RuleKind.ALLOW or reasoning.impossible((whole.meaning, Truth.NOT_FALSE)):
        return _NEVER[kind]
    return f"the rule applies only while {_unknown(condition)}"


def _unknown(condition: Condition) -> str:
    doubtful = [term for term in condition.terms if not ((fact := fact_of(term)) and fact.always)]
    return f"{_quoted(doubtful[0])} is unknown" if len(doubtful) == 1 else "something it asks for is unknown"


def _words(part: _Settled, source: str, reasoning: Reasoning) -> str:
    meaning = part.meaning
    if meaning.part.kind is PartKind.LITERAL:
        return f"a constant stands here: `{str(part.is_true).lower()}`"
    if meaning.part.kind is (PartKind.OR if part.is_true else PartKind.AND):
        truth = Truth.FALSE if part.is_true else Truth.TRUE
        pairs = combinations(meaning.parts, 2)
        pair = next((two for two in pairs if reasoning.impossible((two[0], truth), (two[1], truth))), None)
        if pair is not None:
            first, second = (_quoted(source[one.part.start : one.part.end]) for one in pair)
            return (
                f"{first} or {second} is always true" if part.is_true else f"{first} and {second} are never both true"
            )
    text = _quoted(source[meaning.part.start : meaning.part.end])
    return f"{text} is {'always' if part.is_true else 'never'} true"


def _hint(meaning: Meaning, subjects: Subjects) -> str | None:
    """Return what the fact can be, where one comparison is the reason."""
    relation = meaning.relation
    fact = fact_of(relation.term) if relation else None
    if relation is None or fact is None:
        return None
    if relation.term == "kyc.tier":
        return f"the tiers are {', '.join(subjects.policy.tiers)}, lowest first"
    if fact.values:
        return f"it is one of {', '.join(fact.values)}"
    if fact.least is not None:
        return (
            f"it is {fact.least:g} or more" if fact.most is None else f"it is between {fact.least:g} and {fact.most:g}"
        )
    return None


def _quoted(text: str) -> str:
    plain = " ".join(text.split())
    return f"`{plain}`" if len(plain) <= MAX_SHOWN else f"`{plain[:MAX_SHOWN]}…`"
