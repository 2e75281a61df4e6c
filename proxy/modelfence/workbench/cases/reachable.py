"""Expectations that the policy can never meet: of such a case nobody would notice that it says nothing.

Rule: only what follows from the policy alone is looked at, whatever the facts are.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelfence.core.decision import Effect
from modelfence.core.facts import FACTS
from modelfence.core.policy import CAPPABLE, HIDABLE, REMOVABLE, Mode, Policy, Reshaping, Rule, RuleKind
from modelfence.document import Node, did_you_mean
from modelfence.workbench.cases.model import Expectation

FACT_NAMES = frozenset(fact.name for fact in FACTS)
_ALWAYS_KNOWN = frozenset(fact.name for fact in FACTS if fact.always)
_CAUSES = {Effect.ALLOW: RuleKind.ALLOW, Effect.DENY: RuleKind.DENY, Effect.THROTTLE: RuleKind.THROTTLE}
_BY_RULES = (Effect.ALLOW, Effect.THROTTLE)
_DOES = {
    RuleKind.DENY: "denies",
    RuleKind.ALLOW: "allows",
    RuleKind.RESHAPE: "reshapes, which causes no effect",
    RuleKind.THROTTLE: "throttles",
}


@dataclass(frozen=True, slots=True)
class Reach:
    """What one policy can answer."""

    rules: Mapping[str, Rule]
    shadow: bool
    """The whole policy is in shadow: every call is let through."""
    reshaping: Reshaping
    """All that its rules change together."""
    caps: Mapping[str, frozenset[int]]
    reads: frozenset[str]

    @classmethod
    def of(cls, policy: Policy) -> "Reach":
        """Return what a policy can answer."""
        acting = [entry.reshaping for entry in policy.reshapes if not entry.rule.shadow]
        together = Reshaping()
        for one in acting:
            together |= one
        caps = {name: frozenset(one.cap[name] for one in acting if name in one.cap) for name in together.cap}
        rules = {rule.id: rule for rule in policy.rules()}
        return cls(rules, policy.mode is Mode.SHADOW, together, caps, policy.names)

    def check(self, expect: Node, expectation: Expectation) -> None:
        """Note what of an expectation can never come; `expect` is the mapping that it was read from."""
        if not expect.is_mapping:
            return
        nodes = expect.free_entries() or {}
        found = expectation.stated.get("effect")
        effect = Effect(found) if isinstance(found, str) else None
        self._check_effect(nodes, effect)
        self._check_rules(nodes, effect)
        self._check_reshaping(nodes, effect)
        self._check_throttles(nodes)
        self._check_shadow(nodes, effect)
        self._check_unknown(nodes)

    def _check_effect(self, nodes: Mapping[str, Node], effect: Effect | None) -> None:
        node = nodes.get("effect")
        if node is None or effect is None:
            return
        if effect is not Effect.ALLOW and effect in _CAUSES and self.shadow:
            _unreachable(node, "the policy is in shadow, so every call is let through", hint="expect `would` instead")
        elif effect is Effect.THROTTLE and not self._any(RuleKind.THROTTLE, shadow=False):
            _unreachable(node, "the policy has no throttle that is enforced")
        elif effect is Effect.ALLOW and not self.shadow and not self._any(RuleKind.ALLOW, shadow=False):
            _unreachable(node, "the policy has no `allow` that is enforced")
        wait = nodes.get("retry_after")
        if wait is not None and not wait.is_null and effect is not Effect.THROTTLE:
            _unreachable(wait, f"a call has to wait only when the effect is throttle, and it is {effect} here")
        message = nodes.get("message")
        if message is not None and not message.is_null:
            self._check_message(message, effect)

    def _check_message(self, node: Node, effect: Effect | None) -> None:
        if effect is Effect.ALLOW:
            _unreachable(node, "whoever is let in is told nothing")
            return
        if effect is Effect.REJECT:
            return  # what a dialect says of a malformed request is no rule's
        kinds = [_CAUSES[effect]] if effect else [RuleKind.DENY, RuleKind.THROTTLE]
        said = [rule.message for rule in self.rules.values() if rule.message and rule.kind in kinds]
        text = node.text()
        if text is not None and text not in said:
            words = "no rule says this" if effect is None else f"no rule that {_DOES[kinds[0]]} says this"
            _unreachable(node, words, hint=did_you_mean(text, said))

    def _check_rules(self, nodes: Mapping[str, Node], effect: Effect | None) -> None:
        node = nodes.get("rules")
        if node is not None and node.is_list and not node.items() and not self.shadow and effect in _BY_RULES:
            _unreachable(node, f"the effect is {effect} only where some rule {_DOES[_CAUSES[effect]]}")
        first: Rule | None = None
        for item in _items(node):
            rule = self._rule(item)
            if rule is None:
                continue
            if effect is None and first and rule.kind is not first.kind and rule.kind in _CAUSES.values():
                words = f"`{rule.id}` {_DOES[rule.kind]} and `{first.id}` {_DOES[first.kind]}"
                _unreachable(item, f"{words}: only one of the two can be what comes")
                continue
            first = first or rule
            if effect is Effect.REJECT:
                _unreachable(item, "no rule rejects: that is for what can't be judged")
            elif rule.kind is RuleKind.RESHAPE or (effect and rule.kind is not _CAUSES.get(effect)):
                said = "" if effect is None or rule.kind is RuleKind.RESHAPE else f", so it is no reason to {effect}"
                _unreachable(item, f"`{rule.id}` {_DOES[rule.kind]}{said}")
            elif rule.shadow and not (self.shadow and rule.kind is RuleKind.ALLOW):
                _unreachable(item, f"`{rule.id}` is in shadow, so it causes nothing", hint="expect `shadow_rules`")

    def _check_reshaping(self, nodes: Mapping[str, Node], effect: Effect | None) -> None:
        for name, words, possible in (
            ("remove", REMOVABLE, self.reshaping.remove),
            ("hide", HIDABLE, self.reshaping.hide),
        ):
            for item in _items(nodes.get(name)):
                if item.text() in words and item.text() not in possible:
                    _unreachable(item, f"no rule of the policy has `{name}: {item.text()}`")
        cap = nodes.get("cap")
        for name, value in _entries(cap).items():
            if name in CAPPABLE and value.text() not in {str(most) for most in self.caps.get(name, ())}:
                _unreachable(value, f"no rule of the policy caps `{name}` at {value.text()}")
        if effect in (Effect.DENY, Effect.REJECT):
            for name in ("remove", "hide", "cap", "charges", "keys"):
                node = nodes.get(name)
                if node is not None and node.yaml.value:
                    _unreachable(node, "a call that is refused is neither changed nor charged")

    def _check_throttles(self, nodes: Mapping[str, Node]) -> None:
        for node in (nodes[name] for name in ("charges", "keys") if name in nodes):
            for key in (node.key_node(id_) for id_ in _entries(node)):
                rule = self._rule(key)
                if rule is not None and rule.kind is not RuleKind.THROTTLE:
                    _unreachable(key, f"`{rule.id}` is no throttle, so it charges nothing")

    def _check_shadow(self, nodes: Mapping[str, Node], effect: Effect | None) -> None:
        would = nodes.get("would")
        if would is not None and not would.is_null:
            if not any(rule.shadow for rule in self.rules.values()):
                _unreachable(would, "no rule of the policy is in shadow")
            elif would.text() == effect:
                _unreachable(would, "this is for another effect than the one that comes: null where both are the same")
        for item in _items(nodes.get("shadow_rules")):
            rule = self._rule(item)
            if rule is not None and not rule.shadow:
                _unreachable(item, f"`{rule.id}` is not in shadow")

    def _check_unknown(self, nodes: Mapping[str, Node]) -> None:
        for item in _items(nodes.get("unknown")):
            name = item.text()
            if name in _ALWAYS_KNOWN:
                _unreachable(item, f"`{name}` is known for every call")
            elif name is not None and name not in self.reads:
                words = f"no condition reads `{name}`, so it never matters that it is unknown"
                _unreachable(item, words, hint=None if name in FACT_NAMES else did_you_mean(name, self.reads))

    def _rule(self, node: Node) -> Rule | None:
        id_ = node.text()
        if id_ is None or id_ in self.rules:
            return None if id_ is None else self.rules[id_]
        node.problem("unknown-rule", f"the policy has no rule `{id_}`", hint=did_you_mean(id_, self.rules))
        return None

    def _any(self, kind: RuleKind, *, shadow: bool) -> bool:
        return any(rule.kind is kind and rule.shadow is shadow for rule in self.rules.values())


def _items(node: Node | None) -> Iterable[Node]:
    return node.items() if node is not None and node.is_list else ()


def _entries(node: Node | None) -> Mapping[str, Node]:
    return (node.free_entries() or {}) if node is not None and node.is_mapping else {}


def _unreachable(node: Node, message: str, *, hint: str | None = None) -> None:
    node.problem("unreachable", message, hint=hint)
