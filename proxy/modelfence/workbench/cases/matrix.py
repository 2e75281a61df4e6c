"""The matrix of a case: every combination of its values, and the exceptions that expect something else of some."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelfence.core.keys import names, required
from modelfence.document import Node, did_you_mean
from modelfence.workbench.cases.expecting import read_expectation
from modelfence.workbench.cases.keys import EXCEPTION_KEYS
from modelfence.workbench.cases.model import Expectation
from modelfence.workbench.cases.reachable import FACT_NAMES, Reach

MOST_COMBINATIONS = 10_000

type Combination = Mapping[str, Node]
"""One value for each name of the matrix."""


@dataclass(frozen=True, slots=True)
class _Exception:
    node: Node
    when: Mapping[str, frozenset[str]]
    expectation: Expectation

    def matches(self, combination: Combination) -> bool:
        return all(written(combination[name]) in values for name, values in self.when.items())


def combinations(node: Node | None, check: Callable[[Node], bool]) -> Sequence[Combination]:
    """Return every combination, in the order written, one without values where there is no matrix.

    `check` is told the key of each name, and says False after noting a problem.
    """
    entries = _entries(node) if node else {}
    values = {name: one.items() for name, one in entries.items() if node and check(node.key_node(name))}
    for name, items in values.items():
        if not items and entries[name].is_list:
            entries[name].problem("empty-value", f"no value is given for `{name}`")
        _check_differ(items)
    count = math.prod(len(items) for items in values.values())
    if node and count > MOST_COMBINATIONS:
        node.problem("too-many", f"these are {count:,} combinations, more than {MOST_COMBINATIONS:,}")
        return ()
    return [dict(zip(values, one, strict=True)) for one in itertools.product(*values.values())]


def written(node: Node) -> str:
    """Return a value as it stands in the file, on one line."""
    if not (node.is_mapping or node.is_list):
        return "null" if node.is_null else node.text() or '""'
    start, end = node.yaml.start_mark.index, node.yaml.end_mark.index
    return " ".join(node.document.text[start:end].split())


def expectations(
    expect: Node, exceptions: Node | None, every: Sequence[Combination], reach: Reach
) -> Sequence[Expectation]:
    """Return what is expected of each combination: what the first exception that matches says, or else `expect`.

    An exception that counts for none is a problem, and so is an `expect` that counts for none.
    """
    usual = expectation_of(expect, reach)
    read = [one for item in (exceptions.items() if exceptions else ()) if (one := _exception(item, every, reach))]
    counted: set[int] = set()
    found = []
    for combination in every:
        place = next((place for place, one in enumerate(read) if one.matches(combination)), None)
        counted.add(-1 if place is None else place)
        found.append(usual if place is None else read[place].expectation)
    for place, one in enumerate(read):
        if place not in counted:
            others = any(one.matches(combination) for combination in every)
            words = (
                "the exceptions before this one leave it no combination" if others else "no combination is like this"
            )
            one.node.problem("unreachable", words)
    if read and -1 not in counted:
        expect.problem("unreachable", "every combination is an exception, so this counts for none")
    return found


def _exception(item: Node, every: Sequence[Combination], reach: Reach) -> _Exception | None:
    entries = item.entries(names(EXCEPTION_KEYS), required=required(EXCEPTION_KEYS))
    if "when" not in entries or "expect" not in entries:
        return None
    expectation = expectation_of(entries["expect"], reach)
    known: dict[str, set[str]] = {}
    for combination in every:
        for name, node in combination.items():
            known.setdefault(name, set()).add(written(node))
    when = entries["when"]
    wanted: dict[str, frozenset[str]] = {}
    for name, node in _entries(when).items():
        if name not in known:
            hint = None if name in FACT_NAMES else did_you_mean(name, known)
            when.key_node(name).problem("unreachable", f"the matrix does not vary `{name}`", hint=hint)
            return None
        values = node.items() if node.is_list else [node]
        for value in values:
            if written(value) not in known[name]:
                hint = did_you_mean(written(value), known[name])
                value.problem("unreachable", f"the matrix has no `{name}: {written(value)}`", hint=hint)
                return None
        wanted[name] = frozenset(map(written, values))
    return _Exception(when, wanted, expectation)


def expectation_of(node: Node, reach: Reach) -> Expectation:
    """Return what a mapping expects, after noting what of it the policy can never answer."""
    expectation = read_expectation(node)
    reach.check(node, expectation)
    return expectation


def _entries(node: Node) -> Mapping[str, Node]:
    return node.free_entries() or {}


def _check_differ(items: Sequence[Node]) -> None:
    seen: set[str] = set()
    for item in items:
        if written(item) in seen:
            item.problem("duplicate-value", f"`{written(item)}` stands twice")
        seen.add(written(item))
