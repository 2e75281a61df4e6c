"""What differs between two policies as they are written, whatever traffic makes of it.

Rule: only what can change a decision, or what somebody reads, is a difference. Where a rule stands, in which file, and
how its condition is laid out is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from modelfence.core.bucket import PERIODS_US, Rate
from modelfence.core.charge import OnStoreFailure, Unit
from modelfence.core.policy import AccessRule, Mode, Policy, ReshapeRule, Rule, ThrottleRule
from modelfence.policy.keys import EXPRESSIONS
from modelfence.policy.tokens import tokens

_MODES = {False: Mode.ENFORCE, True: Mode.SHADOW}
_USUAL = {"mode": Mode.ENFORCE, "unit": Unit.REQUESTS, "on_store_failure": OnStoreFailure.DENY}
"""What is meant where nothing is written, and need not be said of a rule that is new or gone."""

type Written = Mapping[str, str]
"""The keys of a rule, with what stands there or what is meant where nothing does."""


class Edit(StrEnum):
    """What became of something between two policies."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True)
class KeyEdit:
    """One key that reads otherwise; None where it is not there."""

    key: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class ListEdit:
    """A list of words that holds others; one that is new or gone has all of them added or removed."""

    name: str
    edit: Edit
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleEdit:
    """A rule that is new, gone, written otherwise, or called otherwise and else the same."""

    id: str
    kind: str
    edit: Edit
    keys: tuple[KeyEdit, ...] = ()
    old_id: str | None = None
    """What it was called, when it is renamed."""


@dataclass(frozen=True, slots=True)
class PolicyEdits:
    """All that differs between two policies."""

    keys: tuple[KeyEdit, ...]
    """`mode` and `tiers`."""
    lists: tuple[ListEdit, ...]
    """By name; `extraction.exempt` is the last."""
    rules: tuple[RuleEdit, ...]
    """Removed ones first, then those added, renamed and changed, each in the order of the policy."""

    def __bool__(self) -> bool:
        return bool(self.keys or self.lists or self.rules)

    @property
    def renamed(self) -> Mapping[str, str]:
        """Return the new id by the old one of rules that are only called otherwise."""
        return {one.old_id: one.id for one in self.rules if one.old_id is not None}


def edits(old: Policy, new: Policy) -> PolicyEdits:
    """Return what differs between two policies."""
    heads = [{"mode": policy.mode, "tiers": ", ".join(policy.tiers)} for policy in (old, new)]
    # In shadow as a whole, each rule is: that need not be said of every one.
    with_mode = old.mode is new.mode is Mode.ENFORCE
    return PolicyEdits(
        _key_edits(*heads),
        (*_list_edits(old.lists, new.lists), *_exempt_edits(old.exempt, new.exempt)),
        _rule_edits(_rules_of(old, with_mode=with_mode), _rules_of(new, with_mode=with_mode)),
    )


def _list_edits(old: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]) -> list[ListEdit]:
    found = []
    for name in sorted({*old, *new}):
        edit = Edit.ADDED if name not in old else Edit.REMOVED if name not in new else Edit.CHANGED
        added, removed = _differences(old.get(name, ()), new.get(name, ()))
        if edit is not Edit.CHANGED or added or removed:
            found.append(ListEdit(name, edit, added, removed))
    return found


def _exempt_edits(old: Sequence[str], new: Sequence[str]) -> list[ListEdit]:
    added, removed = _differences(old, new)
    return [ListEdit("extraction.exempt", Edit.CHANGED, added, removed)] if added or removed else []


