"""From the text of a YAML node to a compiled expression, with CEL's complaints noted where the author reads them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelfence.core.policy import AccessRule, DenyGroup
from modelfence.document import Node
from modelfence.policy.cel import NUMBER, TEXT, TRUTH, CelExpression, Language, Result

GROUP = 32
"""Denies in one combined expression: CEL's own limit is 32 levels of nesting and 100,000 characters."""


@dataclass(slots=True)
class Compiler:
    """Compiles the expressions of one policy, and keeps what they read."""

    language: Language
    names: set[str] = field(default_factory=set)
    """The facts read."""
    constants: set[str] = field(default_factory=set)
    """The `lists.NAME` and `tier.NAME` read."""

    def condition(self, node: Node) -> CelExpression[bool] | None:
        """Return an expression that is true or false, or None after noting problems."""
        return self._compiled(node, TRUTH)

    def key(self, node: Node) -> CelExpression[str] | None:
        """Return an expression that yields a text, or None after noting problems."""
        return self._compiled(node, TEXT)

    def cost(self, node: Node) -> CelExpression[float] | None:
        """Return an expression that yields a number, or None after noting problems."""
        return self._compiled(node, NUMBER)

    def groups(self, denies: Sequence[AccessRule]) -> tuple[DenyGroup, ...]:
        """Return the denies with one expression for each few of them, true when any of these is."""
        groups: list[DenyGroup] = []
        for start in range(0, len(denies), GROUP):
            groups += self._grouped(denies[start : start + GROUP])
        return tuple(groups)

    def _grouped(self, denies: Sequence[AccessRule]) -> list[DenyGroup]:
        """Return one group, or two halves where the combination is more than CEL takes."""
        if len(denies) == 1:
            return [DenyGroup(denies[0].condition, denies)]
        # Each on a line of its own: a condition may end in a comment.
        source = " || ".join(f"(\n{deny.condition.source}\n)" for deny in denies)
        combined = self.language.compile(source, TRUTH)
        if isinstance(combined, CelExpression):
            return [DenyGroup(combined, denies)]
        middle = len(denies) // 2
        return [*self._grouped(denies[:middle]), *self._grouped(denies[middle:])]

    def _compiled[T](self, node: Node, result: Result[T]) -> CelExpression[T] | None:
        source = node.filled_text()
        if source is None:
            return None
        expression = self.language.compile(source, result)
        if not isinstance(expression, CelExpression):
            for one in expression:
                node.problem_within(one.offset, one.code, one.message, length=one.length, hint=one.hint)
            return None
        self.names |= expression.names
        self.constants |= expression.constants
        return expression
