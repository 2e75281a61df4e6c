"""From the rule mappings of one file to compiled rules. A rule with a problem is left out; the problem is noted.

Rule: nothing here raises; whoever calls looks at the documents' problems.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from modelfence.core.charge import OnStoreFailure, Unit
from modelfence.core.policy import (
    CAPPABLE,
    HIDABLE,
    REMOVABLE,
    AccessRule,
    Expression,
    ReshapeRule,
    Reshaping,
    Rule,
    RuleKind,
    ThrottleRule,
)
from modelfence.core.problem import Severity
from modelfence.document import Node
from modelfence.policy.conditions import Compiler
from modelfence.policy.files import PolicyFile
from modelfence.policy.keys import (
    CAP,
    ID,
    MODE,
    RULES_KEYS,
    URL,
    WORDS,
    names,
    required,
)
from modelfence.policy.rates import rate_of


@dataclass(frozen=True, slots=True)
class Written:
    """One rule as it is written."""

    node: Node
    keys: Mapping[str, Node]
    shadow: bool
    """The file that holds it, or the whole policy, is in shadow."""


@dataclass(slots=True)
class Rules:
    """The compiled rules of a policy, as they are found."""

    compiler: Compiler
    denies: list[AccessRule] = field(default_factory=list)
    allows: list[AccessRule] = field(default_factory=list)
    reshapes: list[ReshapeRule] = field(default_factory=list)
    throttles: list[ThrottleRule] = field(default_factory=list)
    written: dict[str, Written] = field(default_factory=dict)
    """By id, the rule that has it first."""

    def add(self, file: PolicyFile, *, shadow: bool) -> None:
        """Take in the rules of a file; all of them are in shadow with `shadow`, or when the file's mode says so."""
        readers: Mapping[str, Callable[[Written], None]] = {
            "access": self._access,
            "reshape": self._reshape,
            "throttle": self._throttle,
        }
        for section, keys in RULES_KEYS.items():
            node = file.entries.get(section)
            elsewhere = _elsewhere(section)
            for item in [] if node is None or node.is_null else node.items():
                found = item.entries(names(keys), required=required(keys), elsewhere=elsewhere)
                if item.is_mapping:
                    readers[section](Written(item, found, shadow=shadow or file.shadow))

    def _access(self, entry: Written) -> None:
        deny, allow = entry.keys.get("deny"), entry.keys.get("allow")
        rule = self._rule(entry, RuleKind.DENY if deny else RuleKind.ALLOW)
        denied, allowed = self._condition(entry, "deny"), self._condition(entry, "allow")
        if deny and allow:
            entry.node.key_node("allow").problem("deny-or-allow", "a rule either denies or allows; make two of it")
        if not deny and not allow:
            entry.node.problem("deny-or-allow", "a condition is missing: `deny` or `allow`")
        if rule and denied:
            self.denies.append(AccessRule(rule, denied))
        if rule and allowed:
            self.allows.append(AccessRule(rule, allowed))

    def _reshape(self, entry: Written) -> None:
        rule = self._rule(entry, RuleKind.RESHAPE)
        when = self._condition(entry, "when")
        if not {"remove", "cap", "hide"} & entry.keys.keys():
            entry.node.problem("missing-key", "nothing is changed: `remove`, `cap` or `hide` is missing")
        removed, hidden = _listed(entry.keys.get("remove"), REMOVABLE), _listed(entry.keys.get("hide"), HIDABLE)
        reshaping = Reshaping(removed, _caps(entry.keys.get("cap")), hidden)
        if rule:
            self.reshapes.append(ReshapeRule(rule, when, reshaping))

    def _throttle(self, entry: Written) -> None:
        rule = self._rule(entry, RuleKind.THROTTLE)
        when = self._condition(entry, "when")
        key = self.compiler.key(entry.keys["key"]) if "key" in entry.keys else None
        cost = self.compiler.cost(entry.keys["cost"]) if "cost" in entry.keys else None
        rate = rate_of(entry.keys.get("rate"), entry.keys.get("burst"))
        unit = _choice(entry.keys.get("unit"), Unit.REQUESTS)
        on_store_failure = _choice(entry.keys.get("on_store_failure"), OnStoreFailure.DENY)
        if key and "extraction.cohort" in key.names:
            _warn_of_every_cohort(entry, [read for read in (when, cost) if read])
        if rule and key and rate:
            self.throttles.append(ThrottleRule(rule, when, key, rate, unit, cost, on_store_failure))

    def _condition(self, entry: Written, key: str) -> Expression[bool] | None:
        return self.compiler.condition(entry.keys[key]) if key in entry.keys else None

    def _rule(self, entry: Written, kind: RuleKind) -> Rule | None:
        """Return what rules of every kind carry, or None without an id of its own."""
        mode = entry.keys.get("mode")
        shadow = (mode is not None and mode.choice(MODE.options) == "shadow") or entry.shadow
        _check_since(entry.keys.get("since"), shadow=shadow)
        message, description = _text(entry.keys.get("message")), _text(entry.keys.get("description"))
        help_url = _url(entry.keys.get("help_url"))
        name = self._id(entry) if "id" in entry.keys else None
        if name is None:
            return None
        return Rule(name, kind, shadow, message, help_url, description)

    def _id(self, entry: Written) -> str | None:
        node = entry.keys["id"]
        name = node.filled_text()
        if name is None:
            return None
        if not ID.admits(name):
            words = f"an id has letters, digits, `-`, `_` and `.`, no sign first, and at most {ID.longest} of them"
            node.problem("bad-name", words)
            return None
        first = self.written.setdefault(name, entry).keys["id"]
        if first is not node:
            words = f"`{name}` is already the id of the rule at {first.document.path}:{first.line}"
            node.problem("duplicate-id", words)
        return name


