"""An explanation as JSON. The names are a contract: they are written down in the documentation."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from modelfence.core.dialect import Answer
from modelfence.core.policy import Evaluated, Unknown
from modelfence.workbench.explaining.explanation import Explanation, FactExplained, RuleRole, ThrottleExplained
from modelfence.workbench.explaining.values import cut

_LONGEST_BODY = 100_000


def as_json(explanation: Explanation) -> dict[str, object]:
    """Return an explanation in values that JSON has. Every name is always there."""
    return {
        "answer": explanation.answer,
        "effect": explanation.effect,
        "would": explanation.would,
        "unknown": list(explanation.unknown),
        "retry_after": None if explanation.retry_after_us is None else explanation.retry_after_us / 1_000_000,
        "policy": explanation.policy_hash,
        "about": dict(explanation.about),
        "told": None if explanation.told is None else _told(explanation.told),
        "changes": list(explanation.changes),
        "rules": [_rule(rule) for rule in explanation.rules],
        "throttles": [_throttle(one) for one in explanation.throttles],
        "facts": [_fact(fact) for fact in explanation.facts],
        "notes": list(explanation.notes),
    }


def _told(answer: Answer) -> dict[str, object]:
    text = answer.body.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = cut(text, _LONGEST_BODY)
    return {"status": answer.status, "headers": [list(header) for header in answer.headers], "body": body}


def _rule(rule: RuleRole) -> dict[str, object]:
    one = rule.explained
    return {
        "id": one.rule.id,
        "kind": one.rule.kind,
        "shadow": one.rule.shadow,
        "role": rule.role,
        "applies": one.applies,
        "then": rule.then,
        "unknown": None if one.unknown is None else _unknown(one.unknown),
        "missing": list(rule.missing),
        "place": rule.place,
        "description": one.rule.description,
        "expressions": {key: evaluated_as_json(evaluated) for key, evaluated in one.expressions.items()},
    }


def evaluated_as_json(part: Evaluated) -> dict[str, object]:
    """Return a part of an expression, with those it is made of."""
    return {
        "source": part.source,
        "start": part.start,
        "end": part.end,
        "kind": part.kind,
        "value": None if isinstance(part.value, Unknown) else plain(part.value),
        "unknown": _unknown(part.value) if isinstance(part.value, Unknown) else None,
        "parts": [evaluated_as_json(inner) for inner in part.parts],
    }


def _unknown(unknown: Unknown) -> dict[str, object]:
    return {"facts": list(unknown.facts), "reason": unknown.reason}


def _throttle(one: ThrottleExplained) -> dict[str, object]:
    return {
        "rule": one.rule,
        "state": one.state,
        "key": one.key,
        "unit": one.unit,
        "amount": one.amount,
        "burst": one.burst,
        "rate": one.rate,
        "left": one.left,
        "wait": None if one.wait_us is None else one.wait_us / 1_000_000,
        "shadow": one.shadow,
    }


def _fact(fact: FactExplained) -> dict[str, object]:
    return {
        "name": fact.name,
        "value": plain(fact.value),
        "known": fact.value is not None,
        "logged": fact.is_logged,
        "origin": fact.source.origin,
        "source": fact.source.words,
        "read_by": list(fact.read_by),
    }


def plain(value: object) -> object:
    """Return a value as JSON has it: a time in RFC 3339, a duration in seconds."""
    match value:
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%S.%f}Z"
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case str() | bool() | int() | float() | None:
            return value
        case Sequence():
            return [plain(one) for one in value]
        case _:
            return str(value)