def _differences(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    before, after = set(old), set(new)
    return tuple(one for one in new if one not in before), tuple(one for one in old if one not in after)


type _Entry = AccessRule | ReshapeRule | ThrottleRule
type _Rules = Mapping[str, tuple[Rule, Written]]


def _rule_edits(old: _Rules, new: _Rules) -> tuple[RuleEdit, ...]:
    gone = {name: one for name, one in old.items() if name not in new}
    come = {name: one for name, one in new.items() if name not in old}
    renamed = _renamed(gone, come)
    removed = [
        RuleEdit(name, rule.kind, Edit.REMOVED, _key_edits(_unusual(written), {}))
        for name, (rule, written) in gone.items()
        if name not in renamed.values()
    ]
    added = [
        RuleEdit(name, rule.kind, Edit.ADDED, _key_edits({}, _unusual(written)))
        for name, (rule, written) in come.items()
        if name not in renamed
    ]
    called = [RuleEdit(name, come[name][0].kind, Edit.RENAMED, old_id=before) for name, before in renamed.items()]
    changed = [
        RuleEdit(name, rule.kind, Edit.CHANGED, keys)
        for name, (rule, written) in new.items()
        if name in old and (keys := _key_edits(old[name][1], written))
    ]
    return (*removed, *added, *called, *changed)


def _renamed(gone: _Rules, come: _Rules) -> Mapping[str, str]:
    """Return the old id by the new one of rules that are the same but for their id."""
    left = dict(gone)
    renamed = {}
    for name, (rule, written) in come.items():
        same = (
            old_name
            for old_name, (old_rule, old_written) in left.items()
            if old_rule.kind is rule.kind and not _key_edits(old_written, written)
        )
        if (before := next(same, None)) is not None:
            renamed[name] = before
            del left[before]
    return renamed


def _key_edits(old: Written, new: Written) -> tuple[KeyEdit, ...]:
    names = dict.fromkeys((*old, *new))
    pairs = [(name, old.get(name), new.get(name)) for name in names]
    return tuple(KeyEdit(*pair) for pair in pairs if not _is_same(*pair))


def _unusual(written: Written) -> Written:
    return {key: text for key, text in written.items() if text != _USUAL.get(key)}


def _is_same(key: str, old: str | None, new: str | None) -> bool:
    if old is None or new is None or key not in EXPRESSIONS:
        return old == new
    return [token.text for token in tokens(old)] == [token.text for token in tokens(new)]


def _rules_of(policy: Policy, *, with_mode: bool) -> _Rules:
    """Return the rules by id, denies first."""
    found: dict[str, tuple[Rule, Written]] = {}
    denies = [deny for group in policy.denies for deny in group.rules]
    entries: list[_Entry] = [*denies, *policy.allows, *policy.reshapes, *policy.throttles]
    for entry in entries:
        rule = entry.rule
        said: dict[str, str | None] = {
            **_body_of(entry),
            "mode": _MODES[rule.shadow] if with_mode else None,
            "message": rule.message,
            "help_url": rule.help_url,
            "description": rule.description,
        }
        found[rule.id] = (rule, {key: text for key, text in said.items() if text is not None})
    return found


def _body_of(entry: _Entry) -> Mapping[str, str | None]:
    if isinstance(entry, AccessRule):
        return {entry.rule.kind.value: entry.condition.source}
    when = entry.when.source if entry.when else None
    if isinstance(entry, ReshapeRule):
        caps = ", ".join(f"{name}: {most}" for name, most in sorted(entry.reshaping.cap.items()))
        removed, hidden = (", ".join(sorted(names)) for names in (entry.reshaping.remove, entry.reshaping.hide))
        return {"when": when, "remove": removed or None, "cap": caps or None, "hide": hidden or None}
    return {
        "when": when,
        "key": entry.key.source,
        "unit": entry.unit,
        "rate": _rate(entry.rate),
        "burst": f"{entry.rate.burst:.15g}",
        "cost": entry.cost.source if entry.cost else None,
        "on_store_failure": entry.on_store_failure,
    }


def _rate(rate: Rate) -> str:
    period = next(name for name, period_us in PERIODS_US.items() if period_us == rate.period_us)
    return f"{rate.amount:.15g} per {period}"
