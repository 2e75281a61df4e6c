"""The demo's table: what became of each caller's calls, as a watcher of the loop sees it."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from modelfence.core.decision import Effect
from modelfence.demo.callers import Caller
from modelfence.enforcement.ports import Judged, Observer, Settled

_HEAD = ("caller", "from", "tier", "", "let in", "refused", "throttled", "by which rule")
_WIDTHS = (11, 4, 8, 23, 6, 7, 9, 32)
_NOTHING_ALLOWED = "no rule lets it in"


class Scoreboard(Observer):
    """Counts decisions by caller, told apart by address."""

    def __init__(self, callers: Sequence[Caller]) -> None:
        self._callers = callers
        self._name_of = {caller.address: caller.name for caller in callers}
        self._effects: dict[str, Counter[Effect]] = defaultdict(Counter)
        self._rules: dict[str, dict[Effect, str]] = defaultdict(dict)
        self.tokens = 0

    def rows(self) -> list[str]:
        """Return the table, a line each."""
        lines = [_line(_HEAD), _line(tuple("-" * width for width in _WIDTHS))]
        for caller in self._callers:
            effects = self._effects[caller.name]
            worst = next((e for e in (Effect.THROTTLE, Effect.DENY, Effect.ALLOW) if effects[e]), None)
            rule = self._rules[caller.name].get(worst, "") if worst else ""
            counts = (effects[Effect.ALLOW], effects[Effect.DENY], effects[Effect.THROTTLE])
            who = (caller.name, caller.country, caller.tier or "-", caller.wants)
            lines.append(_line((*who, *(str(count or "") for count in counts), rule)))
        return lines

    def totals(self) -> Counter[Effect]:
        """Return all calls by effect."""
        return sum(self._effects.values(), Counter())

    def surprises(self) -> list[str]:
        """Return a sentence for each caller that did not meet the fate the policy says."""
        found = []
        for caller in self._callers:
            effects = self._effects[caller.name]
            may = {caller.fate} if caller.fate is not Effect.THROTTLE else {Effect.ALLOW, Effect.THROTTLE}
            rule = self._rules[caller.name].get(caller.fate, "")
            if effects.total() != caller.calls or not may >= set(effects) or rule != (caller.rule or _NOTHING_ALLOWED):
                met = ", ".join(f"{count} {effect}" for effect, count in effects.items()) or "nothing"
                found.append(f"{caller.name}: {caller.fate} by {caller.rule or 'default'} expected, met {met} ({rule})")
        return found

    def judged(self, judged: Judged) -> None:
        """Count a decision."""
        name = self._name_of.get(judged.call.client_ip)
        if name is None:
            return
        effect = judged.decision.effect
        self._effects[name][effect] += 1
        self._rules[name][effect] = ", ".join(judged.decision.rules) or _NOTHING_ALLOWED

    def settled(self, settled: Settled) -> None:
        """Count the tokens served."""
        if settled.usage:
            self.tokens += settled.usage.output_tokens


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
