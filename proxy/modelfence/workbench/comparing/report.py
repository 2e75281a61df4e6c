"""A comparison under the names that `--format json` prints; docs/comparing.md explains them."""

from collections.abc import Mapping
from typing import Any

from modelfence.workbench.comparing.changes import Change, Grounds, Pair
from modelfence.workbench.comparing.comparison import Comparison, Grouped, Recorded, Side
from modelfence.workbench.comparing.edits import KeyEdit, PolicyEdits
from modelfence.workbench.comparing.reasons import MOST_ACCOUNTS, Example, ReasonCount
from modelfence.workbench.comparing.rows import Row

MOST_ROWS = 1_000
"""So many accounts, models … are in the report, those that change most; the others are put together."""

type Json = Mapping[str, Any]


def as_json(comparison: Comparison) -> Json:
    """Return all figures."""
    return {
        "old": _side(comparison.old),
        "new": _side(comparison.new),
        "recording": _recorded(comparison.recorded),
        "policy_changes": policy_changes(comparison.edits),
        "newly_refused": comparison.newly_refused,
        "changes": {change: comparison.changes.get(change, 0) for change in Change},
        "rules": [
            {
                "change": one.change,
                "effect": one.effect,
                "rule": one.rule,
                "requests": one.requests,
                "alone": one.alone,
            }
            for one in comparison.rules()
        ],
        "reasons": [_reason(one) for one in comparison.reasons],
        "without_reason": comparison.untold,
        "by": {name: _grouped(grouped) for name, grouped in comparison.by.items()},
        "over_time": {
            "step_s": comparison.step_us // 1_000_000,
            "steps": [{"ts": at_us / 1_000_000, **_counts(row)} for at_us, row in comparison.timeline],
        },
    }


def policy_changes(edits: PolicyEdits) -> Json:
    """Return what differs between the policies as they are written."""
    return {
        "keys": [_key(one) for one in edits.keys],
        "lists": [
            {"name": one.name, "edit": one.edit, "added": one.added, "removed": one.removed} for one in edits.lists
        ],
        "rules": [
            {
                "id": one.id,
                "kind": one.kind,
                "edit": one.edit,
                "old_id": one.old_id,
                "keys": [_key(key) for key in one.keys],
            }
            for one in edits.rules
        ],
    }


def line_of(pair: Pair) -> Json:
    """Return a request that fares otherwise, for a line of its own."""
    judged = pair.new.judged
    decisions = {"old": pair.old.judged.decision, "new": judged.decision}
    return {
        "n": pair.new.n,
        "ts": pair.new.line.at_us / 1_000_000,
        "account": judged.account.id if judged.account else None,
        "changes": pair.changes,
        **{
            which: {
                "effect": decision.effect,
                "rules": decision.rules,
                "unknown": decision.unknown,
                "retry_after": decision.retry_after,
            }
            for which, decision in decisions.items()
        },
    }


def _side(side: Side) -> Json:
    return {
        "policy": side.path,
        "hash": side.hash,
        "mode": side.mode,
        "as_enforced": side.as_enforced,
        "effects": dict(side.effects),
        "would": dict(side.would),
    }


def _recorded(recorded: Recorded) -> Json:
    return {
        "lines": recorded.lines,
        "broken": recorded.broken,
        "late": recorded.late,
        "rejected": recorded.rejected,
        "redacted": recorded.redacted,
        "first_ts": None if recorded.first_us is None else recorded.first_us / 1_000_000,
        "last_ts": None if recorded.last_us is None else recorded.last_us / 1_000_000,
    }


def _key(edit: KeyEdit) -> Json:
    return {"key": edit.key, "old": edit.old, "new": edit.new}


def _reason(count: ReasonCount) -> Json:
    reason = count.reason
    return {
        "change": reason.change,
        "old": _grounds(reason.old),
        "new": _grounds(reason.new),
        "requests": count.requests,
        "accounts": len(count.accounts),
        "more_accounts": len(count.accounts) == MOST_ACCOUNTS,
        "examples": [_example(one) for one in count.examples],
    }


def _grounds(grounds: Grounds) -> Json:
    return {"effect": grounds.effect, "because": grounds.because, "unknown": grounds.unknown}


def _example(example: Example) -> Json:
    return {
        "n": example.n,
        "ts": example.at_us / 1_000_000,
        "account": example.account,
        "tier": example.tier,
        "country": example.country,
        "provider": example.provider,
        "operation": example.operation,
        "model": example.model,
        "label": example.label or None,
        "retry_after": None if example.retry_after_us is None else example.retry_after_us / 1_000_000,
    }


def _grouped(grouped: Grouped) -> Json:
    rest = Row("")
    for row in grouped.rows[MOST_ROWS:]:
        rest.take_in(row)
    if grouped.others is not None:
        rest.take_in(grouped.others)
    return {
        "rows": [{"value": row.value, **_counts(row)} for row in grouped.rows[:MOST_ROWS]],
        "others": _counts(rest) if rest.requests else None,
        "is_exact": grouped.others is None,
    }


def _counts(row: Row) -> Json:
    return {
        "requests": row.requests,
        "old_let_in": row.old_let_in,
        "new_let_in": row.new_let_in,
        **{change: row.changes[change] for change in Change},
    }
