"""Explanations of rules as a page shows them: a condition's text, and beneath it the parts with their values."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from modelfence.core.explanation import RuleExplained
from modelfence.core.policy import Evaluated, Policy, Unknown
from modelfence.policy.compile import Compiled
from modelfence.workbench.studio.workspace import Workspace

MAX_SHOWN = 200
"""Characters of a value."""
_TIER = re.compile(r"kyc\.tier|tier\.\w+")


def traced(explained: Sequence[RuleExplained], compiled: Compiled, workspace: Workspace) -> list[dict[str, object]]:
    """Return each rule: where it stands, whether it applies, and what its expressions came to."""
    policy = compiled.policy
    assert policy is not None  # noqa: S101 - it was explained
    shown: list[dict[str, object]] = []
    for one in explained:
        node = compiled.written[one.rule.id].node
        shown.append(
            {
                "id": one.rule.id,
                "kind": one.rule.kind,
                "shadow": one.rule.shadow,
                "description": one.rule.description,
                "message": one.rule.message,
                "file": workspace.id_of(node.document.path),
                "line": node.line,
                "applies": one.applies,
                "unknown": None if one.unknown is None else one.unknown.reason,
                "expressions": {key: _part(part, policy) for key, part in one.expressions.items()},
            }
        )
    return shown


def _part(part: Evaluated, policy: Policy) -> dict[str, object]:
    return {
        "source": part.source,
        "kind": part.kind,
        "state": _state(part.value),
        "value": _shown(part, policy),
        "parts": [_part(inner, policy) for inner in part.parts],
    }


def _state(value: object) -> str:
    if isinstance(value, Unknown):
        return "unknown"
    return str(value).lower() if isinstance(value, bool) else "value"


def _shown(part: Evaluated, policy: Policy) -> str:
    value = part.value
    if _TIER.fullmatch(part.source) and isinstance(value, int) and 0 <= value < len(policy.tiers):
        return policy.tiers[value]
    return shown_value(value)


def shown_value(value: object) -> str:
    """Return a value as CEL writes it, cut where it is long."""
    match value:
        case Unknown():
            text = value.reason
        case bool():
            text = str(value).lower()
        case datetime():
            text = value.isoformat(timespec="seconds")
        case str() | list() | tuple() | Mapping():
            text = json.dumps(value, ensure_ascii=False, default=str)
        case _:
            text = str(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"
