"""Rules that change nothing, because others already do what they do or refuse whatever they are about.

A file is judged by what it holds and includes: a pack that is shadowed by a rule of whoever includes it is right by
itself, and its author can't know. A deny that has words of its own for the caller is not needless either.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import permutations

from modelfence.core.policy import ReshapeRule, Rule, RuleKind
from modelfence.policy.lint.claims import Reasoning, Truth
from modelfence.policy.lint.subjects import Entry, Notes, Subject, Subjects

# When a rule of a kind acts, and when it does not.
_ACTS = {
    RuleKind.DENY: (Truth.NOT_FALSE, Truth.FALSE),
    RuleKind.ALLOW: (Truth.TRUE, Truth.NOT_TRUE),
    RuleKind.RESHAPE: (Truth.NOT_FALSE, Truth.FALSE),
    RuleKind.THROTTLE: (Truth.NOT_FALSE, Truth.FALSE),
}
_LIKEWISE = {
    RuleKind.DENY: "every call it refuses is refused by {other} as well",
    RuleKind.ALLOW: "every call it lets in is let in by {other} as well",
    RuleKind.RESHAPE: "all it does is done by {other} as well",
}
_REFUSED = {
    RuleKind.ALLOW: "every call it would let in is refused by {other}",
    RuleKind.RESHAPE: "every call it is about is refused by {other}",
    RuleKind.THROTTLE: "every call it is about is refused by {other}",
}


def warn_of_needless_rules(subjects: Subjects, notes: Notes, settled: AbstractSet[str]) -> None:
    """Warn of rules that can't matter. Those whose ids are `settled` were told about, and are not compared."""
    rules = [subject for subject in subjects.rules if subject.rule.id not in settled]
    needless: set[str] = set()
    for kind, words in _LIKEWISE.items():
        alike = [subject for subject in rules if subject.rule.kind is kind]
        order = {subject.rule.id: n for n, subject in enumerate(alike)}
        for one, other in _later_first(alike):
            if not {one.rule.id, other.rule.id} & needless and _is_shadowed(one, other, subjects, order):
                needless.add(one.rule.id)
                _warn(one, "shadowed-rule", words.format(other=other.place), notes)
    denies = [subject for subject in rules if subject.rule.kind is RuleKind.DENY]
    for one in rules:
        if one.rule.kind in _REFUSED and one.rule.id not in needless:
            deny = next((deny for deny in denies if _is_refused(one, deny, subjects)), None)
            if deny is not None:
                _warn(one, "refused-anyway", _REFUSED[one.rule.kind].format(other=deny.place), notes)


def _later_first(alike: Sequence[Subject]) -> Iterator[tuple[Subject, Subject]]:
    """Yield each two, the later as the one that may be needless before the earlier."""
    yield from permutations(reversed(alike), 2)


def _warn(one: Subject, code: str, words: str, notes: Notes) -> None:
    node = one.condition.node if one.condition else one.written.keys["id"]
    notes.at(node, code, f"`{one.rule.id}` changes nothing: {words}")


def _is_shadowed(one: Subject, other: Subject, subjects: Subjects, order: Mapping[str, int]) -> bool:
    # A rule in shadow beside a wider one that is enforced may be tried to take its place.
    if one.rule.shadow is not other.rule.shadow or not subjects.reaches(one.file, other.file):
        return False
    if one.rule.kind is RuleKind.DENY and _speaks(one, other, order):
        return False
    if not _covers(other.entry, one.entry):
        return False
    acts, rests = _ACTS[one.rule.kind]
    return _never_both(one, acts, other, rests, subjects.reasoning)


def _covers(other: Entry, one: Entry) -> bool:
    """Say whether what a reshape changes is changed by the other as well. Access rules have but one thing to do."""
    if isinstance(one, ReshapeRule) and isinstance(other, ReshapeRule):
        return one.reshaping | other.reshaping == other.reshaping
    return True


def _is_refused(one: Subject, deny: Subject, subjects: Subjects) -> bool:
    """Say whether a deny refuses all that another rule is about. What it refuses in shadow goes on."""
    if deny.rule.shadow and (one.rule.kind is not RuleKind.ALLOW or not one.rule.shadow):
        return False
    acts, _ = _ACTS[one.rule.kind]
    return subjects.reaches(one.file, deny.file) and _never_both(one, acts, deny, Truth.FALSE, subjects.reasoning)


def _speaks(one: Subject, other: Subject, order: Mapping[str, int]) -> bool:
    """Say whether the caller may get to read words of the one that the other does not have.

    He is told the message of the first rule that has one.
    """
    if one.rule.message is None or _told(one.rule) == _told(other.rule):
        return False
    return other.rule.message is None or order[one.rule.id] < order[other.rule.id]


def _told(rule: Rule) -> tuple[str | None, str | None]:
    return rule.message, rule.help_url


def _never_both(one: Subject, first: Truth, other: Subject, second: Truth, reasoning: Reasoning) -> bool:
    """Say whether two conditions never have these outcomes together. A rule without a condition always applies."""
    if other.condition is None:
        return True
    if one.condition is None:
        return reasoning.impossible((other.condition.meaning, second))
    if one.condition.terms.isdisjoint(other.condition.terms):
        return False  # conditions on different things never follow from one another
    return reasoning.impossible((one.condition.meaning, first), (other.condition.meaning, second))
