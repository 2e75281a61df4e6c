"""Reading the settings of a candidate: a policy beside the live one, and the share of accounts for which it acts."""

import re
from collections.abc import Mapping
from pathlib import Path

from modelfence.core.keys import Text
from modelfence.core.problem import Problem
from modelfence.document import Node

KEYS = ("candidate", "canary")
PERCENT = Text(r"(100(?:\.0{1,4})?|[0-9]{1,2}(?:\.[0-9]{1,4})?) ?%", examples=("5 %",))


def percent_in(node: Node, _: Path) -> float | None:
    """Return a percentage from 0 to 100, of up to four decimals."""
    value = node.text()
    if value is None:
        return None
    match = re.fullmatch(str(PERCENT.pattern), value)
    if match is None:
        hint = f"did you mean `{value} %`?" if PERCENT.admits(f"{value}%") else None
        node.problem("bad-percentage", f"a percentage like 5 % is expected here, not `{value}`", hint=hint)
        return None
    return float(match[1])


def without_candidate(values: Mapping[str, object], nodes: Mapping[str, Node]) -> list[Problem]:
    """Return what is wrong with a canary that has nothing to try; `nodes` is where each value stands."""
    if not values.get("canary") or "candidate" in values:
        return []
    node, words = nodes["canary"], "a canary needs a candidate to try: give `candidate: policies/next.yaml`"
    return [Problem(node.document.path, node.line, node.column, "no-candidate", words)]
