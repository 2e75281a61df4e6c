"""What lint looks at: the rules of a compiled policy with their conditions understood, and where each stands."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from modelfence.core.policy import AccessRule, Expression, Policy, ReshapeRule, Rule, RuleKind, ThrottleRule
from modelfence.core.problem import Problem, Severity
from modelfence.document import Node
from modelfence.policy.compile import Compiled
from modelfence.policy.files import PolicyFile
from modelfence.policy.keys import EXPRESSIONS
from modelfence.policy.lint.claims import Reasoning
from modelfence.policy.lint.meaning import Meaning, Text
from modelfence.policy.lint.situations import Constant, Situations
from modelfence.policy.rules import Written

type Entry = AccessRule | ReshapeRule | ThrottleRule


@dataclass(slots=True)
class Notes:
    """The warnings so far. What is noted here does not show up among the problems of compiling."""

    problems: list[Problem] = field(default_factory=list)

    def at(self, node: Node, code: str, message: str, hint: str | None = None) -> None:
        """Warn of a node."""
        self._own(node).problem(code, message, hint=hint, severity=Severity.WARNING)

    def within(self, node: Node, span: tuple[int, int], code: str, message: str, hint: str | None = None) -> None:
        """Warn of a part of a node's text, from one offset to another."""
        start, end = span
        self._own(node).problem_within(start, code, message, length=end - start, hint=hint, severity=Severity.WARNING)

    def _own(self, node: Node) -> Node:
        return Node(replace(node.document, problems=self.problems), node.yaml)


@dataclass(frozen=True, slots=True)
class Condition:
    """What decides whether a rule applies."""

    node: Node
    source: str
    meaning: Meaning
    terms: frozenset[str]
    """What it asks for."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One rule, in the order of the policy."""

    entry: Entry
    written: Written
    file: PolicyFile
    condition: Condition | None
    """None where it always applies: a reshape or a throttle without `when`."""

    @property
    def rule(self) -> Rule:
        return self.entry.rule

    @property
    def place(self) -> str:
        """Return where it stands, for others to name."""
        node = self.written.keys["id"]
        return f"`{self.rule.id}` ({node.document.path}:{node.line})"

    def expressions(self) -> Iterator[Node]:
        """Yield every expression it holds."""
        for key in EXPRESSIONS:
            if key in self.written.keys:
                yield self.written.keys[key]


@dataclass(frozen=True, slots=True)
class Subjects:
    """Everything there is to look at."""

    policy: Policy
    files: tuple[PolicyFile, ...]
    rules: tuple[Subject, ...]
    reasoning: Reasoning
    reach: Mapping[Path, frozenset[Path]]
    """Of each file itself and all it includes, directly or through others."""

    def of(self, kind: RuleKind) -> Sequence[Subject]:
        """Return the rules of a kind."""
        return [subject for subject in self.rules if subject.rule.kind is kind]

    def reaches(self, file: PolicyFile, other: PolicyFile) -> bool:
        """Say whether a file is another, or includes it: on what he includes, and nothing else, an author can rely."""
        return other.path in self.reach[file.path]


def subjects_of(compiled: Compiled, policy: Policy) -> Subjects:
    """Return what there is to look at in a policy that compiled."""
    names = _names(policy)
    entries: list[tuple[Entry, Expression[bool] | None]] = [
        *((one, one.condition) for group in policy.denies for one in group.rules),
        *((one, one.condition) for one in policy.allows),
        *((one, one.when) for one in policy.reshapes),
        *((one, one.when) for one in policy.throttles),
    ]
    rules = tuple(
        Subject(entry, written, _file_of(written, compiled.documents), _condition(written, expression, names))
        for entry, expression in entries
        for written in (compiled.written[entry.rule.id],)
    )
    relations = (one for subject in rules if subject.condition for one in subject.condition.meaning.relations())
    return Subjects(
        policy, compiled.documents, rules, Reasoning(Situations(relations, policy.tiers)), _reach(compiled.documents)
    )


def _names(policy: Policy) -> dict[str, Constant | tuple[Constant, ...]]:
    lists = {f"lists.{name}": tuple(items) for name, items in policy.lists.items()}
    return {**lists, **{f"tier.{name}": place for place, name in enumerate(policy.tiers)}}


def _condition(
    written: Written, expression: Expression[bool] | None, names: Mapping[str, Constant | tuple[Constant, ...]]
) -> Condition | None:
    if expression is None:
        return None
    node = next(written.keys[key] for key in ("deny", "allow", "when") if key in written.keys)
    meaning = Text(expression.source, names).meaning()
    terms = frozenset(relation.term for relation in meaning.relations())
    return Condition(node, expression.source, meaning, terms)


def _file_of(written: Written, files: Sequence[PolicyFile]) -> PolicyFile:
    return next(file for file in files if file.document is written.node.document)


def _reach(files: Sequence[PolicyFile]) -> dict[Path, frozenset[Path]]:
    by_real_path = {os.path.realpath(file.path): file for file in files}
    direct = {
        file.path: {
            by_real_path[real].path for real in map(os.path.realpath, _included_by(file)) if real in by_real_path
        }
        for file in files
    }

    def reached(path: Path) -> frozenset[Path]:
        seen, waiting = set[Path](), [path]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting += direct[one]
        return frozenset(seen)

    return {path: reached(path) for path in direct}


def _included_by(file: PolicyFile) -> Iterator[Path]:
    include = file.entries.get("include")
    for item in [] if include is None or include.is_null else include.items():
        yield file.path.parent / (item.text() or "")