def _warn_of_every_cohort(entry: Written, others: Sequence[Expression[Any]]) -> None:
    """Warn of a bucket for a cohort whatever it looks like: that a template is shared is no campaign yet."""
    if not any("extraction.score" in other.names or "extraction.signals" in other.names for other in others):
        entry.keys["key"].problem(
            "cohort-without-score",
            "this holds every cohort to one budget, also the users of a framework, or a class of students",
            hint="add `extraction.score >= 0.5` to `when`",
            severity=Severity.WARNING,
        )


def _check_since(node: Node | None, *, shadow: bool) -> None:
    if node and node.date_us() is not None and not shadow:
        node.problem("since-without-shadow", "this rule is not in shadow", hint="it needs `mode: shadow` beside it")


def _text(node: Node | None) -> str | None:
    text = node.filled_text() if node else None
    if node and text and not WORDS.admits(text):
        node.problem("too-long", f"this is longer than {WORDS.longest} characters")
    return text


def _url(node: Node | None) -> str | None:
    url = _text(node)
    if node and url and WORDS.admits(url) and not URL.admits(url):
        node.problem("bad-url", "a link begins with https:// or http:// and holds no white space")
    return url


def _elsewhere(section: str) -> Mapping[str, str]:
    """Return a hint for each key that a rule of this section has not, and of another has."""
    sections: dict[str, list[str]] = {}
    for other, keys in RULES_KEYS.items():
        for key in names(keys):
            sections.setdefault(key, []).append(f"`{other}`")
    here = names(RULES_KEYS[section])
    return {
        key: f"`{key}` stands in a rule of {' or '.join(others)}" for key, others in sections.items() if key not in here
    }


def _choice[E: StrEnum](node: Node | None, default: E) -> E:
    kind = type(default)
    chosen = node.choice(tuple(kind)) if node else None
    return kind(chosen) if chosen else default


def _listed(node: Node | None, words: Sequence[str]) -> frozenset[str]:
    items = node.items() if node else []
    if node and node.yaml.value == []:
        node.problem("empty-value", "nothing is listed here")
    return frozenset(word for item in items if (word := item.choice(words)))


def _caps(node: Node | None) -> dict[str, int]:
    entries = node.entries(CAPPABLE) if node else {}
    if node and node.yaml.value == []:
        node.problem("empty-value", "no limit is given here")
    caps = {name: entry.integer(minimum=CAP.minimum, maximum=CAP.maximum) for name, entry in entries.items()}
    return {name: most for name, most in caps.items() if most is not None}
