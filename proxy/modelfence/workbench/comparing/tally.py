"""Counts what comes of each line under two policies. However long the recording, its size is bounded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from modelfence.core.decision import Effect
from modelfence.core.policy import Policy
from modelfence.replay.outcomes import Broken, Decided, Rejected
from modelfence.workbench.comparing.changes import Change, Pair
from modelfence.workbench.comparing.comparison import Comparison, Dimension, Grouped, Recorded, Side
from modelfence.workbench.comparing.edits import PolicyEdits
from modelfence.workbench.comparing.reasons import Reasons
from modelfence.workbench.comparing.rows import Rows
from modelfence.workbench.comparing.timeline import Timeline

NO_ACCOUNT = "(no account)"
NOT_KNOWN = "(unknown)"
NONE = "(none)"
MOST_ACCOUNTS = 50_000
MOST_ROWS = 1_000
"""Of countries, tiers, models, operations or labels: callers write models as they like."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of the two policies."""

    path: str
    policy: Policy
    as_enforced: bool = False


class _Effects:
    """What becomes of requests under one policy."""

    def __init__(self) -> None:
        self.effects: Counter[Effect] = Counter()
        self.would: Counter[Effect] = Counter()

    def add(self, decided: Decided) -> None:
        decision = decided.judged.decision
        self.effects[decision.effect] += 1
        if decision.would is not None:
            self.would[decision.would] += 1


class Tally:
    """The counts so far."""

    def __init__(self) -> None:
        self._lines = self._broken = self._late = self._rejected = self._redacted = 0
        self._first_us: int | None = None
        self._last_us: int | None = None
        self._old, self._new = _Effects(), _Effects()
        self._changes: Counter[Change] = Counter()
        self._by = {one: Rows(MOST_ACCOUNTS if one is Dimension.ACCOUNT else MOST_ROWS) for one in Dimension}
        self._has_labels = False
        self._reasons = Reasons()
        self._timeline = Timeline()

    def add(self, one: Broken | Rejected | Pair) -> None:
        """Count a line."""
        self._lines += 1
        if isinstance(one, Broken):
            self._broken += 1
            return
        request = one.new if isinstance(one, Pair) else one
        at_us = request.line.at_us
        self._first_us = at_us if self._first_us is None else min(self._first_us, at_us)
        self._last_us = at_us if self._last_us is None else max(self._last_us, at_us)
        self._late += request.is_late
        if isinstance(one, Pair):
            self._add_pair(one)
        else:
            self._rejected += 1

    def _add_pair(self, pair: Pair) -> None:
        new = pair.new
        self._redacted += new.line.reading is not None
        self._has_labels = self._has_labels or bool(new.line.label)
        self._old.add(pair.old)
        self._new.add(new)
        changes = pair.changes
        if changes:
            self._changes.update(changes)
            self._reasons.add(pair)
        let_in = {"old_let_in": pair.old.judged.decision.admitted, "new_let_in": new.judged.decision.admitted}
        for rows, value in zip(self._by.values(), _values_of(new), strict=True):
            rows.add(value, changes, **let_in)
        self._timeline.add(new.judged.call.at_us, changes, **let_in)

    def comparison(self, old: Contender, new: Contender, edits: PolicyEdits) -> Comparison:
        """Return the figures."""
        grouped = {name: Grouped(list(rows), rows.others) for name, rows in self._by.items()}
        if not self._has_labels:
            del grouped[Dimension.LABEL]
        return Comparison(
            old=self._side(old, self._old),
            new=self._side(new, self._new),
            edits=edits,
            recorded=Recorded(
                self._lines, self._broken, self._late, self._rejected, self._redacted, self._first_us, self._last_us
            ),
            changes=self._changes,
            by=grouped,
            reasons=list(self._reasons),
            untold=self._reasons.untold,
            step_us=self._timeline.step_us,
            timeline=list(self._timeline),
        )

    def _side(self, contender: Contender, became: _Effects) -> Side:
        policy = contender.policy
        rejected = {Effect.REJECT: self._rejected} if self._rejected else {}
        effects = {**became.effects, **rejected}
        return Side(contender.path, policy.hash, policy.mode, contender.as_enforced, effects, became.would)


def _values_of(decided: Decided) -> Sequence[str]:
    """Return the value of each dimension, in their order."""
    judged = decided.judged
    reading = judged.call.reading
    return (
        judged.country or NOT_KNOWN,
        judged.tier,
        judged.account.id if judged.account else NO_ACCOUNT,
        NOT_KNOWN if reading.model is None else reading.model or NONE,
        f"{judged.call.provider} {reading.operation}",
        decided.line.label or NONE,
    )
